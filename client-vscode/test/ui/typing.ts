/** `scripts/bench-vscode typing FOLDER`. */

import { startCodeServer } from "./codeServer.js";
import { hostArguments, runInHost } from "./hostRun.js";
import { clearScene, makeScene, python } from "./scene.js";
import { launchBrowser } from "./workbench.js";

async function main(): Promise<void> {
  const folder = process.argv[2];
  if (folder === undefined) throw new Error("Give the folder to search.");
  const scene = makeScene();
  const server = await startCodeServer({
    home: scene.home,
    machineSettings: { "mosearch.server.interpreter": python() },
    environment: { ...scene.environment, VSCODE_TEST_MEASURE: "typing" },
    arguments: hostArguments,
  });
  const browser = await launchBrowser();
  try {
    const { code, log } = await runInHost(server, browser, folder);
    console.log(log);
    process.exitCode = code;
  } finally {
    await browser.close();
    await server.stop();
    clearScene(scene);
  }
}

void main();
