/** What other extensions can ask: `extensions.getExtension("mosearch.mosearch").exports`. */

import type { Answer, SearchParams, SimilarAnswer, SimilarParams } from "./core/protocol.js";
import { search, similar } from "./search/ask.js";
import type { Session } from "./server/session.js";

export interface Api {
  search: (params: SearchParams, signal?: AbortSignal) => Promise<Answer>;
  similar: (params: SimilarParams, signal?: AbortSignal) => Promise<SimilarAnswer>;
}

export function apiOf(session: Session): Api {
  const never = new AbortController().signal;
  return {
    search: async (params, signal = never) => await search(await session.ready(), params, { signal }),
    similar: async (params, signal = never) => await similar(await session.ready(), params, { signal }),
  };
}
