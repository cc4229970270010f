/** The extension's beginning and end: makes its parts and connects them. */

import { commands, l10n, window, workspace, type ExtensionContext, type Disposable } from "vscode";
import { apiOf, type Api } from "./api.js";
import type { SimilarParams } from "./core/protocol.js";
import { Picker } from "./search/picker.js";
import { middlewareFor } from "./server/middleware.js";
import { Session } from "./server/session.js";
import { Setup } from "./server/setup.js";
import { SimilarCode } from "./similar/commands.js";
import { registerCompare } from "./similar/compare.js";
import { ResultsView } from "./similar/resultsTree.js";
import { registerActions } from "./status/actions.js";
import { registerStatusBar } from "./status/bar.js";
import { Monitor } from "./status/monitor.js";
import { StatusPage } from "./status/page.js";

let session: Session | undefined;

export async function activate(context: ExtensionContext): Promise<Api> {
  const log = window.createOutputChannel("MoSEarch", { log: true });
  const storage = context.globalStorageUri;
  await workspace.fs.createDirectory(storage);

  const own: Session = new Session(
    storage.fsPath,
    log,
    middlewareFor((params: SimilarParams) => similarCode.findForParams(params)),
  );
  session = own;
  const view = new ResultsView();
  const similarCode = new SimilarCode(own, view);
  const monitor = new Monitor(own);
  const page = new StatusPage(monitor);
  const setup = new Setup(context, own, log);
  let picker: Picker | undefined;

  context.subscriptions.push(
    log,
    own,
    view,
    monitor,
    page,
    registerCompare(),
    ...similarCode.register(),
    ...registerStatusBar(monitor),
    ...registerActions(own, monitor, log),
    commands.registerCommand("mosearch.searchByMeaning", async (query?: unknown) => {
      // Until the one before has put the editor back: that takes the focus away from what is shown meanwhile.
      if (picker !== undefined) await picker.leave();
      picker = new Picker(
        {
          session: own,
          memory: context.workspaceState,
          showInView: (results) => {
            view.show(results, true);
          },
          findSimilar: (hit) => void similarCode.findForHit(hit),
        },
        typeof query === "string" ? query : selectedWords(),
      );
    }),
    commands.registerCommand("mosearch.openToSide", () => picker?.accept(true)),
    commands.registerCommand("mosearch.showStatus", () => {
      page.show();
    }),
    commands.registerCommand("mosearch.install", () => setup.run()),
    own.onDidChange((state) => {
      if (state.kind === "failed" && state.installable) void setup.offer();
      else if (state.kind === "failed") tellFailure(own, log, state.message);
    }),
    ...restartOnChange(own),
  );
  if ((workspace.workspaceFolders?.length ?? 0) > 0) void own.start();
  return apiOf(own);
}

export async function deactivate(): Promise<void> {
  await session?.stop();
}

/** What is selected in the editor, if it is a query rather than a piece of code. */
function selectedWords(): string {
  const editor = window.activeTextEditor;
  if (!editor?.selection.isSingleLine) return "";
  return editor.document.getText(editor.selection).trim();
}

/** Only settings that decide which program runs: the server itself asks for all others when they change. */
function restartOnChange(own: Session): Disposable[] {
  return [
    workspace.onDidChangeConfiguration((change) => {
      const decisive = ["command", "interpreter"].some((name) =>
        change.affectsConfiguration(`mosearch.server.${name}`),
      );
      if (decisive) void own.restart();
    }),
    workspace.onDidGrantWorkspaceTrust(() => {
      if (own.state.kind === "failed") void own.restart();
    }),
    workspace.onDidChangeWorkspaceFolders(() => {
      if (own.state.kind === "stopped") void own.start();
    }),
  ];
}

function tellFailure(own: Session, log: { show: () => void }, message: string): void {
  const tryAgain = l10n.t("Try Again");
  const openLog = l10n.t("Open Log");
  void window.showErrorMessage(l10n.t("MoSEarch: {0}", message), tryAgain, openLog).then((answer) => {
    if (answer === tryAgain) void own.restart();
    if (answer === openLog) log.show();
  });
}
