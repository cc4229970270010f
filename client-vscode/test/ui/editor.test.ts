/** The extension as a person uses it, in a real VS Code, on a real repository, with the real server. */

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import * as path from "node:path";
import { after, afterEach, before, test } from "node:test";
import type { Browser } from "playwright-core";
import { startCodeServer, type CodeServer } from "./codeServer.js";
import { hostArguments, runInHost } from "./hostRun.js";
import { clearScene, lineOf, makeScene, python, serversIn, type Scene } from "./scene.js";
import { Workbench, launchBrowser } from "./workbench.js";

// `PICTURES=folder` keeps a screenshot of each step, and of each failure.
const pictures = process.env["PICTURES"];

// Several searches, perhaps on a busy machine.
const SLOW_MS = 120_000;
const HOST_TIMEOUT_MS = 600_000;

let scene: Scene;
let server: CodeServer;
let browser: Browser;
let work: Workbench;

before(async () => {
  if (pictures !== undefined) mkdirSync(pictures, { recursive: true });
  scene = makeScene();
  server = await startCodeServer({
    home: scene.home,
    vsix: path.resolve("out/mosearch.vsix"),
    settings: { "editor.minimap.enabled": false, "editor.fontSize": 13 },
    machineSettings: { "mosearch.server.interpreter": python() },
    environment: scene.environment,
    arguments: hostArguments,
  });
  browser = await launchBrowser();
  work = await Workbench.open(browser, server.url, scene.repository, pictures);
});

after(async () => {
  await browser.close();
  await server.stop();
  clearScene(scene);
});

afterEach(async (context) => {
  if (!("passed" in context) || context.passed !== false) return;
  await work.picture(`failed-${context.name.slice(0, 30).replaceAll(/\W+/g, "-")}`);
  // What a failed test left open stands in nobody else's way.
  await work.press("Escape", "Escape");
});

test("indexing is shown with a percentage, and then that it is done", async () => {
  const texts = await work.statusTextsUntil(/exit \d/);
  assert.ok(
    texts.some((text) => /MoSEarch \d+ %/.test(text)),
    `no percentage in ${JSON.stringify(texts)}`,
  );
  await work.picture("01-indexed");
});

test("a question finds code while it is typed, arrow keys preview it, and Escape brings back what was there", async () => {
  await work.openFile("utils.py");
  await work.goToLine(7);
  await work.search("remove styling information from a string", 40);
  const found = work.row(/^unstyle$/);
  await found.waitFor();
  await work.picture("02-search");

  // The list may still be replaced, by the answer to what was typed last: then the best hit is selected again.
  let shown = { file: "", line: 0 };
  await work.until(async () => {
    await work.moveTo(work.rows.nth(2));
    shown = await work.placeOf(work.focusedRow);
    return await work.tab(shown.file).isVisible();
  }, SLOW_MS);
  await work.page.locator(`.view-lines`).first().waitFor();
  await work.picture("03-preview");
  await work.escapeTo("utils.py");
  await work.cursorAt(7);
  if (shown.file !== "utils.py") assert.equal(await work.page.locator(".tab").count(), 1, "the preview's tab is gone");
});

test("Enter opens a hit where it begins", async () => {
  await work.search("remove styling information from a string");
  const row = work.row(/^unstyle$/);
  await row.waitFor();
  const { file, line } = await work.placeOf(row);
  assert.equal(file, "termui.py");
  assert.equal(line, lineOf(scene, "termui.py", "def unstyle("));
  await work.settled();
  await work.moveTo(row);
  await work.picture("04-selected");
  await work.press("Enter");
  await work.tab("termui.py").waitFor();
  await work.cursorAt(line);
  await work.picture("05-opened");
});

test("rows keep the server's order, whatever their names", async () => {
  await work.search("style");
  await work.rows.nth(4).waitFor();
  await work.settled();
  const scores = (await work.rows.allTextContents()).map((text) => Number(/(\d+\.\d\d)/.exec(text)?.[1]));
  assert.deepEqual(scores, [...scores].sort((a, b) => b - a));
  await work.escape();
});

test("queries are remembered, and a hit opens to the side", async () => {
  await work.openPicker();
  await work.row(/^remove styling information from a string$/).waitFor();
  await work.picture("06-recent");
  await work.press("Enter");
  const row = work.row(/^unstyle$/);
  await row.waitFor();
  await work.settled();
  await work.moveTo(row);
  await work.press("Control+\\");
  await work.page.locator(".editor-group-container").nth(1).waitFor();
  await work.command("View: Close All Editors");
});

test("filters restrict the search, and the title says so", async () => {
  await work.search("open a file");
  await work.rows.nth(3).waitFor();
  await work.pressButton("Filter by Language");
  await work.quickInput.locator('input[placeholder^="Search only in these languages"]:focus').waitFor();
  await work.type("markdown");
  await work.rows.filter({ hasText: "markdown" }).click();
  await work.press("Enter");
  await work.quickInput.locator(".quick-input-title", { hasText: "(markdown)" }).waitFor();
  await work.rows.filter({ hasText: "Nothing found" }).waitFor();
  await work.picture("07-filtered");
  await work.pressButton("Clear Filters");
  await work.rows.nth(3).waitFor();
  await work.escape();
});

