/** Hits as places in the editor. */

import { Position, Range, Uri, ViewColumn, window, workspace, type TextEditor } from "vscode";
import type { Hit } from "../core/protocol.js";

export function uriOf(hit: Hit): Uri {
  return Uri.parse(hit.location.uri);
}

export function rangeOf(hit: Hit): Range {
  return toRange(hit.location.range);
}

export function toRange({ start, end }: Hit["location"]["range"]): Range {
  return new Range(start.line, start.character, end.line, end.character);
}

/** The range without the start of the line that follows whole lines. */
export function linesOf(hit: Hit): Range {
  return withoutNextLine(rangeOf(hit));
}

export function withoutNextLine(range: Range): Range {
  const wholeLines = range.end.character === 0 && range.end.line > range.start.line;
  return wholeLines ? new Range(range.start, new Position(range.end.line - 1, Number.MAX_SAFE_INTEGER)) : range;
}

/** What answers: of a long definition a part. */
export function answerOf(hit: Hit): Range {
  return hit.part === undefined ? linesOf(hit) : withoutNextLine(toRange(hit.part));
}

/** Opens a hit with the cursor at the start of what answers. */
export async function openHit(hit: Hit, toSide: boolean): Promise<TextEditor> {
  const { start } = answerOf(hit);
  return await window.showTextDocument(uriOf(hit), {
    selection: new Range(start, start),
    viewColumn: toSide ? ViewColumn.Beside : ViewColumn.Active,
    preview: workspace.getConfiguration("workbench.editor").get("enablePreviewFromQuickOpen", false),
  });
}

/** The name of a hit's folder, where the workspace has several. */
export function folderName(hit: Hit): string | undefined {
  const several = (workspace.workspaceFolders?.length ?? 0) > 1;
  return several ? workspace.getWorkspaceFolder(uriOf(hit))?.name : undefined;
}
