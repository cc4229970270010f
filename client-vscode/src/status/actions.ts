/** What the status page and the palette can do to the server and its index. */

import { Uri, commands, l10n, window, workspace, type Disposable, type LogOutputChannel } from "vscode";
import { messageOf } from "../core/errors.js";
import type { Session } from "../server/session.js";
import type { Monitor } from "./monitor.js";

export function registerActions(session: Session, monitor: Monitor, log: LogOutputChannel): Disposable[] {
  return [
    commands.registerCommand("mosearch.reindex", () => reindex(session)),
    commands.registerCommand("mosearch.clearIndex", () => clearIndex(session, monitor)),
    commands.registerCommand("mosearch.restartServer", () => session.restart()),
    commands.registerCommand("mosearch.openLog", () => {
      log.show();
    }),
    commands.registerCommand("mosearch.openSettings", () =>
      commands.executeCommand("workbench.action.openSettings", "mosearch"),
    ),
  ];
}

async function reindex(session: Session): Promise<void> {
  try {
    const client = await session.ready();
    await client.sendRequest("workspace/executeCommand", { command: "mosearch.update", arguments: [] });
  } catch (error) {
    void window.showErrorMessage(l10n.t("MoSEarch: {0}", messageOf(error)));
  }
}

/** Deletes the indexes of the workspace's folders; vectors stay, so that building them again is quick. */
async function clearIndex(session: Session, monitor: Monitor): Promise<void> {
  const indexes = (monitor.latest?.folders ?? []).flatMap((folder) => folder.index_dir ?? []);
  const inside = indexes.filter((index) => workspace.getWorkspaceFolder(Uri.file(index)) === undefined);
  if (inside.length === 0) return;
  const clear = l10n.t("Clear");
  const answer = await window.showWarningMessage(
    l10n.t("Clear the index of this workspace? It is built again at once."),
    { modal: true, detail: inside.join("\n") },
    clear,
  );
  if (answer !== clear) return;
  await session.stop();
  try {
    for (const index of inside) await workspace.fs.delete(Uri.file(index), { recursive: true });
  } catch (error) {
    void window.showErrorMessage(l10n.t("MoSEarch: the index could not be cleared: {0}", messageOf(error)));
  }
  await session.start();
}
