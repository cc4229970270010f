/** The status page: counts, failures with their reasons, and what can be done. */

import { ViewColumn, l10n, window, type Disposable, type WebviewPanel } from "vscode";
import type { Monitor } from "./monitor.js";
import { render } from "./pageHtml.js";

/** What links on the page may run. */
const COMMANDS = [
  "mosearch.searchByMeaning",
  "mosearch.reindex",
  "mosearch.openLog",
  "mosearch.clearIndex",
  "mosearch.restartServer",
  "mosearch.install",
  "mosearch.openSettings",
  "vscode.open",
];

export class StatusPage implements Disposable {
  private panel: WebviewPanel | undefined;
  private readonly listening: Disposable;

  constructor(private readonly monitor: Monitor) {
    this.listening = monitor.onDidChange(() => {
      this.update();
    });
  }

  show(): void {
    if (this.panel === undefined) {
      this.panel = window.createWebviewPanel("mosearch.status", l10n.t("MoSEarch Status"), ViewColumn.Active, {
        enableScripts: false,
        enableCommandUris: COMMANDS,
        localResourceRoots: [],
      });
      this.panel.onDidDispose(() => {
        this.panel = undefined;
      });
    }
    this.panel.reveal();
    this.update();
    void this.monitor.refresh();
  }

  dispose(): void {
    this.listening.dispose();
    this.panel?.dispose();
  }

  private update(): void {
    if (this.panel !== undefined) this.panel.webview.html = render(this.monitor.health, this.monitor.latest);
  }
}
