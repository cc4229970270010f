/** No stale answer replaces a newer one, over a real connection to a server that answers late and out of order. */

import assert from "node:assert/strict";
import * as path from "node:path";
import { LanguageClient, TransportKind } from "vscode-languageclient/node";
import { latest } from "../../src/core/latest.js";
import type { Answer } from "../../src/core/protocol.js";
import { search } from "../../src/search/ask.js";

suite("a slow server", () => {
  test("answers to older questions are never shown", async () => {
    const module = path.join(__dirname, "slowServer.js");
    const client = new LanguageClient(
      "slow",
      { module, transport: TransportKind.ipc },
      { documentSelector: [] },
    );
    await client.start();
    const shown: { typed: string; answer: string; isFinal: boolean }[] = [];
    let typed = "";
    let finished: () => void = () => undefined;
    const done = new Promise<void>((resolve) => {
      finished = resolve;
    });
    const questions = latest<string, Answer>({
      interval: () => 20,
      send: (query, partial, signal) => search(client, { query }, { partial, signal }),
      show: (query, answer, isFinal) => {
        shown.push({ typed, answer: answer.hits[0]?.symbol ?? "", isFinal });
        if (isFinal && query === LAST) finished();
      },
      fail: (_query, error) => {
        throw error;
      },
    });
    for (let count = 1; count <= LAST.length; count++) {
      typed = LAST.slice(0, count);
      questions.ask(typed);
      await new Promise((resolve) => setTimeout(resolve, (count * 37) % 90));
    }
    await done;
    await client.stop();
    assert.ok(shown.length > 5, JSON.stringify(shown));
    for (const entry of shown) assert.equal(entry.answer, entry.typed);
    assert.deepEqual(shown.at(-1), { typed: LAST, answer: LAST, isFinal: true });
  });
});

const LAST = "where are retries of a request decided";
