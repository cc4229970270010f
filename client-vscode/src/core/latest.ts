/** Asks only for what was typed last, and shows no answer to an older question. */

export interface Timing {
  now(): number;
  /** Calls `action` after `ms`; the function it returns takes that back. */
  after(ms: number, action: () => void): () => void;
}

export interface Asker<Question, Answer> {
  /** Milliseconds between the starts of two requests. */
  interval: () => number;
  /** Sends one request.  `partial` may be called any number of times before the promise settles. */
  send: (question: Question, partial: (answer: Answer) => void, signal: AbortSignal) => Promise<Answer>;
  show: (question: Question, answer: Answer, isFinal: boolean) => void;
  fail: (question: Question, error: unknown) => void;
}

export interface Latest<Question> {
  ask: (question: Question) => void;
  /** Nothing asked before is shown any more. */
  cancel: () => void;
}

const systemTiming: Timing = {
  now: () => performance.now(),
  after: (ms, action) => {
    const timer = setTimeout(action, ms);
    return () => {
      clearTimeout(timer);
    };
  },
};

/**
 * The first question goes out at once; those that follow within `interval` of it wait, and only the last
 * of them is sent.  A question aborts the one before it the moment it is asked.
 */
export function latest<Question, Answer>(
  asker: Asker<Question, Answer>,
  timing: Timing = systemTiming,
): Latest<Question> {
  let running = new AbortController();
  let takeBack: () => void = () => undefined;
  let lastStart = -Infinity;

  async function send(question: Question, signal: AbortSignal): Promise<void> {
    lastStart = timing.now();
    let settled = false;
    const show = (answer: Answer, isFinal: boolean): void => {
      if (!signal.aborted && !settled) asker.show(question, answer, isFinal);
    };
    try {
      const answer = await asker.send(
        question,
        (part) => {
          show(part, false);
        },
        signal,
      );
      show(answer, true);
    } catch (error) {
      if (!signal.aborted) asker.fail(question, error);
    } finally {
      settled = true;
    }
  }

  function cancel(): void {
    takeBack();
    running.abort();
  }

  return {
    ask(question) {
      cancel();
      running = new AbortController();
      const { signal } = running;
      const wait = Math.max(0, lastStart + asker.interval() - timing.now());
      if (wait === 0) void send(question, signal);
      else takeBack = timing.after(wait, () => void send(question, signal));
    },
    cancel,
  };
}
