/** *Find Similar Code* and *Compare with Similar*. */

import {
  Location,
  commands,
  env,
  l10n,
  window,
  workspace,
  type Disposable,
} from "vscode";
import { messageOf } from "../core/errors.js";
import { scopeFilters, type Scope } from "../core/filters.js";
import { lines, link, scoreText } from "../core/hits.js";
import type { Hit, SimilarAnswer, SimilarParams } from "../core/protocol.js";
import { escapeIcons } from "../core/text.js";
import { similar } from "../search/ask.js";
import { openPaths } from "../search/filterMenus.js";
import type { Session } from "../server/session.js";
import { kindIcon } from "../ui/kinds.js";
import { linesOf, openHit, uriOf } from "../ui/places.js";
import { compare } from "./compare.js";
import { originFrom, originIn, originOfHit, type Origin } from "./origin.js";
import type { Node, ResultsView } from "./resultsTree.js";

export class SimilarCode {
  constructor(
    private readonly session: Session,
    private readonly view: ResultsView,
  ) {}

  register(): Disposable[] {
    const inView = (action: (hit: Hit) => Promise<void>) => async (node?: Node) => {
      if (node?.type === "hit") await action(node.hit);
    };
    return [
      commands.registerCommand("mosearch.findSimilarCode", () => this.findFromEditor()),
      commands.registerCommand("mosearch.compareWithSimilar", () => this.compareFromEditor()),
      commands.registerCommand("mosearch.results.refresh", () => this.view.refresh()),
      commands.registerCommand("mosearch.results.clear", () => {
        this.view.clear();
      }),
      commands.registerCommand("mosearch.results.dismiss", (node?: Node) => {
        if (node !== undefined) this.view.dismiss(node);
      }),
      commands.registerCommand("mosearch.results.copyLink", inView(copyLink)),
      commands.registerCommand(
        "mosearch.results.openToSide",
        inView(async (hit) => {
          await openHit(hit, true);
        }),
      ),
      commands.registerCommand(
        "mosearch.results.compare",
        inView(async (hit) => {
          const { origin } = this.view;
          if (origin !== undefined) await compare(origin, hit);
        }),
      ),
      commands.registerCommand(
        "mosearch.results.findSimilar",
        inView(async (hit) => {
          await this.find(originOfHit(hit));
        }),
      ),
    ];
  }

  async findForHit(hit: Hit): Promise<void> {
    await this.find(originOfHit(hit));
  }

  /** For the server's code action and code lenses. */
  async findForParams(params: SimilarParams): Promise<void> {
    await this.find(originFrom(params));
  }

  private async findFromEditor(): Promise<void> {
    const editor = window.activeTextEditor;
    if (editor === undefined) return;
    await this.find(originIn(editor));
  }

  /** With `all`, also what is probably not similar. */
  private async find(origin: Origin, all = false): Promise<void> {
    const again = (): Promise<SimilarAnswer> => this.ask(origin, all);
    const answer = await told(again);
    if (answer === undefined) return;
    const { hits } = answer;
    const where = workspace.getConfiguration("mosearch.similar").get<string>("show", "both");
    const place = `${workspace.asRelativePath(origin.uri)}:${String(origin.range.start.line + 1)}`;
    const title = [place, scopeText(scopeOf(origin))].filter((part) => part !== "").join(" · ");
    this.view.show({ title, hits, origin: answer.origin, again }, where === "view");
    if (hits.length === 0) await this.foundNothing(origin, all);
    else if (where !== "view") await peek(origin, hits);
  }

  private async foundNothing(origin: Origin, all: boolean): Promise<void> {
    const closest = l10n.t("Show the Closest");
    const where = scopeText(scopeOf(origin));
    const text =
      where === "" ? l10n.t("MoSEarch found no similar code.") : l10n.t("MoSEarch found no similar code ({0}).", where);
    const answer = await window.showInformationMessage(text, ...(all ? [] : [closest]));
    if (answer === closest) await this.find(origin, true);
  }

  private async compareFromEditor(): Promise<void> {
    const editor = window.activeTextEditor;
    if (editor === undefined) return;
    const origin = originIn(editor);
    const answer = await told(() => this.ask(origin, true));
    if (answer === undefined) return;
    const items = answer.hits.map((hit) => ({
      hit,
      label: escapeIcons(hit.symbol === "" ? hit.path : hit.symbol),
      description: escapeIcons(`${hit.path}:${String(lines(hit)[0])}  ·  ${scoreText(hit.score)}`),
      iconPath: kindIcon(hit.kind),
    }));
    const picked = await window.showQuickPick(items, {
      title: l10n.t("MoSEarch: Compare with Similar"),
      placeHolder: l10n.t("Similar code, the most similar first"),
      matchOnDescription: true,
    });
    if (picked !== undefined) await compare(answer.origin, picked.hit);
  }

  private async ask(origin: Origin, all: boolean): Promise<SimilarAnswer> {
    const client = await this.session.ready();
    const filters = scopeFilters(scopeOf(origin), workspace.asRelativePath(origin.uri, false), openPaths());
    return await similar(client, { ...origin.params, filters, all }, { signal: new AbortController().signal });
  }
}

function scopeOf(origin: Origin): Scope {
  return workspace.getConfiguration("mosearch.similar", origin.uri).get<Scope>("scope", "all");
}

/** Where was looked, if not everywhere. */
function scopeText(scope: Scope): string {
  if (scope === "all") return "";
  return scope === "folder" ? l10n.t("same folder") : l10n.t("open files");
}

/** The result, with progress in the status bar if it takes a while; undefined after saying what went wrong. */
async function told<Result>(action: () => Promise<Result>): Promise<Result | undefined> {
  try {
    const waiting = action();
    window.setStatusBarMessage(l10n.t("$(loading~spin) MoSEarch: looking for similar code…"), waiting);
    return await waiting;
  } catch (error) {
    void window.showErrorMessage(l10n.t("MoSEarch: {0}", messageOf(error)));
    return undefined;
  }
}

async function peek(origin: Origin, hits: readonly Hit[]): Promise<void> {
  const locations = hits.map((hit) => new Location(uriOf(hit), linesOf(hit)));
  await window.showTextDocument(origin.uri, { preserveFocus: false });
  await commands.executeCommand("editor.action.peekLocations", origin.uri, origin.range.start, locations, "peek");
}

async function copyLink(hit: Hit): Promise<void> {
  const text = link(workspace.asRelativePath(uriOf(hit), false), hit);
  await env.clipboard.writeText(text);
  window.setStatusBarMessage(l10n.t("Copied {0}", text), 3000);
}
