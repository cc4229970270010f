/** *Compare with Similar*: two pieces of code side by side. */

import {
  Uri,
  commands,
  l10n,
  workspace,
  type Disposable,
  type Range,
  type TextDocumentContentProvider,
} from "vscode";
import { lines } from "../core/hits.js";
import type { Hit, SimilarAnswer } from "../core/protocol.js";
import { unindented } from "../core/text.js";
import { linesOf, toRange, uriOf, withoutNextLine } from "../ui/places.js";

const SCHEME = "mosearch-lines";

/** Serves lines of files as documents of their own, so that a diff compares nothing else. */
class LinesProvider implements TextDocumentContentProvider {
  async provideTextDocumentContent(uri: Uri): Promise<string> {
    const { source, first, last } = JSON.parse(uri.query) as { source: string; first: number; last: number };
    const document = await workspace.openTextDocument(Uri.parse(source));
    const shown = [];
    for (let line = first; line <= Math.min(last, document.lineCount - 1); line++) {
      shown.push(document.lineAt(line).text);
    }
    return unindented(shown).join("\n");
  }
}

export function registerCompare(): Disposable {
  return workspace.registerTextDocumentContentProvider(SCHEME, new LinesProvider());
}

/** `source` is the code that `hit` is like. */
export async function compare(source: SimilarAnswer["origin"], hit: Hit): Promise<void> {
  const uri = Uri.parse(source.uri);
  const range = withoutNextLine(toRange(source.range));
  const other = linesOf(hit);
  const [first] = lines(hit);
  const title = l10n.t(
    "{0} ↔ {1}",
    `${workspace.asRelativePath(uri)}:${String(range.start.line + 1)}`,
    `${workspace.asRelativePath(uriOf(hit))}:${String(first)}`,
  );
  await commands.executeCommand("vscode.diff", linesUri(uri, range), linesUri(uriOf(hit), other), title);
}

/** Ends in the file's own name, so that its language is recognised. */
function linesUri(source: Uri, range: Range): Uri {
  const query = JSON.stringify({ source: source.toString(), first: range.start.line, last: range.end.line });
  return source.with({ scheme: SCHEME, authority: "", query });
}
