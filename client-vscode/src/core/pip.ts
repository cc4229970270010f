/** What pip's output says about how far it is.  Pure. */

export type PipStep = { kind: "download"; name: string; size: string } | { kind: "install" };

/** `Downloading torch-2.6.0-….whl (178.7 MB)` → its name and size; undefined for lines that say nothing new. */
export function pipStep(line: string): PipStep | undefined {
  const download = /^\s*Downloading (?:\S*\/)?([A-Za-z0-9_.]+?)-\d\S*(?: \(([^)]+)\))?/.exec(line);
  if (download?.[1] !== undefined) return { kind: "download", name: download[1], size: download[2] ?? "" };
  return line.startsWith("Installing collected packages") ? { kind: "install" } : undefined;
}
