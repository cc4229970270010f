/** What the status bar says, from what is known of the server.  Pure: words are put in by the caller. */

import type { FolderStatus, Status } from "./protocol.js";

export type Health =
  | { kind: "off" }
  | { kind: "missing"; message: string }
  | { kind: "failed"; message: string }
  | { kind: "starting" }
  | { kind: "restarting"; waitMs: number }
  | { kind: "indexing"; percentage: number }
  | { kind: "problems"; problems: string[] }
  | { kind: "ready"; exits: string; device: string };

/**
 * Indexing over all folders is the servers' shares of the whole, by what there is to do, so that a small folder
 * does not hide a large one.
 */
export function healthOf(status: Pick<Status, "folders"> & Partial<Status>): Health {
  const { folders } = status;
  const problems = [...(status.problems ?? []), ...folders.flatMap((folder) => folder.error ?? [])];
  const busy = folders.filter((folder) => folder.state === "indexing" || folder.state === "opening");
  if (busy.length > 0) return { kind: "indexing", percentage: percentageOf(busy) };
  problems.push(...folders.flatMap((folder) => folder.warning ?? []));
  if (problems.length > 0) return { kind: "problems", problems };
  const [first] = folders;
  return { kind: "ready", exits: exitsOf(first), device: first?.device ?? "" };
}

function percentageOf(folders: readonly FolderStatus[]): number {
  const progress = folders.flatMap((folder) => folder.progress ?? []);
  const total = progress.reduce((sum, { total: count }) => sum + count, 0);
  const shares = progress.reduce((sum, { percentage, total: count }) => sum + percentage * count, 0);
  return total === 0 ? 0 : Math.min(100, Math.floor(shares / total));
}

/** `3 → 6`: the exit that indexes and the one that re-ranks; one number where they are the same. */
export function exitsOf(folder: FolderStatus | undefined): string {
  if (folder?.index_exit === undefined) return "";
  const { index_exit: first, rerank_exit: last } = folder;
  return last === undefined || last === first ? String(first) : `${String(first)} → ${String(last)}`;
}
