/** Questions to the server, with answers that come in parts and can be called off. */

import { CancellationTokenSource } from "vscode";
import { ProgressType, RequestType, type LanguageClient } from "vscode-languageclient/node";
import type { Answer, SearchParams, SimilarAnswer, SimilarParams } from "../core/protocol.js";

const searchRequest = new RequestType<SearchParams, Answer, void>("mosearch/search");
const similarRequest = new RequestType<SimilarParams, SimilarAnswer, void>("mosearch/similar");
const partialAnswer = new ProgressType<Answer>();

let tokens = 0;

interface Options {
  signal: AbortSignal;
  /** Called with what is known before the deeper exit has re-ranked it. */
  partial?: (answer: Answer) => void;
}

export function search(client: LanguageClient, params: SearchParams, options: Options): Promise<Answer> {
  return request(client, searchRequest, params, options);
}

export function similar(
  client: LanguageClient,
  params: SimilarParams,
  options: Options,
): Promise<SimilarAnswer> {
  return request(client, similarRequest, params, options);
}

async function request<Params extends object, Result extends Answer>(
  client: LanguageClient,
  type: RequestType<Params, Result, void>,
  params: Params,
  { signal, partial }: Options,
): Promise<Result> {
  signal.throwIfAborted();
  const cancellation = new CancellationTokenSource();
  const cancel = (): void => {
    cancellation.cancel();
  };
  signal.addEventListener("abort", cancel);
  const partialResultToken = `mosearch-${String(++tokens)}`;
  const listening = partial && client.onProgress(partialAnswer, partialResultToken, partial);
  try {
    const sent = listening === undefined ? params : { ...params, partialResultToken };
    return await client.sendRequest(type, sent, cancellation.token);
  } finally {
    signal.removeEventListener("abort", cancel);
    listening?.dispose();
    cancellation.dispose();
  }
}
