/** The connection to the server: started, watched, started again when it ends unasked. */

import { EventEmitter, l10n, type Disposable, type LogOutputChannel } from "vscode";
import {
  CloseAction,
  ErrorAction,
  LanguageClient,
  RevealOutputChannelOn,
  State,
  TransportKind,
  type LanguageClientOptions,
  type Middleware,
} from "vscode-languageclient/node";
import { nextStart, type Backoff } from "../core/backoff.js";
import { messageOf } from "../core/errors.js";
import { NoServer, findLaunch } from "./launch.js";

export type SessionState =
  | { kind: "stopped" }
  | { kind: "starting" }
  | { kind: "running"; client: LanguageClient }
  /** It ended unasked and will be started again. */
  | { kind: "waiting"; waitMs: number }
  /** Nothing will happen until somebody does something. */
  | { kind: "failed"; message: string; installable: boolean };

const STOP_TIMEOUT_MS = 3000;

export class Session implements Disposable {
  private current: SessionState = { kind: "stopped" };
  private backoff: Backoff = { failures: 0 };
  private retry: NodeJS.Timeout | undefined;
  /** Counts starts; what an older one still says is not listened to. */
  private attempt = 0;
  private client: LanguageClient | undefined;
  private readonly changed = new EventEmitter<SessionState>();
  readonly onDidChange = this.changed.event;

  constructor(
    private readonly storage: string,
    private readonly log: LogOutputChannel,
    private readonly middleware: Middleware,
  ) {}

  get state(): SessionState {
    return this.current;
  }

  /** Starts the server unless it runs or is about to. */
  async start(): Promise<void> {
    if (this.current.kind === "running" || this.current.kind === "starting") return;
    clearTimeout(this.retry);
    const attempt = ++this.attempt;
    this.set({ kind: "starting" });
    try {
      await this.launch(attempt);
    } catch (error) {
      if (attempt !== this.attempt) return;
      if (error instanceof NoServer) {
        this.set({ kind: "failed", message: error.message, installable: error.installable });
      } else {
        this.log.error(messageOf(error));
        this.ended(attempt, 0, messageOf(error));
      }
    }
  }

  /** Ends the server and waits for it, but not for long. */
  async stop(): Promise<void> {
    clearTimeout(this.retry);
    this.attempt++;
    const client = this.client;
    this.client = undefined;
    this.set({ kind: "stopped" });
    await end(client);
  }

  /** A new beginning, for new settings and for people who ask for it. */
  async restart(): Promise<void> {
    this.backoff = { failures: 0 };
    await this.stop();
    await this.start();
  }

  /** The running client; starts the server and waits for it.  Throws an `Error` if it does not come up. */
  async ready(): Promise<LanguageClient> {
    if (this.current.kind === "stopped" || this.current.kind === "waiting") void this.start();
    for (;;) {
      const state = this.current;
      if (state.kind === "running") return state.client;
      if (state.kind === "failed") throw new Error(state.message);
      await new Promise<void>((resolve) => {
        const listening = this.onDidChange(() => {
          listening.dispose();
          resolve();
        });
      });
    }
  }

  dispose(): void {
    void this.stop();
    this.changed.dispose();
  }

  private async launch(attempt: number): Promise<void> {
    const launch = await findLaunch(this.storage);
    if (attempt !== this.attempt) return;
    this.log.info(`Starting ${[launch.command, ...launch.args].join(" ")} (${launch.origin})`);
    const started = Date.now();
    const client = new LanguageClient(
      "mosearch",
      "MoSEarch",
      { ...launch, transport: TransportKind.stdio, options: { cwd: this.storage } },
      this.options(() => {
        this.ended(attempt, Date.now() - started, l10n.t("The server ended unexpectedly."));
      }),
    );
    this.client = client;
    await client.start();
    if (attempt !== this.attempt) {
      await end(client);
      return;
    }
    this.log.info(`The server answered after ${String(Date.now() - started)} ms`);
    this.set({ kind: "running", client });
  }

  private options(onClosed: () => void): LanguageClientOptions {
    return {
      documentSelector: [{ scheme: "file" }],
      // Settings are asked for with `workspace/configuration`.
      initializationOptions: { statusNotifications: true, similarResults: "client" },
      outputChannel: this.log,
      revealOutputChannelOn: RevealOutputChannelOn.Never,
      middleware: this.middleware,
      initializationFailedHandler: () => false,
      errorHandler: {
        error: () => ({ action: ErrorAction.Continue, handled: true }),
        closed: () => {
          onClosed();
          return { action: CloseAction.DoNotRestart, handled: true };
        },
      },
    };
  }

  /** Called once or twice for the same end; the second time changes nothing. */
  private ended(attempt: number, lifetimeMs: number, message: string): void {
    if (attempt !== this.attempt) return;
    this.attempt++;
    this.client = undefined;
    const { state, waitMs } = nextStart(this.backoff, lifetimeMs);
    this.backoff = state;
    if (waitMs === null) {
      this.set({ kind: "failed", message, installable: false });
      return;
    }
    this.log.warn(`${message} Starting it again in ${String(waitMs)} ms`);
    this.set({ kind: "waiting", waitMs });
    this.retry = setTimeout(() => void this.start(), waitMs);
  }

  private set(state: SessionState): void {
    this.current = state;
    this.changed.fire(state);
  }
}

async function end(client: LanguageClient | undefined): Promise<void> {
  if (client === undefined) return;
  try {
    if (client.state !== State.Stopped) await client.stop(STOP_TIMEOUT_MS);
  } catch {
    // A server that is already gone, or never came up, needs no goodbye.
  }
}
