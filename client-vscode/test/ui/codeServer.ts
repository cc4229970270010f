/** A real VS Code, served over HTTP from a folder of its own. */

import { spawn, type ChildProcess } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import * as path from "node:path";

export interface CodeServer {
  url: string;
  port: number;
  /** The user's settings file. */
  settings: string;
  globalStorage: string;
  logs: string;
  stop: () => Promise<void>;
}

interface Options {
  /** Where everything is kept; empty at first. */
  home: string;
  vsix?: string;
  /** The user's. */
  settings?: Record<string, unknown>;
  /** Those that belong to the machine: which programs run.  VS Code takes them from no other file for long. */
  machineSettings?: Record<string, unknown>;
  environment?: Record<string, string>;
  arguments?: readonly string[];
}

const START_TIMEOUT_MS = 60_000;

// Nothing of a fresh installation's welcome stands in front of what is tested.
const quiet = {
  "workbench.startupEditor": "none",
  "workbench.secondarySideBar.defaultVisibility": "hidden",
  "workbench.tips.enabled": false,
  "chat.commandCenter.enabled": false,
  "extensions.ignoreRecommendations": true,
  "security.workspace.trust.enabled": false,
  "telemetry.telemetryLevel": "off",
  "update.mode": "none",
  "git.openRepositoryInParentFolders": "never",
  "window.menuBarVisibility": "compact",
  "files.autoSave": "off",
};

export async function startCodeServer(options: Options): Promise<CodeServer> {
  const { home } = options;
  const data = path.join(home, "data");
  const settings = path.join(data, "data", "User", "settings.json");
  await writeSettings(settings, { ...quiet, ...options.settings });
  await writeSettings(path.join(data, "data", "Machine", "settings.json"), { ...options.machineSettings });
  const common = [
    path.join(root(), "out", "server-main.js"),
    "--accept-server-license-terms",
    "--telemetry-level",
    "off",
    "--server-data-dir",
    data,
    "--extensions-dir",
    path.join(home, "extensions"),
  ];
  const env = { ...process.env, ...options.environment };
  if (options.vsix !== undefined) await install([...common, "--install-extension", options.vsix], env);
  const port = await freePort();
  const served = ["--host", "127.0.0.1", "--port", String(port), "--without-connection-token"];
  const child = spawn(
    process.execPath,
    [...common, ...served, "--disable-workspace-trust", ...(options.arguments ?? [])],
    { env, stdio: ["ignore", "pipe", "pipe"] },
  );
  await listening(child);
  return {
    url: `http://127.0.0.1:${String(port)}`,
    port,
    settings,
    globalStorage: path.join(data, "data", "User", "globalStorage", "mosearch.mosearch"),
    logs: path.join(data, "data", "logs"),
    stop: () => ended(child),
  };
}

async function writeSettings(file: string, settings: Record<string, unknown>): Promise<void> {
  await mkdir(path.dirname(file), { recursive: true });
  await writeFile(file, JSON.stringify(settings, undefined, 2));
}

function root(): string {
  const folder = process.env["VSCODE_TEST_SERVER"];
  if (folder === undefined) throw new Error("VSCODE_TEST_SERVER is not set: run scripts/test-vscode.");
  return folder;
}

async function install(args: readonly string[], env: NodeJS.ProcessEnv): Promise<void> {
  const child = spawn(process.execPath, args, { env, stdio: "inherit" });
  const code = await new Promise((resolve) => child.on("exit", resolve));
  if (code !== 0) throw new Error(`Installing the extension failed with ${String(code)}.`);
}

function listening(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    let output = "";
    const timer = setTimeout(() => {
      reject(new Error(`code-server did not start:\n${output}`));
    }, START_TIMEOUT_MS);
    const read = (chunk: Buffer): void => {
      output += chunk.toString();
      if (!output.includes("Extension host agent listening")) return;
      clearTimeout(timer);
      resolve();
    };
    child.stdout?.on("data", read);
    child.stderr?.on("data", read);
    child.on("exit", (code) => {
      clearTimeout(timer);
      reject(new Error(`code-server ended with ${String(code)}:\n${output}`));
    });
  });
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  const exit = new Promise((resolve) => child.once("exit", resolve));
  child.kill();
  const timer = setTimeout(() => child.kill("SIGKILL"), 5000);
  await exit;
  clearTimeout(timer);
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
