/** Installing the server into an environment of our own, when the user agrees. */

import * as path from "node:path";
import { ProgressLocation, commands, l10n, window, type ExtensionContext, type LogOutputChannel } from "vscode";
import { messageOf } from "../core/errors.js";
import { CPU_BUILDS, CUDA_BUILDS, takingFrom, torchAdvice } from "../core/torch.js";
import { activeInterpreter } from "./launch.js";
import { install, installationSource, pipArguments } from "./privateEnvironment.js";
import { run } from "./process.js";
import type { Session } from "./session.js";

/** Set once the user said no: then only the status bar and the commands offer it. */
const DECLINED = "mosearch.installDeclined";

export class Setup {
  private running = false;

  constructor(
    private readonly context: ExtensionContext,
    private readonly session: Session,
    private readonly log: LogOutputChannel,
  ) {}

  /** Offers to install, once, where no server was found. */
  async offer(): Promise<void> {
    if (this.running || this.context.globalState.get<boolean>(DECLINED, false)) return;
    const setUp = l10n.t("Set Up…");
    const notNow = l10n.t("Not Now");
    const answer = await window.showInformationMessage(
      l10n.t("MoSEarch needs its server, a Python program, to search this workspace."),
      setUp,
      notNow,
    );
    if (answer === setUp) await this.run();
    if (answer === notNow) await this.context.globalState.update(DECLINED, true);
  }

  /** Says what will happen, and does it with consent. */
  async run(): Promise<void> {
    if (this.running) return;
    const source = await installationSource(this.context.extensionPath);
    const installIt = l10n.t("Install");
    const choose = l10n.t("Change Settings…");
    const answer = await window.showInformationMessage(
      l10n.t("Install MoSEarch's server?"),
      {
        modal: true,
        detail: [
          l10n.t(
            "It goes into a virtual environment of this extension and changes no other Python. pip installs {0} and what it needs, PyTorch among it, from the package index that pip is set up for.",
            path.basename(source),
          ),
          ...(await this.aboutTorch()),
          this.folder,
        ].join("\n\n"),
      },
      installIt,
      choose,
    );
    if (answer === choose) await commands.executeCommand("workbench.action.openSettings", "mosearch.server");
    if (answer === installIt) await this.install(source);
  }

  private get folder(): string {
    return path.join(this.context.globalStorageUri.fsPath, "python");
  }

  private async aboutTorch(): Promise<string[]> {
    switch (torchAdvice(process.platform, await hasNvidiaGpu(path.dirname(this.folder)), pipArguments())) {
      case "large":
        return [
          l10n.t(
            "On Linux that is the build for NVIDIA GPUs, several gigabytes, and no such GPU was found. For the build without, under 1 GB in all, set mosearch.server.pipArguments to {0} first.",
            takingFrom(CPU_BUILDS),
          ),
        ];
      case "gpu":
        return [l10n.t("An NVIDIA GPU was found; the build for it takes several gigabytes.")];
      case "gpuLeftOut":
        return [
          l10n.t(
            "An NVIDIA GPU was found. For the build that uses it, several gigabytes, set mosearch.server.pipArguments to {0} first.",
            takingFrom(CUDA_BUILDS),
          ),
        ];
      case undefined:
        return [];
    }
  }

  private async install(source: string): Promise<void> {
    this.running = true;
    try {
      await window.withProgress(
        { location: ProgressLocation.Notification, title: l10n.t("Installing MoSEarch"), cancellable: true },
        async (progress, token) => {
          const stop = new AbortController();
          token.onCancellationRequested(() => {
            stop.abort();
          });
          const interpreter = await activeInterpreter();
          await install({
            folder: this.folder,
            source,
            preferred: interpreter === undefined ? [] : [interpreter],
            signal: stop.signal,
            report: (message) => {
              progress.report({ message });
            },
            log: (line) => {
              this.log.info(line);
            },
          });
        },
      );
      await this.session.restart();
    } catch (error) {
      await this.failed(error);
    } finally {
      this.running = false;
    }
  }

  private async failed(error: unknown): Promise<void> {
    if (error instanceof Error && error.name === "AbortError") return;
    this.log.error(messageOf(error));
    const openLog = l10n.t("Open Log");
    const answer = await window.showErrorMessage(l10n.t("MoSEarch: {0}", messageOf(error)), openLog);
    if (answer === openLog) this.log.show();
  }
}

/** Whether the driver's own tool lists one. */
async function hasNvidiaGpu(cwd: string): Promise<boolean> {
  try {
    const { code, stdout } = await run("nvidia-smi", ["-L"], { cwd, signal: AbortSignal.timeout(5000) });
    return code === 0 && stdout.includes("GPU ");
  } catch {
    return false;
  }
}
