/** Running other programs, never through a shell. */

import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

export interface Ended {
  /** Null when a signal ended it. */
  code: number | null;
  stdout: string;
  stderr: string;
}

export interface RunOptions {
  /** Never a workspace: Python and some shells look for code where they run. */
  cwd: string;
  signal?: AbortSignal;
  /** Each line of both outputs, as it comes. */
  onLine?: (line: string) => void;
}

/** Rejects when the program cannot be started or `signal` aborts; any exit code resolves. */
export function run(command: string, args: readonly string[], options: RunOptions): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: options.cwd,
      stdio: ["ignore", "pipe", "pipe"],
      windowsHide: true,
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
    const output = { stdout: "", stderr: "" };
    for (const name of ["stdout", "stderr"] as const) {
      createInterface({ input: child[name] }).on("line", (line) => {
        output[name] += `${line}\n`;
        options.onLine?.(line);
      });
    }
    child.on("error", reject);
    child.on("close", (code) => {
      resolve({ code, ...output });
    });
  });
}
