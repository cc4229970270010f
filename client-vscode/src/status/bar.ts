/** The item in the status bar: one glance says how the index is. */

import { MarkdownString, StatusBarAlignment, ThemeColor, l10n, window } from "vscode";
import type { Health } from "../core/health.js";
import type { Status } from "../core/protocol.js";
import type { Monitor } from "./monitor.js";

interface Face {
  text: string;
  /** Read aloud, and shown over the item. */
  label: string;
  background?: "warning" | "error";
}

export function registerStatusBar(monitor: Monitor): { dispose: () => unknown }[] {
  const item = window.createStatusBarItem("mosearch.status", StatusBarAlignment.Right, 100);
  item.name = "MoSEarch";
  item.command = "mosearch.showStatus";
  const update = (): void => {
    const { text, label, background } = faceOf(monitor.health);
    item.text = text;
    item.tooltip = tooltip(label, monitor.latest);
    item.accessibilityInformation = { label: `MoSEarch: ${label}`, role: "button" };
    item.backgroundColor =
      background === undefined ? undefined : new ThemeColor(`statusBarItem.${background}Background`);
  };
  update();
  item.show();
  return [item, monitor.onDidChange(update)];
}

function faceOf(health: Health): Face {
  switch (health.kind) {
    case "off":
      return { text: "$(telescope) MoSEarch", label: l10n.t("not started") };
    case "missing":
      return { text: l10n.t("$(telescope) MoSEarch: set up"), label: health.message, background: "warning" };
    case "failed":
      return { text: "$(error) MoSEarch", label: health.message, background: "error" };
    case "starting":
      return { text: "$(loading~spin) MoSEarch", label: l10n.t("starting") };
    case "restarting":
      return {
        text: "$(debug-restart) MoSEarch",
        label: l10n.t("the server ended unexpectedly and is started again"),
        background: "warning",
      };
    case "indexing": {
      const percentage = String(health.percentage);
      return { text: `$(sync~spin) MoSEarch ${percentage} %`, label: l10n.t("indexing, {0} %", percentage) };
    }
    case "problems":
      return { text: "$(warning) MoSEarch", label: health.problems.join("\n"), background: "warning" };
    case "ready":
      return readyFace(health.exits, health.device);
  }
}

function readyFace(exits: string, device: string): Face {
  const details = [exits === "" ? "" : l10n.t("exit {0}", exits), device].filter((part) => part !== "");
  const text = ["$(telescope) MoSEarch", ...details].join(" · ");
  return { text, label: [l10n.t("ready"), ...details].join(", ") };
}

function tooltip(label: string, status: Status | undefined): MarkdownString {
  const text = new MarkdownString(undefined, true);
  text.appendMarkdown(`**MoSEarch** — `).appendText(label);
  for (const folder of status?.folders ?? []) {
    if (folder.chunks === undefined) continue;
    const name = folder.root.split(/[\\/]/).at(-1) ?? folder.root;
    text.appendMarkdown("\n\n$(folder) ");
    text.appendText(
      l10n.t("{0}: {1} files, {2} chunks", name, number(folder.files ?? 0), number(folder.chunks)),
    );
  }
  return text;
}

export function number(value: number): string {
  return value.toLocaleString("en-US");
}
