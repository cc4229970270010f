/** Recent queries, the latest first.  Pure. */

const KEPT = 20;

export function remember(history: readonly string[], query: string): string[] {
  const wanted = query.trim();
  return wanted === "" ? [...history] : [wanted, ...forget(history, wanted)].slice(0, KEPT);
}

export function forget(history: readonly string[], query: string): string[] {
  return history.filter((old) => old !== query);
}
