/**
 * The virtual environment that the extension keeps for itself, when there is no other MoSEarch.  Each installation
 * has a folder of its own below one, so that the one before serves until the next is finished.
 */

import { existsSync } from "node:fs";
import { mkdir, readdir, rm, writeFile } from "node:fs/promises";
import * as path from "node:path";
import { l10n, workspace } from "vscode";
import { pipStep, type PipStep } from "../core/pip.js";
import { interpreterNames, isRecentEnough, probe, type Python } from "./python.js";
import { run, type Ended } from "./process.js";

/** Written last: an environment without it was not finished. */
const MARKER = "mosearch-installed.json";
const LINES_SHOWN = 4;
const DAY_MS = 86_400_000;

export interface Installation {
  /** Where environments lie. */
  folder: string;
  /** What pip installs: a wheel, a folder or a requirement. */
  source: string;
  /** Interpreters to try first. */
  preferred: readonly string[];
  signal: AbortSignal;
  report: (message: string) => void;
  log: (line: string) => void;
}

/** The interpreter of the newest finished environment below `folder`, or undefined. */
export async function privatePython(folder: string): Promise<Python | undefined> {
  const finished = (await environments(folder)).filter((each) => existsSync(path.join(each, MARKER)));
  const newest = finished.at(-1);
  if (newest === undefined) return undefined;
  const python = await probe(interpreterIn(newest), folder);
  return python?.mosearch == null ? undefined : python;
}

/** Those below `folder`, the oldest first. */
async function environments(folder: string): Promise<string[]> {
  if (!existsSync(folder)) return [];
  const names = (await readdir(folder)).filter((name) => /^\d+$/.test(name));
  return names.sort((one, other) => Number(one) - Number(other)).map((name) => path.join(folder, name));
}

/**
 * What to install: the setting, else the wheel that came with the extension, else the published package.
 */
export async function installationSource(extensionFolder: string): Promise<string> {
  const chosen = workspace.getConfiguration("mosearch.server").get<string>("package", "");
  if (chosen !== "") return chosen;
  const folder = path.join(extensionFolder, "server");
  const wheels = existsSync(folder) ? (await readdir(folder)).filter((name) => name.endsWith(".whl")) : [];
  return wheels[0] === undefined ? "mosearch" : path.join(folder, wheels[0]);
}

/**
 * Makes a new environment; those before the last go when it is finished.  Throws an `Error` whose message says what to do;
 * leaves nothing half-made, and what there was as it was.
 */
export async function install(wanted: Installation): Promise<void> {
  const { source, signal, report, log } = wanted;
  const cwd = wanted.folder;
  await mkdir(cwd, { recursive: true });
  const before = await environments(cwd);
  const folder = path.join(cwd, String(Date.now()));
  const step = async (command: string, args: string[]): Promise<Ended> => {
    log(`> ${[command, ...args].join(" ")}`);
    return run(command, args, {
      cwd,
      signal,
      onLine: (line) => {
        log(line);
        const progress = pipStep(line);
        if (progress !== undefined) report(progressText(progress));
      },
    });
  };
  try {
    report(l10n.t("Looking for Python"));
    const base = await findBase(wanted.preferred, cwd);
    report(l10n.t("Creating a virtual environment"));
    requireSuccess(await step(base.path, ["-m", "venv", "--clear", folder]), venvAdvice(base));
    const pip = ["-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--progress-bar", "off"];
    report(l10n.t("Downloading"));
    requireSuccess(
      await step(interpreterIn(folder), [...pip, ...pipArguments(), source]),
      l10n.t("pip could not install {0}. The log has its whole output.", source),
    );
    await writeFile(path.join(folder, MARKER), JSON.stringify({ source }));
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
  // Servers of other windows may run from the last one, and go on until these are reloaded: the next installation
  // removes it.  What runs from another may keep that from being removed, too.
  const finished = before.filter((each) => existsSync(path.join(each, MARKER)));
  const abandoned = before.filter((each) => !finished.includes(each) && Date.now() - Number(path.basename(each)) > DAY_MS);
  await Promise.allSettled([...finished.slice(0, -1), ...abandoned].map((each) => rm(each, { recursive: true, force: true })));
}

/** What the user adds to `pip install`. */
export function pipArguments(): string[] {
  return workspace.getConfiguration("mosearch.server").get<string[]>("pipArguments", []);
}

function interpreterIn(folder: string): string {
  return process.platform === "win32"
    ? path.join(folder, "Scripts", "python.exe")
    : path.join(folder, "bin", "python");
}

async function findBase(preferred: readonly string[], cwd: string): Promise<Python> {
  for (const name of [...preferred, ...interpreterNames(process.platform)]) {
    const python = await probe(name, cwd);
    if (python !== undefined && isRecentEnough(python)) return python;
  }
  throw new Error(
    l10n.t("No Python 3.10 or newer was found. Install one, or name it in `mosearch.server.interpreter`."),
  );
}

function venvAdvice(base: Python): string {
  const [major, minor] = base.version;
  return l10n.t(
    "{0} could not create a virtual environment. On Debian and Ubuntu, install the package python{1}-venv.",
    base.path,
    `${String(major)}.${String(minor)}`,
  );
}

function requireSuccess(ended: Ended, advice: string): void {
  if (ended.code === 0) return;
  const last = `${ended.stdout}${ended.stderr}`.trimEnd().split("\n").slice(-LINES_SHOWN).join("\n");
  throw new Error(`${advice}\n${last}`);
}

function progressText(step: PipStep): string {
  if (step.kind === "install") return l10n.t("Installing packages");
  return step.size === "" ? l10n.t("Downloading {0}", step.name) : l10n.t("Downloading {0} ({1})", step.name, step.size);
}
