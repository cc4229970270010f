/** What a Python interpreter is, and whether it has MoSEarch. */

import { run } from "./process.js";

export interface Python {
  path: string;
  version: [major: number, minor: number];
  /** Version of the `mosearch` package; null when there is none. */
  mosearch: string | null;
}

const OLDEST_MINOR = 10;
const PROBE_TIMEOUT_MS = 20_000;

// Nothing of MoSEarch is imported: this takes milliseconds, also where its dependencies are broken.
const PROBE = `
import importlib.metadata, importlib.util, json, sys
found = None
if importlib.util.find_spec("mosearch"):
    try:
        found = importlib.metadata.version("mosearch")
    except importlib.metadata.PackageNotFoundError:
        found = "unknown"
print(json.dumps({"path": sys.executable, "version": sys.version_info[:2], "mosearch": found}))
`;

/** Asks an interpreter what it is.  Undefined when there is none at `path`, or it does not answer. */
export async function probe(path: string, cwd: string): Promise<Python | undefined> {
  try {
    const signal = AbortSignal.timeout(PROBE_TIMEOUT_MS);
    const { code, stdout } = await run(path, ["-c", PROBE], { cwd, signal });
    return code === 0 ? readProbe(stdout) : undefined;
  } catch {
    return undefined;
  }
}

/** The last line is the answer: some interpreters are wrapped by scripts that print. */
export function readProbe(stdout: string): Python | undefined {
  const line = stdout.trimEnd().split("\n").at(-1) ?? "";
  try {
    return JSON.parse(line) as Python;
  } catch {
    return undefined;
  }
}

export function isRecentEnough(python: Python): boolean {
  const [major, minor] = python.version;
  return major === 3 && minor >= OLDEST_MINOR;
}

/** Names under which an interpreter may be on the path, the likeliest first. */
export function interpreterNames(platform: NodeJS.Platform): string[] {
  const numbered = [13, 12, 11, 10].map((minor) => `python3.${String(minor)}`);
  return platform === "win32" ? ["py", "python", "python3"] : ["python3", ...numbered, "python"];
}
