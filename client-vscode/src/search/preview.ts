/** Shows hits in the editor while the picker is open, and puts the editor back when it closes. */

import {
  Range,
  TabInputText,
  TextEditorRevealType,
  ThemeColor,
  ViewColumn,
  window,
  type Selection,
  type Tab,
  type Uri,
} from "vscode";
import type { Hit } from "../core/protocol.js";
import { answerOf, uriOf } from "../ui/places.js";

interface View {
  uri: Uri;
  column: ViewColumn | undefined;
  selections: readonly Selection[];
  visible: Range | undefined;
  /** Whether its tab was one that the next file replaces. */
  isPreview: boolean;
}

const highlight = window.createTextEditorDecorationType({
  backgroundColor: new ThemeColor("editor.rangeHighlightBackground"),
  isWholeLine: true,
});

export class Preview {
  private readonly before = currentView();
  private readonly tabsBefore = new Set(textTabs().map((tab) => tabName(tab)));
  private waiting: NodeJS.Timeout | undefined;
  /** Settles when no file is on its way into the editor any more. */
  private showing: Promise<void> = Promise.resolve();
  private shown = false;
  private wanted: Hit | undefined;

  /** Shows `hit` after `ms`, unless another one is asked for by then. */
  later(hit: Hit, ms: number): void {
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => {
      this.wanted = hit;
      this.showing = this.showing.then(() => this.show(hit));
    }, ms);
  }

  /** Nothing more is shown.  What is being opened is waited for: it would come up over what is opened next. */
  async end(): Promise<void> {
    clearTimeout(this.waiting);
    this.wanted = undefined;
    await this.showing;
    for (const editor of window.visibleTextEditors) editor.setDecorations(highlight, []);
  }

  /** Ends, and leaves the editors as they were before the first preview. */
  async restore(): Promise<void> {
    await this.end();
    if (!this.shown) return;
    if (this.before !== undefined) await showView(this.before);
    if (this.before === undefined) await window.tabGroups.close(this.ours(), true);
    else await this.closeOthers();
  }

  /** Closes the previews' tab, unless it is the one that is looked at now. */
  async closeOthers(): Promise<void> {
    const others = this.ours().filter((tab) => !tab.isActive);
    await window.tabGroups.close(others, true);
  }

  private ours(): Tab[] {
    return textTabs().filter((tab) => tab.isPreview && !this.tabsBefore.has(tabName(tab)));
  }

  private async show(hit: Hit): Promise<void> {
    if (this.wanted !== hit) return;
    this.shown = true;
    try {
      const editor = await window.showTextDocument(uriOf(hit), {
        preview: true,
        preserveFocus: true,
        viewColumn: this.before?.column ?? ViewColumn.Active,
      });
      if (this.wanted !== hit) return;
      const range = answerOf(hit);
      const { start } = range;
      for (const other of window.visibleTextEditors) other.setDecorations(highlight, []);
      editor.setDecorations(highlight, [range]);
      // The picker covers the upper half.
      editor.revealRange(new Range(start, start), TextEditorRevealType.InCenter);
    } catch {
      // A file that is gone since it was indexed has no preview; opening it will say so.
    }
  }
}

function currentView(): View | undefined {
  const editor = window.activeTextEditor;
  if (editor === undefined) return undefined;
  return {
    uri: editor.document.uri,
    column: editor.viewColumn,
    selections: editor.selections,
    visible: editor.visibleRanges[0],
    isPreview: window.tabGroups.activeTabGroup.activeTab?.isPreview ?? false,
  };
}

async function showView(view: View): Promise<void> {
  const editor = await window.showTextDocument(view.uri, {
    preview: view.isPreview,
    ...(view.column === undefined ? {} : { viewColumn: view.column }),
  });
  editor.selections = view.selections;
  if (view.visible !== undefined) editor.revealRange(view.visible, TextEditorRevealType.AtTop);
}

function textTabs(): Tab[] {
  return window.tabGroups.all.flatMap((group) => group.tabs).filter((tab) => tab.input instanceof TabInputText);
}

function tabName(tab: Tab): string {
  const uri = tab.input instanceof TabInputText ? tab.input.uri.toString() : "";
  return `${String(tab.group.viewColumn)} ${uri}`;
}
