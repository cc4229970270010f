/** Keeps what is known of the server and its folders, and tells when it changes. */

import { EventEmitter, type Disposable } from "vscode";
import { RequestType, type LanguageClient } from "vscode-languageclient/node";
import { healthOf, type Health } from "../core/health.js";
import type { Status, StatusChanged } from "../core/protocol.js";
import type { Session, SessionState } from "../server/session.js";

const statusRequest = new RequestType<object, Status, void>("mosearch/status");

export class Monitor implements Disposable {
  /** The last full answer, with newer states laid over it; undefined while no server runs. */
  private status: Status | undefined;
  private readonly changed = new EventEmitter<undefined>();
  readonly onDidChange = this.changed.event;
  private readonly listening: Disposable;

  constructor(private readonly session: Session) {
    this.listening = session.onDidChange((state) => {
      this.sessionChanged(state);
    });
  }

  get latest(): Status | undefined {
    return this.status;
  }

  get health(): Health {
    const { state } = this.session;
    switch (state.kind) {
      case "stopped":
        return { kind: "off" };
      case "starting":
        return { kind: "starting" };
      case "waiting":
        return { kind: "restarting", waitMs: state.waitMs };
      case "failed":
        return { kind: state.installable ? "missing" : "failed", message: state.message };
      case "running":
        return this.status === undefined ? { kind: "starting" } : healthOf(this.status);
    }
  }

  /** Asks the server for everything. */
  async refresh(): Promise<void> {
    const { state } = this.session;
    if (state.kind !== "running") return;
    try {
      this.status = await state.client.sendRequest(statusRequest, {});
      this.changed.fire(undefined);
    } catch {
      // The server ended meanwhile: the session says so.
    }
  }

  dispose(): void {
    this.listening.dispose();
    this.changed.dispose();
  }

  private sessionChanged(state: SessionState): void {
    this.status = undefined;
    if (state.kind === "running") {
      this.listen(state.client);
      void this.refresh();
    }
    this.changed.fire(undefined);
  }

  private listen(client: LanguageClient): void {
    client.onNotification("mosearch/statusChanged", ({ folders }: StatusChanged) => {
      if (this.status === undefined) return;
      const before = new Map(this.status.folders.map((folder) => [folder.uri, folder]));
      const settled = folders.some(({ uri, state }) => state !== "indexing" && before.get(uri)?.state !== state);
      this.status = { ...this.status, folders: folders.map((folder) => ({ ...counts(before.get(folder.uri)), ...folder })) };
      this.changed.fire(undefined);
      if (settled) void this.refresh();
    });
  }
}

/** A folder's status without what the next notification says anew. */
function counts(folder: Status["folders"][number] | undefined): Partial<Status["folders"][number]> {
  if (folder === undefined) return {};
  const { progress: _progress, error: _error, warning: _warning, ...rest } = folder;
  return rest;
}
