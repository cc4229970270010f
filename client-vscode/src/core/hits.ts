/** Lists of hits: which is which, and which stays selected.  Pure. */

import type { Hit } from "./protocol.js";

/** Names a hit in any list of answers, however it is ranked. */
export function hitKey(hit: Hit): string {
  const { uri, range } = hit.location;
  return `${uri}#${String(range.start.line)}-${String(range.end.line)}#${hit.symbol}`;
}

/**
 * The list to show when `next` replaces what is shown, and what is selected in it.
 *
 * A hit that the user moved to (`held`) stays selected; if the new list lacks it, it is kept at the end.
 * Without one, the best hit is selected.
 */
export function replaceHits(next: readonly Hit[], held: Hit | undefined): { hits: Hit[]; selected: number } {
  if (held === undefined) return { hits: [...next], selected: next.length > 0 ? 0 : -1 };
  const key = hitKey(held);
  const index = next.findIndex((hit) => hitKey(hit) === key);
  return index >= 0 ? { hits: [...next], selected: index } : { hits: [...next, held], selected: next.length };
}

/** Hits by file: files in order of their best hit, hits in the order given. */
export function byFile(hits: readonly Hit[]): Map<string, Hit[]> {
  const files = new Map<string, Hit[]>();
  for (const hit of hits) {
    const inFile = files.get(hit.location.uri);
    if (inFile === undefined) files.set(hit.location.uri, [hit]);
    else inFile.push(hit);
  }
  return files;
}

const HEADLINE_LENGTH = 160;

/**
 * What tells most in one line: the first that is not blank and not only brackets or comment marks, and, where
 * it opens a bracket, what follows up to the closing one.
 */
export function headline(hit: Hit): string {
  const lines = hit.preview.split(/\r?\n/).map((line) => line.trim());
  const first = lines.findIndex((line) => /[\p{L}\p{N}]/u.test(line));
  let text = lines[first] ?? "";
  for (const line of lines.slice(first + 1)) {
    if (!opens(text) || text.length >= HEADLINE_LENGTH) break;
    text += /[([]$/.test(text) ? line : ` ${line}`;
  }
  return text.slice(0, HEADLINE_LENGTH);
}

function opens(text: string): boolean {
  const count = (characters: RegExp): number => text.match(characters)?.length ?? 0;
  return count(/[([]/g) > count(/[)\]]/g);
}

/** Scores have no scale that they share between answers: two decimals tell near from far within one. */
export function scoreText(score: number): string {
  return score.toFixed(2);
}

/** `src/net/client.py#L11-L18`: opens in terminals and code hosts alike. */
export function link(path: string, hit: Hit): string {
  const [first, last] = lines(hit);
  return first === last ? `${path}#L${String(first)}` : `${path}#L${String(first)}-L${String(last)}`;
}

/** First and last line, counted from 1; a range that ends at the start of a line does not include it. */
export function lines(hit: Hit): [first: number, last: number] {
  const { start, end } = hit.location.range;
  const last = end.character === 0 && end.line > start.line ? end.line - 1 : end.line;
  return [start.line + 1, last + 1];
}
