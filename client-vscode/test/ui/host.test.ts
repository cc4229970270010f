import assert from "node:assert/strict";
import { test } from "node:test";
import { runInHost } from "./hostRun.js";
import { clearScene, makeScene } from "./scene.js";

const TIMEOUT_MS = 240_000;

test("inside the extension host", { timeout: TIMEOUT_MS }, async () => {
  const scene = makeScene();
  try {
    const { code, log } = await runInHost(scene, scene.repository, {});
    console.log(log);
    assert.equal(code, 0);
  } finally {
    clearScene(scene);
  }
});
