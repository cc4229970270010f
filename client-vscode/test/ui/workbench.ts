/** The workbench in a headless browser, by what a person would see and press. */

import { chromium, errors, type Browser, type Locator, type Page } from "playwright-core";

// Perhaps on a busy machine: on a quiet one everything comes within a second or two.
const TIMEOUT_MS = 60_000;
// A palette that stays open answers long before; one that was closed never does.
const PALETTE_MS = 10_000;
// Starts an interpreter and an encoder and embeds a repository, perhaps on a busy machine.
const INDEXING_TIMEOUT_MS = 240_000;
// A tenth of a second apart: longer than the pause between an early answer and the one that is re-ranked.
const CALM_LOOKS = 5;

// The first of a row's lines; descriptions and details are beside and below it.
const LABEL = ".quick-input-list-rows > .quick-input-list-row:first-child .label-name";

const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--force-color-profile=srgb",
];

export async function launchBrowser(): Promise<Browser> {
  const executablePath = process.env["VSCODE_TEST_BROWSER"];
  if (executablePath === undefined || executablePath === "") {
    throw new Error("VSCODE_TEST_BROWSER is not set: run scripts/test-vscode.");
  }
  return await chromium.launch({ executablePath, args: FLAGS });
}

export class Workbench {
  private constructor(
    readonly page: Page,
    /** Where screenshots go; none are taken without it. */
    private readonly pictures: string | undefined,
  ) {}

  static async open(
    browser: Browser,
    url: string,
    folder: string,
    pictures: string | undefined,
  ): Promise<Workbench> {
    const context = await browser.newContext({
      viewport: { width: 1360, height: 800 },
      permissions: ["clipboard-read", "clipboard-write"],
    });
    const page = await context.newPage();
    page.setDefaultTimeout(TIMEOUT_MS);
    await page.goto(`${url}/?folder=${encodeURIComponent(folder)}`);
    await page.locator(".statusbar").waitFor();
    return new Workbench(page, pictures);
  }

  async picture(name: string): Promise<void> {
    if (this.pictures === undefined) return;
    await this.page.screenshot({ path: `${this.pictures}/${name}.png` });
  }

  /** The item of ours in the status bar. */
  get status(): Locator {
    return this.page.locator('.statusbar-item[id="mosearch.mosearch.mosearch.status"]');
  }

  get quickInput(): Locator {
    return this.page.locator(".quick-input-widget");
  }

  /** What the quick input lists, separators left out. */
  get rows(): Locator {
    return this.quickInput.locator(".monaco-list-row");
  }

  get focusedRow(): Locator {
    return this.quickInput.locator(".monaco-list-row.focused");
  }

  /** Rows of the MoSEarch view. */
  get results(): Locator {
    return this.page.locator(".pane-body .monaco-list-row");
  }

  tab(name: string): Locator {
    return this.page.locator(`.tab.active[data-resource-name="${name}"]`);
  }

  /** Clicks a button in the quick input's title. */
  async pressButton(name: string): Promise<void> {
    // Explanations of what the mouse rests on may cover the button.
    await this.page.mouse.move(5, 790);
    await this.page.locator(".hover-contents").waitFor({ state: "hidden" });
    await this.quickInput.locator(`.quick-input-titlebar [aria-label^="${name}"]`).click();
  }

  async labels(): Promise<string[]> {
    return await this.rows.locator(LABEL).allTextContents();
  }

  /** The row whose label matches. */
  row(label: RegExp): Locator {
    return this.rows.filter({ has: this.page.locator(LABEL, { hasText: label }) }).first();
  }

  /** File and line that a hit's row names. */
  async placeOf(row: Locator): Promise<{ file: string; line: number }> {
    const text = (await row.textContent()) ?? "";
    const [, file, line] = /([^/\s·]+):(\d+)/.exec(text) ?? [];
    if (file === undefined) throw new Error(`No place in ${text}`);
    return { file, line: Number(line) };
  }

  /** Arrows down to a row. */
  async moveTo(row: Locator): Promise<void> {
    const wanted = await row.getAttribute("data-index");
    for (let step = 0; step < 30; step++) {
      if ((await this.focusedRow.getAttribute("data-index")) === wanted) return;
      await this.press("ArrowDown");
    }
    throw new Error("The row is not reached.");
  }

  async openPicker(): Promise<void> {
    await this.press("Alt+m");
    await this.quickInput.locator(".quick-input-title", { hasText: "Search by Meaning" }).waitFor();
    await this.page.locator(".quick-input-widget input.input:focus").waitFor();
  }

