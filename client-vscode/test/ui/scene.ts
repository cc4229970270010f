/** What the UI tests act on: a repository of real code, and the server that this checkout holds. */

import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, readdirSync, readlinkSync, rmSync } from "node:fs";
import * as path from "node:path";
import { tmpdir } from "node:os";

export interface Scene {
  /** Everything that the run writes lies below; short, because it holds sockets. */
  home: string;
  /** A git repository with the sources of click. */
  repository: string;
  environment: Record<string, string>;
}

export function makeScene(): Scene {
  const home = mkdtempSync(path.join(tmpdir(), "msc-"));
  const repository = path.join(home, "click");
  const sources = execFileSync(python(), ["-c", "import click; print(click.__path__[0])"], { encoding: "utf8" });
  cpSync(sources.trim(), path.join(repository, "src", "click"), {
    recursive: true,
    filter: (name) => !name.endsWith("__pycache__"),
  });
  execFileSync("git", ["init", "--quiet", repository]);
  return {
    home,
    repository,
    environment: {
      MOSEARCH_CACHE_DIR: path.join(home, "cache"),
      MOSEARCH_RUNTIME_DIR: path.join(home, "run"),
      MOSEARCH_CONFIG_DIR: path.join(home, "config"),
    },
  };
}

/** Ends what the run left running, the encoder host among them, and removes its files. */
export function clearScene(scene: Scene): void {
  for (const { pid } of processes((_, variables) => variables.includes(scene.home))) process.kill(pid, "SIGKILL");
  rmSync(scene.home, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 });
}

/** The interpreter that has this checkout installed. */
export function python(): string {
  const found = process.env["VIRTUAL_ENV"];
  if (found === undefined) throw new Error("No virtual environment is active: run scripts/test-vscode.");
  return path.join(found, "bin", "python");
}

/** The line of `text` in a file of the repository, counted from 1. */
export function lineOf(scene: Scene, file: string, text: string): number {
  const lines = readFileSync(path.join(scene.repository, "src", "click", file), "utf8").split("\n");
  const index = lines.findIndex((line) => line.includes(text));
  if (index < 0) throw new Error(`${file} does not hold ${text}.`);
  return index + 1;
}

/** Language servers that run in `folder`. */
export function serversIn(folder: string): number[] {
  return processes((command) => /mosearch\S*\0(?:\S*\0)*?serve\0/.test(command))
    .filter(({ pid }) => workingFolder(pid) === folder)
    .map(({ pid }) => pid);
}

/** By command line and environment. */
function processes(matches: (command: string, variables: string) => boolean): { pid: number }[] {
  const found = [];
  for (const name of readdirSync("/proc").filter((entry) => /^\d+$/.test(entry))) {
    try {
      const command = readFileSync(`/proc/${name}/cmdline`, "utf8");
      const variables = readFileSync(`/proc/${name}/environ`, "utf8");
      if (matches(command, variables) && Number(name) !== process.pid) found.push({ pid: Number(name) });
    } catch {
      // It ended between being listed and being looked at.
    }
  }
  return found;
}

function workingFolder(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${String(pid)}/cwd`);
  } catch {
    return undefined;
  }
}
