/** Small things done to text.  Pure. */

/** For HTML, in text and in attributes. */
export function escapeHtml(text: string): string {
  const entities: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
  return text.replace(/[&<>"']/g, (character) => entities[character] ?? character);
}

/** For what a list shows: `$(name)`, as shell scripts and Makefiles have it, would become an icon or nothing. */
export function escapeIcons(text: string): string {
  return text.replace(/\$\([A-Za-z0-9~-]+\)/g, "\\$&");
}

/** Without the indentation that all lines share, so that code at other depths compares equal. */
export function unindented(lines: readonly string[]): string[] {
  const indents = lines.filter((line) => line.trim() !== "").map((line) => /^\s*/.exec(line)?.[0].length ?? 0);
  const shared = indents.length > 0 ? Math.min(...indents) : 0;
  return lines.map((line) => line.slice(shared));
}
