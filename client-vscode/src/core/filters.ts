/** What a search is restricted to, as the picker holds it.  Pure. */

import type { Filters } from "./protocol.js";

export interface Chosen {
  languages: readonly string[];
  /** Relative to a workspace folder, separated by `/`. */
  folder: string | null;
  openFiles: boolean;
}

export const nothingChosen: Chosen = { languages: [], folder: null, openFiles: false };

/** The filters of a request.  `openPaths` are relative to their workspace folders. */
export function toFilters(chosen: Chosen, openPaths: readonly string[]): Filters {
  const filters: Filters = {};
  if (chosen.languages.length > 0) filters.languages = [...chosen.languages];
  const paths: string[] = [];
  if (chosen.openFiles) {
    const inFolder = openPaths.filter((path) => chosen.folder === null || path.startsWith(`${chosen.folder}/`));
    // Without an open file nothing may match; a glob that no path can match says so.
    paths.push(...(inFolder.length > 0 ? inFolder.map((path) => `/${escapeGlob(path)}`) : ["/."]));
  } else if (chosen.folder !== null) {
    paths.push(`/${escapeGlob(chosen.folder)}/`);
  }
  if (paths.length > 0) filters.paths = paths;
  return filters;
}

/** Where similar code is looked for. */
export type Scope = "all" | "folder" | "openFiles";

/** The filters for code like that in `path`; files at the top of a workspace folder have all of it around them. */
export function scopeFilters(scope: Scope, path: string, openPaths: readonly string[]): Filters {
  const end = path.lastIndexOf("/");
  const folder = scope === "folder" && end > 0 ? path.slice(0, end) : null;
  return toFilters({ ...nothingChosen, folder, openFiles: scope === "openFiles" }, openPaths);
}

export function isRestricted(chosen: Chosen): boolean {
  return chosen.languages.length > 0 || chosen.folder !== null || chosen.openFiles;
}

/** A path in which no character means anything to a glob by git's rules. */
export function escapeGlob(path: string): string {
  return path.replace(/[\\*?[\]! #]/g, String.raw`\$&`);
}