test("Find Similar Code in the context menu peeks at similar code and lists it in the view", async () => {
  await work.openFile("decorators.py");
  await work.goToLine(lineOf(scene, "decorators.py", "def confirmation_option("));
  await work.press("Shift+F10");
  await work.page.locator(".context-view .action-label", { hasText: /^Find Similar Code$/ }).waitFor();
  await work.picture("08-menu");
  await work.choose(/^Find Similar Code$/);
  await work.page.locator(".peekview-widget .ref-tree .monaco-list-row").first().waitFor();
  await work.page.locator(".peekview-widget .preview .view-line").first().waitFor();
  await work.picture("09-peek");
  await work.escape();
  await work.page.locator('.activitybar [aria-label^="MoSEarch"]').first().click();
  await work.results.first().waitFor();
  await work.page.getByText(/^Similar to src\/click\/decorators\.py:\d+$/).waitFor();
  await work.results.first().hover();
  await work.picture("10-view");
});

test("in the results view, hits are compared, copied, dismissed and refreshed", async () => {
  const hits = work.results.filter({ hasText: /\.\d\d/ });
  const count = await hits.count();
  assert.ok(count >= 1);

  const name = await hits.first().locator(".label-name").textContent();
  await hits.first().click({ button: "right" });
  await work.choose("Copy Link");
  await work.page.locator(".statusbar-item", { hasText: "Copied" }).waitFor();
  const link = await work.page.evaluate(() => navigator.clipboard.readText());
  assert.match(link, /^src\/click\/\w+\.py#L\d+-L\d+$/);

  await hits.first().hover();
  await hits.first().locator('[aria-label^="Compare"]').click();
  await work.page.locator(".monaco-diff-editor .modified .view-line", { hasText: name ?? "" }).first().waitFor();
  await work.page.locator(".monaco-diff-editor .original .view-line", { hasText: "confirmation_option(" }).first().waitFor();
  await work.picture("11-compare");

  await hits.first().hover();
  await hits.first().locator('[aria-label^="Dismiss"]').click();
  await work.until(async () => (await hits.count()) === count - 1);
  await work.page.locator('.sidebar .composite.title [aria-label^="Refresh"]').click();
  // Deeper vectors that came meanwhile may find more.
  await work.until(async () => (await hits.count()) >= count);
  await work.command("View: Close All Editors");
});

test("a function that was typed and not saved is found, and not any more once it is gone", async () => {
  const found = async (): Promise<boolean> => {
    await work.search("convert roman numerals to numbers");
    await work.rows.nth(2).waitFor();
    await work.settled();
    const labels = await work.labels();
    return labels.includes("roman_to_integer");
  };
  await work.openFile("globals.py");
  await work.press("Control+End");
  await work.type("\n\ndef roman_to_integer(numeral):\nreturn sum(VALUES[letter] for letter in numeral)\n");
  await work.until(async () => {
    if (await found()) return true;
    await work.escapeTo("globals.py");
    return false;
  }, SLOW_MS);
  assert.equal((await work.placeOf(work.row(/^roman_to_integer$/))).file, "globals.py");
  await work.picture("12-unsaved");
  await work.escapeTo("globals.py");
  await work.page.locator(".tab.active.dirty").waitFor();
  await work.command("File: Revert File");
  await work.until(async () => {
    const isFound = await found();
    await work.escapeTo("globals.py");
    return !isFound;
  }, SLOW_MS);
});

test("a changed setting counts at once", async () => {
  await work.command("Preferences: Open Settings (UI)");
  await work.page.locator(".settings-editor .suggest-input-container").click();
  await work.type("mosearch.limit");
  const input = work.page.locator('.setting-item-contents input[type="number"]').first();
  await work.page.locator(".setting-item-contents", { hasText: "Hits per answer." }).first().waitFor();
  await input.fill("3");
  await work.picture("13-settings");
  await work.command("View: Close All Editors");
  await work.until(async () => {
    await work.search("print a message to the terminal");
    await work.rows.first().waitFor();
    await work.settled();
    const count = await work.rows.count();
    await work.escape();
    return count === 3;
  }, SLOW_MS);
});

test("a server that is killed comes back", async () => {
  const [pid, ...others] = serversIn(server.globalStorage);
  assert.ok(pid !== undefined && others.length === 0);
  process.kill(pid, "SIGKILL");
  const texts = await work.statusTextsUntil(/exit \d/, true);
  assert.ok(texts.length > 1, "the status bar told of it");
  assert.notEqual(serversIn(server.globalStorage)[0], pid);
  await work.search("remove styling information from a string");
  await work.row(/^unstyle$/).waitFor();
  await work.escape();
});

test("the status page tells what is indexed and what can be done", async () => {
  await work.status.click();
  const page = work.page.frameLocator("iframe.webview.ready").frameLocator("iframe#active-frame");
  await page.getByRole("heading", { name: "click" }).waitFor();
  const text = await page.locator("main").innerText();
  assert.match(text, /Files\s+1[5-9]/);
  assert.match(text, /Vectors\s+\d+ at exit 0, \d+ at exit 6/);
  assert.match(text, /Last in step with the files\s+\d/);
  await page.getByRole("button", { name: "Re-index" }).waitFor();
  await work.picture("14-status");
});

test("the tests inside the extension host pass", { timeout: HOST_TIMEOUT_MS }, async () => {
  const { code, log } = await runInHost(server, browser, scene.repository);
  assert.equal(code, 0, log);
  console.log(log.split("\n").filter((line) => /✔|passing/.test(line)).join("\n"));
});

test("closing the window ends the server", async () => {
  await work.page.close();
  await server.stop();
  await work.until(() => Promise.resolve(serversIn(server.globalStorage).length === 0));
});

