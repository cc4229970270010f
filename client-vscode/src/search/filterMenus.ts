/** The menus behind the picker's filter buttons. */

import { RelativePattern, TabInputText, l10n, window, workspace, type QuickPickItem } from "vscode";
import { languages } from "../core/languages.js";

interface Choice extends QuickPickItem {
  value: string;
}

const MOST_FILES = 20_000;
const MOST_FOLDERS = 2000;

/** Languages to search in, those of `seen` first; undefined when called off. */
export async function chooseLanguages(
  seen: ReadonlySet<string>,
  chosen: readonly string[],
): Promise<string[] | undefined> {
  const first = new Set([...chosen, ...seen]);
  const names = [...first, ...languages.filter((name) => !first.has(name))];
  const items = names.map((value): Choice => ({ label: value, value, picked: chosen.includes(value) }));
  const picked = await window.showQuickPick(items, {
    title: l10n.t("MoSEarch: Languages"),
    placeHolder: l10n.t("Search only in these languages; none means all"),
    canPickMany: true,
  });
  return picked?.map((item) => item.value);
}

/** A folder of the workspace, relative to it; null for all of them, undefined when called off. */
export async function chooseFolder(): Promise<string | null | undefined> {
  const picked = await window.showQuickPick(folderChoices(), {
    title: l10n.t("MoSEarch: Folder"),
    placeHolder: l10n.t("Search only in this folder"),
  });
  if (picked === undefined) return undefined;
  return picked.value === "" ? null : picked.value;
}

async function folderChoices(): Promise<Choice[]> {
  const folders = await foldersWithFiles();
  return [
    { label: `$(globe) ${l10n.t("All Folders")}`, value: "" },
    ...folders.map((value) => ({ label: `$(folder) ${value}`, value })),
  ];
}

/** Paths of the files in tabs, relative to their workspace folders. */
export function openPaths(): string[] {
  const inputs = window.tabGroups.all.flatMap((group) => group.tabs).map((tab) => tab.input);
  const uris = inputs.flatMap((input) => (input instanceof TabInputText ? [input.uri] : []));
  const inside = uris.filter((uri) => workspace.getWorkspaceFolder(uri) !== undefined);
  return [...new Set(inside.map((uri) => workspace.asRelativePath(uri, false)))];
}

/** Folders that hold files, and the folders around them, as far as VS Code's own exclusions leave them. */
async function foldersWithFiles(): Promise<string[]> {
  const folders = new Set<string>();
  for (const root of workspace.workspaceFolders ?? []) {
    const files = await workspace.findFiles(new RelativePattern(root, "**/*"), undefined, MOST_FILES);
    for (const file of files) addParents(folders, workspace.asRelativePath(file, false));
  }
  return [...folders].sort().slice(0, MOST_FOLDERS);
}

function addParents(folders: Set<string>, path: string): void {
  let end = path.lastIndexOf("/");
  while (end > 0) {
    const folder = path.slice(0, end);
    if (folders.has(folder)) return;
    folders.add(folder);
    end = folder.lastIndexOf("/");
  }
}
