/** The server's settings, under the names that VS Code shows.  Pure. */

import manifest from "../../package.json";

const PREFIX = "mosearch.";

/** The settings that go to the server: all but the extension's own, which are in groups (`search.delay`). */
export const serverSettings: readonly string[] = manifest.contributes.configuration
  .flatMap(({ properties }) => Object.keys(properties))
  .map((name) => name.slice(PREFIX.length))
  .filter((name) => !name.includes("."));

/** `rerankBudgetMs` → `rerank_budget_ms`. */
export function serverName(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/**
 * Settings for the server.  `valueOf` gives what the user or the workspace set, and undefined for what
 * nobody set: that is left to the server's own sources.
 */
export function forServer(valueOf: (name: string) => unknown): Record<string, unknown> {
  const options: Record<string, unknown> = {};
  for (const name of serverSettings) {
    const value = valueOf(name);
    if (value !== undefined && value !== null) options[serverName(name)] = value;
  }
  return options;
}