  /** Opens the picker and types. */
  async search(query: string, delay = 0): Promise<void> {
    await this.openPicker();
    await this.quickInput.locator("input.input").fill("");
    await this.type(query, delay);
  }

  /** Closes the quick input. */
  async escape(): Promise<void> {
    await this.press("Escape");
    await this.quickInput.waitFor({ state: "hidden" });
  }

  /** Closes the picker, and waits until `file` is in front again and has the focus. */
  async escapeTo(file: string): Promise<void> {
    await this.escape();
    await this.tab(file).waitFor();
    await this.page.locator(".editor-group-container.active .monaco-editor.focused").waitFor();
  }

  /**
   * Waits until the quick input has not been busy for a while, and its rows are the same as before: between two answers
   * to what was typed it rests for a moment, too, and the next one selects the best hit again.
   */
  async settled(): Promise<void> {
    let before = "";
    let calm = 0;
    await this.until(async () => {
      const isBusy = await this.quickInput.locator(".monaco-progress-container.active").isVisible();
      const now = (await this.rows.allTextContents()).join("\n");
      calm = !isBusy && now === before ? calm + 1 : 0;
      before = now;
      return calm >= CALM_LOOKS;
    });
  }

  /** Waits for something that no single element tells. */
  async until(condition: () => Promise<boolean>, timeoutMs = TIMEOUT_MS): Promise<void> {
    const deadline = Date.now() + timeoutMs;
    while (!(await condition())) {
      if (Date.now() > deadline) throw new Error(`Not within ${String(timeoutMs)} ms: ${condition.toString()}`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  /**
   * All texts of our status bar item until one matches; with `another`, one that matches now does not count
   * before there was one that does not.
   */
  async statusTextsUntil(pattern: RegExp, another = false): Promise<string[]> {
    const texts: string[] = [];
    await this.status.waitFor();
    await this.until(async () => {
      const text = (await this.status.textContent()) ?? "";
      if (texts.at(-1) !== text) texts.push(text);
      return pattern.test(text) && (!another || texts.length > 1);
    }, INDEXING_TIMEOUT_MS);
    return texts;
  }

  async type(text: string, delay = 0): Promise<void> {
    await within(this.page.keyboard.type(text, { delay }), `typing ${JSON.stringify(text)}`);
  }

  async press(...keys: string[]): Promise<void> {
    for (const key of keys) await within(this.page.keyboard.press(key), `pressing ${key}`);
  }

  /** Clicks on an item of the context menu until that has gone: VS Code ignores a click that comes too early. */
  async choose(label: string | RegExp): Promise<void> {
    const item = this.page.locator(".context-view .action-label", { hasText: label });
    await item.waitFor();
    await this.until(async () => {
      if (!(await item.isVisible())) return true;
      await item.click({ timeout: 2_000 }).catch(() => undefined);
      return false;
    });
  }

  /** Runs a command by its title.  An editor that takes the focus late closes the palette: it is opened again then. */
  async command(title: string): Promise<void> {
    await this.until(async () => {
      await this.press("F1");
      try {
        await this.quickInput.locator("input.input").fill(`>${title}`, { timeout: PALETTE_MS });
        await this.rows.filter({ hasText: title }).first().click({ timeout: PALETTE_MS });
        return true;
      } catch (error) {
        if (error instanceof errors.TimeoutError) return false;
        throw error;
      }
    });
    await this.quickInput.waitFor({ state: "hidden" });
  }

  async openFile(name: string): Promise<void> {
    await this.press("Control+p");
    await this.quickInput.locator('input[placeholder^="Search files"]:focus').waitFor();
    await this.type(name);
    await this.focusedRow.filter({ hasText: name }).waitFor();
    await this.press("Enter");
    await this.tab(name).waitFor();
    await this.page.locator(".editor-group-container.active .monaco-editor.focused").waitFor();
  }

  async goToLine(line: number): Promise<void> {
    await this.press("Control+g");
    await this.quickInput.locator("input.input").fill(`:${String(line)}`);
    await this.press("Enter");
    await this.cursorAt(line);
  }

  /** Waits until the status bar tells this line of the cursor. */
  async cursorAt(line: number): Promise<void> {
    await this.page.locator(".statusbar-item", { hasText: `Ln ${String(line)},` }).waitFor();
  }
}

/** The keyboard has no time limit of its own, and a page that answers no more would hold up everything. */
async function within(action: Promise<void>, what: string): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new Error(`The page took more than ${String(TIMEOUT_MS)} ms for ${what}.`));
    }, TIMEOUT_MS);
  });
  try {
    await Promise.race([action, late]);
  } finally {
    clearTimeout(timer);
  }
}
