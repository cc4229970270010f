/** `scripts/bench-vscode typing FOLDER`. */

import { runInHost } from "./hostRun.js";
import { clearScene, makeScene } from "./scene.js";

async function main(): Promise<void> {
  const folder = process.argv[2];
  if (folder === undefined) throw new Error("Give the folder to search.");
  const scene = makeScene();
  try {
    const { code, log } = await runInHost(scene, folder, { VSCODE_TEST_MEASURE: "typing" });
    console.log(log);
    process.exitCode = code;
  } finally {
    clearScene(scene);
  }
}

void main();
