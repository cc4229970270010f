/** `scripts/bench-vscode stranger`: what somebody does who has a VS Code and a Python, and reads the README. */

import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import * as path from "node:path";
import { startCodeServer } from "./codeServer.js";
import { clearScene, makeScene } from "./scene.js";
import { Workbench, launchBrowser } from "./workbench.js";

const INSTALL_TIMEOUT_MS = 900_000;

async function main(): Promise<void> {
  const pictures = process.env["PICTURES"];
  if (pictures !== undefined) mkdirSync(pictures, { recursive: true });
  const scene = makeScene();
  // The path of a login shell: no virtual environment, no mosearch.
  const environment = { ...scene.environment, PATH: "/usr/local/bin:/usr/bin:/bin", VIRTUAL_ENV: "" };
  execFileSync("sh", ["-c", "! command -v mosearch"], { env: { ...process.env, ...environment } });
  const steps: { step: string; seconds: number }[] = [];
  const begin = performance.now();
  const done = (step: string): void => {
    steps.push({ step, seconds: Math.round((performance.now() - begin) / 100) / 10 });
  };
  const server = await startCodeServer({
    home: scene.home,
    vsix: path.resolve("out/mosearch.vsix"),
    environment,
  });
  done("install the .vsix");
  const browser = await launchBrowser();
  try {
    const work = await Workbench.open(browser, server.url, scene.repository, pictures);
    const offer = work.page.locator(".notification-toast", { hasText: "MoSEarch needs its server" });
    await offer.waitFor();
    done("open the folder");
    await work.picture("stranger-1-offer");
    await offer.getByRole("button", { name: "Set Up" }).click();
    await work.page.locator(".monaco-dialog-box").waitFor();
    await work.picture("stranger-2-consent");
    await work.page.locator(".monaco-dialog-box").getByRole("button", { name: "Install", exact: true }).click();
    done("agree");
    await work.until(async () => /Downloading|Installing packages/.test(await notifications(work)), 120_000);
    await work.picture("stranger-3-installing");
    await work.page.locator(".statusbar-item", { hasText: /MoSEarch( \d|.*exit)/ }).waitFor({ timeout: INSTALL_TIMEOUT_MS });
    done("(the server is installed and answers)");
    await work.search("remove styling information from a string", 40);
    await work.rows.nth(2).waitFor({ timeout: 60_000 });
    done("Alt+M and a question: first results");
    await work.picture("stranger-4-result");
    console.log(JSON.stringify(steps, undefined, 2));
  } finally {
    await browser.close();
    await server.stop();
    clearScene(scene);
  }
}

async function notifications(work: Workbench): Promise<string> {
  return (await work.page.locator(".notifications-toasts").textContent()) ?? "";
}

void main();
