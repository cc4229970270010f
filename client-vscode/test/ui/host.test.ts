/** Runs the tests of `test/host` inside the extension host of a real VS Code. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { startCodeServer } from "./codeServer.js";
import { clearScene, makeScene, python } from "./scene.js";
import { launchBrowser } from "./workbench.js";

const TIMEOUT_MS = 150_000;

test("inside the extension host", { timeout: TIMEOUT_MS }, async () => {
  const scene = makeScene();
  const server = await startCodeServer({
    home: scene.home,
    settings: { "mosearch.server.interpreter": python() },
    environment: scene.environment,
    arguments: ["--enable-smoke-test-driver"],
  });
  const browser = await launchBrowser();
  try {
    const page = await browser.newPage();
    const log: string[] = [];
    await page.exposeFunction("codeAutomationLog", (_kind: string, parts: unknown[]) => {
      log.push(parts.map(String).join(" "));
    });
    const exit = new Promise<number>((resolve) => {
      void page.exposeFunction("codeAutomationExit", resolve);
    });
    const remote = `vscode-remote://127.0.0.1:${String(server.port)}${process.cwd()}`;
    const payload = [
      ["extensionDevelopmentPath", remote],
      ["extensionTestsPath", `${remote}/out/host/index.js`],
    ];
    const query = new URLSearchParams({ folder: scene.repository, payload: JSON.stringify(payload) });
    await page.goto(`${server.url}/?${query.toString()}`);
    const code = await exit;
    console.log(log.join("\n"));
    assert.equal(code, 0, log.join("\n"));
  } finally {
    await browser.close();
    await server.stop();
    clearScene(scene);
  }
});
