/** What the picker lists. */

import { QuickPickItemKind, ThemeIcon, l10n, type QuickInputButton, type QuickPickItem } from "vscode";
import { headline, lines, scoreText } from "../core/hits.js";
import type { Hit } from "../core/protocol.js";
import { escapeIcons } from "../core/text.js";
import { kindIcon } from "../ui/kinds.js";

export type Row =
  | (QuickPickItem & { type: "hit"; hit: Hit })
  | (QuickPickItem & { type: "recent"; query: string })
  | (QuickPickItem & { type: "note" });

export const openToSide: QuickInputButton = {
  iconPath: new ThemeIcon("split-horizontal"),
  tooltip: l10n.t("Open to the Side (Ctrl+\\)"),
};
export const findSimilar: QuickInputButton = {
  iconPath: new ThemeIcon("references"),
  tooltip: l10n.t("Find Similar Code"),
};
export const forgetQuery: QuickInputButton = {
  iconPath: new ThemeIcon("close"),
  tooltip: l10n.t("Remove from Recent Queries"),
};

/** `folder` names the workspace folder, where there are several. */
export function hitRow(hit: Hit, folder: string | undefined): Row {
  const [first] = lines(hit);
  const path = `${folder === undefined ? "" : `${folder}/`}${hit.path}:${String(first)}`;
  return {
    type: "hit",
    hit,
    label: escapeIcons(hit.symbol === "" ? (hit.path.split("/").at(-1) ?? hit.path) : hit.symbol),
    description: escapeIcons([hit.container, path, scoreText(hit.score)].filter((part) => part !== "").join("  ·  ")),
    detail: escapeIcons(headline(hit)),
    iconPath: kindIcon(hit.kind),
    buttons: [openToSide, findSimilar],
    alwaysShow: true,
  };
}

export function recentRow(query: string): Row {
  return {
    type: "recent",
    query,
    label: escapeIcons(query),
    iconPath: new ThemeIcon("history"),
    buttons: [forgetQuery],
    alwaysShow: true,
  };
}

/** A line that says something and cannot be chosen. */
export function separator(label: string): Row {
  return { type: "note", label, kind: QuickPickItemKind.Separator };
}

export function note(label: string, detail?: string): Row {
  return {
    type: "note",
    label,
    iconPath: new ThemeIcon("info"),
    alwaysShow: true,
    ...(detail === undefined ? {} : { detail }),
  };
}
