/** Which program is the server: settings first, then what is installed, then an environment of our own. */

import * as path from "node:path";
import { extensions, l10n, workspace, type Uri } from "vscode";
import { isRecentEnough, probe, type Python } from "./python.js";
import { run } from "./process.js";
import { privatePython } from "./privateEnvironment.js";

export interface Launch {
  command: string;
  args: string[];
  /** For the log: why this one. */
  origin: string;
}

/** No server can be started until somebody does something; `message` says what. */
export class NoServer extends Error {
  constructor(
    message: string,
    /** Whether an environment of our own would help, rather than a corrected setting. */
    readonly installable: boolean,
  ) {
    super(message);
  }
}

interface PythonExtension {
  environments: {
    getActiveEnvironmentPath: (resource?: Uri) => { path: string };
    resolveEnvironment: (path: {
      path: string;
    }) => Promise<{ executable: { uri?: Uri } } | undefined>;
  };
}

/** Raises `NoServer`.  `storage` is a folder of ours, where programs run. */
export async function findLaunch(storage: string): Promise<Launch> {
  const settings = workspace.getConfiguration("mosearch.server");
  const command = settings.get<string[]>("command", []);
  if (command[0] !== undefined) {
    return { command: command[0], args: command.slice(1), origin: "mosearch.server.command" };
  }
  const interpreter = settings.get<string>("interpreter", "");
  if (interpreter !== "") return await fromSetting(interpreter, storage);
  return (
    (await fromPythonExtension(storage)) ??
    (await fromPath(storage)) ??
    (await fromPrivate(storage)) ??
    noneInstalled()
  );
}

function launchWith(python: Python, origin: string): Launch {
  return { command: python.path, args: ["-m", "mosearch", "serve"], origin };
}

async function fromSetting(interpreter: string, storage: string): Promise<Launch> {
  const python = await probe(interpreter, storage);
  if (python === undefined) {
    throw new NoServer(
      l10n.t(
        "There is no Python interpreter at {0}. Correct or clear the setting `mosearch.server.interpreter`.",
        interpreter,
      ),
      false,
    );
  }
  requireRecent(python);
  if (python.mosearch === null) {
    throw new NoServer(
      l10n.t(
        "{0} does not have MoSEarch. Install it there with pip, or clear the setting `mosearch.server.interpreter`.",
        interpreter,
      ),
      false,
    );
  }
  return launchWith(python, "mosearch.server.interpreter");
}

function requireRecent(python: Python): void {
  if (isRecentEnough(python)) return;
  throw new NoServer(
    l10n.t(
      "{0} is Python {1}; MoSEarch needs 3.10 or newer. Choose another interpreter.",
      python.path,
      python.version.join("."),
    ),
    false,
  );
}

/** In a workspace that is not trusted, its interpreter may be anything: it is not run. */
async function fromPythonExtension(storage: string): Promise<Launch | undefined> {
  const interpreter = await activeInterpreter();
  if (interpreter === undefined) return undefined;
  const python = await probe(interpreter, storage);
  if (python?.mosearch == null || !isRecentEnough(python)) return undefined;
  return launchWith(python, "the Python extension's interpreter");
}

/** The Python extension's interpreter for the first folder of a trusted workspace, if there is one. */
export async function activeInterpreter(): Promise<string | undefined> {
  const extension = extensions.getExtension<PythonExtension>("ms-python.python");
  if (extension === undefined || !workspace.isTrusted) return undefined;
  try {
    const { environments } = await extension.activate();
    const active = environments.getActiveEnvironmentPath(workspace.workspaceFolders?.[0]?.uri);
    const resolved = await environments.resolveEnvironment(active);
    return resolved?.executable.uri?.fsPath;
  } catch {
    return undefined;
  }
}

/** A `mosearch` that is on the path works wherever it came from (pipx, uv, a system package). */
async function fromPath(storage: string): Promise<Launch | undefined> {
  try {
    const { code } = await run("mosearch", ["--version"], {
      cwd: storage,
      signal: AbortSignal.timeout(20_000),
    });
    return code === 0 ? { command: "mosearch", args: ["serve"], origin: "`mosearch` on the path" } : undefined;
  } catch {
    return undefined;
  }
}

async function fromPrivate(storage: string): Promise<Launch | undefined> {
  const python = await privatePython(path.join(storage, "python"));
  return python === undefined ? undefined : launchWith(python, "the private environment");
}

function noneInstalled(): never {
  throw new NoServer(l10n.t("MoSEarch's server is not installed on this machine."), true);
}
