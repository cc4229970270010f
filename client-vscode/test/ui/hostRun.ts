/** Runs what is in `test/host` inside the extension host of a real VS Code. */

import type { Browser } from "playwright-core";
import type { CodeServer } from "./codeServer.js";

/** What a code-server needs to be started with. */
export const hostArguments = ["--enable-smoke-test-driver"];

/** Exit code and output. */
export async function runInHost(
  server: CodeServer,
  browser: Browser,
  folder: string,
): Promise<{ code: number; log: string }> {
  const page = await browser.newPage();
  try {
    const log: string[] = [];
    await page.exposeFunction("codeAutomationLog", (_kind: string, parts: unknown[]) => {
      log.push(formatted(parts));
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
    await page.close();
  }
}

/** As the console has it: `%s` and its like stand for the parts that follow. */
function formatted([first, ...rest]: unknown[]): string {
  const text = inWords(first).replaceAll(/%[sdo]/g, () => inWords(rest.shift()));
  return [text, ...rest.map(inWords)].join(" ");
}

function inWords(part: unknown): string {
  return typeof part === "string" ? part : JSON.stringify(part ?? "");
}
