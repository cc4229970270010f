/** A language server that answers in two parts, after delays of its own, and takes no notice of cancelling. */

import { ProgressType, createConnection } from "vscode-languageserver/node";
import type { Answer } from "../../src/core/protocol.js";

interface Params {
  query: string;
  partialResultToken: string;
}

const connection = createConnection();
const partial = new ProgressType<Answer>();
let asked = 0;

connection.onInitialize(() => ({ capabilities: {} }));
connection.onRequest("mosearch/search", async ({ query, partialResultToken }: Params): Promise<Answer> => {
  const number = asked++;
  const answer: Answer = {
    hits: [
      {
        location: { uri: "file:///a", range: { start: { line: 0, character: 0 }, end: { line: 1, character: 0 } } },
        symbol: query,
        kind: 12,
        container: "",
        language: "python",
        path: "a",
        score: 1,
        exit: null,
        preview: "",
      },
    ],
    timing_ms: {},
  };
  await pause((number * 53) % 110);
  void connection.sendProgress(partial, partialResultToken, answer);
  await pause((number * 71) % 160);
  return answer;
});
connection.listen();

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
