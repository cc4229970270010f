/** When a server that ended unasked is started again.  Pure. */

export interface Backoff {
  /** Starts that did not last. */
  failures: number;
}

const FIRST_MS = 500;
const LONGEST_MS = 30_000;
const MOST_FAILURES = 6;
const STABLE_MS = 120_000;

/** After a server that lived `lifetimeMs` ended: how long to wait, or null to give up. */
export function nextStart(state: Backoff, lifetimeMs: number): { state: Backoff; waitMs: number | null } {
  const failures = (lifetimeMs >= STABLE_MS ? 0 : state.failures) + 1;
  const waitMs = failures > MOST_FAILURES ? null : Math.min(LONGEST_MS, FIRST_MS * 2 ** (failures - 1));
  return { state: { failures }, waitMs };
}
