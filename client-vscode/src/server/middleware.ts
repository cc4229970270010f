/** Where the extension shows things its own way, instead of as VS Code would. */

import { workspace } from "vscode";
import type { Middleware } from "vscode-languageclient/node";
import type { SimilarParams } from "../core/protocol.js";
import { serverSettingsOf } from "./settings.js";

/** `findSimilar` runs the server's own command, which its code action and code lenses carry. */
export function middlewareFor(findSimilar: (params: SimilarParams) => Promise<void>): Middleware {
  return {
    executeCommand: async (command, args, next) => {
      if (command !== "mosearch.findSimilar") return (await next(command, args)) as unknown;
      await findSimilar(args[0] as SimilarParams);
      return undefined;
    },
    // The status bar shows progress already.
    handleWorkDoneProgress: () => undefined,
    // VS Code keeps only symbols whose name resembles the query, so that meaning is lost there; and names are
    // found by every language's own extension.
    provideWorkspaceSymbols: async (query, token, next) => {
      const wanted = workspace.getConfiguration("mosearch.search").get<boolean>("inGoToSymbol", false);
      return wanted ? await next(query, token) : [];
    },
    workspace: {
      // The server asks for what it needs; what would be sent along holds the defaults, too.
      didChangeConfiguration: (_sections, next) => next(undefined),
      configuration: (params) => params.items.map(({ scopeUri }) => serverSettingsOf(scopeUri)),
    },
  };
}
