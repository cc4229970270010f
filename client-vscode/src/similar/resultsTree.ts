/** The MoSEarch results view: hits by file, which stay until they are replaced. */

import {
  EventEmitter,
  MarkdownString,
  Range,
  ThemeIcon,
  TreeItem,
  TreeItemCollapsibleState,
  Uri,
  l10n,
  window,
  type Disposable,
  type TreeDataProvider,
  type TreeView,
} from "vscode";
import { messageOf } from "../core/errors.js";
import { byFile, hitKey, lines, scoreText } from "../core/hits.js";
import type { Hit, SimilarAnswer } from "../core/protocol.js";
import { answerOf, folderName, uriOf } from "../ui/places.js";
import { kindIcon, kindName } from "../ui/kinds.js";

/** An answer, as far as it is listed. */
export interface Listed {
  hits: readonly Hit[];
  /** The code that the hits are like; missing for a search. */
  origin?: SimilarAnswer["origin"];
}

export interface Results extends Listed {
  title: string;
  again: () => Promise<Listed>;
}

export interface FileNode {
  type: "file";
  uri: string;
  hits: readonly Hit[];
}

export interface HitNode {
  type: "hit";
  hit: Hit;
}

export type Node = FileNode | HitNode;

const VIEW = "mosearch.results";

export class ResultsView implements TreeDataProvider<Node>, Disposable {
  private results: Results | undefined;
  private dismissed = new Set<string>();
  private readonly changed = new EventEmitter<undefined>();
  readonly onDidChangeTreeData = this.changed.event;
  private readonly view: TreeView<Node>;

  constructor() {
    this.view = window.createTreeView(VIEW, { treeDataProvider: this, showCollapseAll: true });
  }

  get origin(): Listed["origin"] {
    return this.results?.origin;
  }

  show(results: Results, reveal: boolean): void {
    this.results = results;
    this.dismissed.clear();
    this.update();
    const first = this.files()[0];
    if (reveal && first !== undefined) void this.view.reveal(first, { focus: false, select: false, expand: true });
  }

  async refresh(): Promise<void> {
    const results = this.results;
    if (results === undefined) return;
    try {
      const listed = await window.withProgress({ location: { viewId: VIEW } }, () => results.again());
      if (this.results === results) this.show({ ...results, ...listed }, false);
    } catch (error) {
      void window.showErrorMessage(l10n.t("MoSEarch: {0}", messageOf(error)));
    }
  }

  dismiss(node: Node): void {
    const hits = node.type === "file" ? node.hits : [node.hit];
    for (const hit of hits) this.dismissed.add(hitKey(hit));
    this.update();
  }

  clear(): void {
    this.results = undefined;
    this.update();
  }

  getChildren(node?: Node): Node[] {
    if (node === undefined) return this.files();
    return node.type === "file" ? node.hits.map((hit) => ({ type: "hit", hit })) : [];
  }

  getParent(node: Node): Node | undefined {
    return node.type === "hit" ? this.files().find((file) => file.uri === node.hit.location.uri) : undefined;
  }

  getTreeItem(node: Node): TreeItem {
    return node.type === "file" ? fileItem(node) : hitItem(node.hit, this.origin !== undefined);
  }

  dispose(): void {
    this.view.dispose();
    this.changed.dispose();
  }

  private files(): FileNode[] {
    const hits = (this.results?.hits ?? []).filter((hit) => !this.dismissed.has(hitKey(hit)));
    return [...byFile(hits)].map(([uri, inFile]) => ({ type: "file", uri, hits: inFile }));
  }

  private update(): void {
    const files = this.files();
    const count = files.reduce((sum, file) => sum + file.hits.length, 0);
    this.view.message = this.results === undefined ? "" : heading(this.results, count);
    this.changed.fire(undefined);
  }
}

/** What was asked: a view that is alone in its container has no room for a description. */
function heading({ title, origin }: Results, count: number): string {
  const asked = origin === undefined ? title : l10n.t("Similar to {0}", title);
  return count === 0 ? l10n.t("{0}: nothing found.", asked) : asked;
}

function fileItem(node: FileNode): TreeItem {
  const uri = Uri.parse(node.uri);
  const item = new TreeItem(uri, TreeItemCollapsibleState.Expanded);
  item.id = node.uri;
  const first = node.hits[0];
  const folder = first?.path.split("/").slice(0, -1).join("/") ?? "";
  const root = first === undefined ? undefined : folderName(first);
  item.description = [root, folder].filter((part) => part !== undefined && part !== "").join("/");
  item.iconPath = ThemeIcon.File;
  item.contextValue = "file";
  return item;
}

function hitItem(hit: Hit, isSimilar: boolean): TreeItem {
  const [first, last] = lines(hit);
  const name = hit.symbol === "" ? l10n.t("lines {0}–{1}", first, last) : hit.symbol;
  const item = new TreeItem(name, TreeItemCollapsibleState.None);
  item.id = hitKey(hit);
  item.description = [hit.container, `:${String(first)}`, scoreText(hit.score)].filter((part) => part !== "").join("  ");
  item.iconPath = kindIcon(hit.kind);
  item.tooltip = new MarkdownString().appendCodeblock(hit.preview, hit.language);
  item.contextValue = isSimilar ? "similarHit" : "hit";
  item.accessibilityInformation = {
    label: l10n.t("{0} {1}, line {2}, {3}", kindName(hit.kind), name, first, scoreText(hit.score)),
  };
  const { start } = answerOf(hit);
  item.command = {
    command: "vscode.open",
    title: l10n.t("Open"),
    arguments: [uriOf(hit), { selection: new Range(start, start), preserveFocus: true }],
  };
  return item;
}
