/** Runs what is in `test/host` inside the extension host of a real VS Code. */

import { startCodeServer } from "./codeServer.js";
import { python, type Scene } from "./scene.js";
import { launchBrowser } from "./workbench.js";

/** Exit code and output. */
export async function runInHost(
  scene: Scene,
  folder: string,
  environment: Record<string, string>,
): Promise<{ code: number; log: string }> {
  const server = await startCodeServer({
    home: scene.home,
    settings: { "mosearch.server.interpreter": python() },
    environment: { ...scene.environment, ...environment },
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
    const query = new URLSearchParams({ folder, payload: JSON.stringify(payload) });
    await page.goto(`${server.url}/?${query.toString()}`);
    return { code: await exit, log: log.join("\n") };
  } finally {
    await browser.close();
    await server.stop();
  }
}
