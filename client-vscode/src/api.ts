/** What other extensions can ask: `extensions.getExtension("mosearch.mosearch").exports`. */

import type { Answer, SearchParams, SimilarAnswer, SimilarParams } from "./core/protocol.js";
import { search, similar } from "./search/ask.js";
import type { Session } from "./server/session.js";

export interface Api {
  /** `partial` is told what is known before the deeper exit has re-ranked it. */
  search: (params: SearchParams, signal?: AbortSignal, partial?: (answer: Answer) => void) => Promise<Answer>;
  similar: (params: SimilarParams, signal?: AbortSignal) => Promise<SimilarAnswer>;
}

export function apiOf(session: Session): Api {
  const never = new AbortController().signal;
  return {
    search: async (params, signal = never, partial) =>
      await search(await session.ready(), params, partial === undefined ? { signal } : { signal, partial }),
    similar: async (params, signal = never) => await similar(await session.ready(), params, { signal }),
  };
}
