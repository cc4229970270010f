/** The workbench in a headless browser, by what a person would see and press. */

import { chromium, type Browser, type Locator, type Page } from "playwright-core";

const TIMEOUT_MS = 20_000;

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
      viewport: { width: 1200, height: 760 },
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

  label(row: Locator): Locator {
    return row.locator(".quick-input-list-label .label-name").first();
  }

  async labels(): Promise<string[]> {
    return await this.rows.locator(".quick-input-list-rows > .quick-input-list-row:first-child .label-name").allTextContents();
  }

  async type(text: string, delay = 0): Promise<void> {
    await this.page.keyboard.type(text, { delay });
  }

  async press(...keys: string[]): Promise<void> {
    for (const key of keys) await this.page.keyboard.press(key);
  }

  /** Runs a command by its title. */
  async command(title: string): Promise<void> {
    await this.press("F1");
    await this.quickInput.locator("input.input").fill(`>${title}`);
    await this.rows.filter({ hasText: title }).first().click();
  }

  async openFile(name: string): Promise<void> {
    await this.press("Control+p");
    await this.quickInput.locator("input.input").fill(name);
    await this.rows.filter({ hasText: name }).first().waitFor();
    await this.press("Enter");
    await this.page.locator(`.tab.active[data-resource-name="${name}"]`).waitFor();
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

  get activeTab(): Locator {
    return this.page.locator(".tab.active");
  }
}
