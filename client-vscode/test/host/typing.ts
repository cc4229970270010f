/** Measures, inside the extension host, what a person who types waits for.  Prints one line of JSON. */

import assert from "node:assert/strict";
import { extensions } from "vscode";
import type { Api } from "../../src/api.js";
import { latest } from "../../src/core/latest.js";
import type { Answer } from "../../src/core/protocol.js";

const KEY_MS = 120;
const QUERIES = 200;

const SUBJECTS = ["connection", "request", "file", "token", "message", "cache", "header", "error", "path", "option"];
const VERBS = ["open", "close", "parse", "send", "retry", "compare", "format", "remove", "find", "check"];
const ENDS = ["when it times out", "without blocking"];

suite("typing", () => {
  test("the first results and the re-ranked ones", async function () {
    this.timeout(900_000);
    const api = extensions.getExtension<Api>("mosearch.mosearch");
    assert.ok(api);
    const { search } = await api.activate();
    await search({ query: "warm up" });
    // Of the last key of each query, after which nothing calls the question off.
    const first: number[] = [];
    const final: number[] = [];
    // Of the keys before: those whose first results came before the next key.
    let keys = 0;
    let inTime = 0;
    let pressed = 0;
    let answered: () => void = () => undefined;
    let seen = false;
    let isLast = false;
    const questions = latest<string, Answer>({
      interval: () => 50,
      send: (query, partial, signal) => search({ query }, signal, partial),
      show: (_query, _answer, isFinal) => {
        const waited = performance.now() - pressed;
        if (!seen && isLast) first.push(waited);
        if (!seen && !isLast) inTime++;
        seen = true;
        if (!isFinal || !isLast) return;
        final.push(waited);
        answered();
      },
      fail: (_query, error) => {
        throw error;
      },
    });
    for (let number = 0; number < QUERIES; number++) {
      const query = `${pick(VERBS, number)} ${pick(SUBJECTS, number / VERBS.length)} ${pick(ENDS, number / 100)}`;
      for (let length = 2; length <= query.length; length += 4) {
        const settled = new Promise<void>((resolve) => {
          answered = resolve;
        });
        pressed = performance.now();
        seen = false;
        isLast = length + 4 > query.length;
        if (!isLast) keys++;
        questions.ask(query.slice(0, length));
        await (isLast ? settled : new Promise((resolve) => setTimeout(resolve, KEY_MS)));
      }
    }
    const share = Math.round((100 * inTime) / keys);
    console.log(JSON.stringify({ first: quantiles(first), reranked: quantiles(final), earlierKeys: keys, inTimePercent: share }));
  });
});

function pick(words: readonly string[], index: number): string {
  return words[Math.floor(index) % words.length] ?? "";
}

function quantiles(values: number[]): Record<string, number> {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number): number => Math.round(sorted[Math.floor(share * (sorted.length - 1))] ?? 0);
  return { n: sorted.length, p50_ms: at(0.5), p95_ms: at(0.95), max_ms: at(1) };
}
