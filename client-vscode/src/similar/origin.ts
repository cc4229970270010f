/** The piece of code that similar code is looked for. */

import { Range, Uri, type TextEditor } from "vscode";
import type { Hit, SimilarParams } from "../core/protocol.js";
import { rangeOf, uriOf } from "../ui/places.js";

export interface Origin {
  uri: Uri;
  /** What was asked for: a selection, or the cursor. */
  range: Range;
  params: SimilarParams;
}

/** The selection, or, where nothing is selected, the definition around the cursor. */
export function originIn(editor: TextEditor): Origin {
  return originAt(editor.document.uri, editor.selection);
}

export function originOfHit(hit: Hit): Origin {
  return originAt(uriOf(hit), rangeOf(hit));
}

/** From the arguments of the server's own command. */
export function originFrom(params: SimilarParams): Origin {
  const start = params.range?.start ?? params.position ?? { line: 0, character: 0 };
  const end = params.range?.end ?? start;
  const uri = Uri.parse(params.textDocument.uri);
  const origin = originAt(uri, new Range(start.line, start.character, end.line, end.character));
  if (params.limit === undefined) return origin;
  return { ...origin, params: { ...origin.params, limit: params.limit } };
}

function originAt(uri: Uri, range: Range): Origin {
  const textDocument = { uri: uri.toString() };
  const start = { line: range.start.line, character: range.start.character };
  const end = { line: range.end.line, character: range.end.character };
  const params = range.isEmpty ? { textDocument, position: start } : { textDocument, range: { start, end } };
  return { uri, range, params };
}
