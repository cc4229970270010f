import assert from "node:assert/strict";
import { test } from "node:test";
import { latest, type Latest, type Timing } from "../../src/core/latest.js";

interface Shown {
  question: string;
  answer: string;
  isFinal: boolean;
}

/** A clock that moves only when it is told to, and runs what became due in order. */
class Clock implements Timing {
  private time = 0;
  private due: { at: number; action: () => void }[] = [];

  now = (): number => this.time;

  after = (ms: number, action: () => void): (() => void) => {
    const entry = { at: this.time + ms, action };
    this.due.push(entry);
    return () => {
      this.due = this.due.filter((other) => other !== entry);
    };
  };

  /** Moves on, and lets everything happen that promises wait for. */
  async advance(ms: number): Promise<void> {
    const end = this.time + ms;
    for (;;) {
      const next = this.due.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
      if (next === undefined) break;
      this.time = next.at;
      this.due = this.due.filter((entry) => entry !== next);
      next.action();
      await settle();
    }
    this.time = end;
    await settle();
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.after(ms, resolve));
  }
}

async function settle(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await Promise.resolve();
}

interface Delay {
  partial: number;
  final: number;
}

interface Asked {
  questions: Latest<string>;
  shown: Shown[];
  sent: { question: string; at: number; signal: AbortSignal }[];
  /** Questions that failed. */
  failed: string[];
}

/** Answers each question after the delay that `delayOf` gives it, and goes on when it is aborted: a slow server. */
function asker(clock: Clock, delayOf: (question: string) => Delay): Asked {
  const shown: Shown[] = [];
  const failed: string[] = [];
  const sent: { question: string; at: number; signal: AbortSignal }[] = [];
  const questions = latest<string, string>(
    {
      interval: () => 50,
      send: async (question, partial, signal) => {
        sent.push({ question, at: clock.now(), signal });
        const delay = delayOf(question);
        await clock.sleep(delay.partial);
        partial(`first of ${question}`);
        await clock.sleep(delay.final - delay.partial);
        if (question.endsWith("!")) throw new Error(question);
        return `all of ${question}`;
      },
      show: (question, answer, isFinal) => shown.push({ question, answer, isFinal }),
      fail: (question) => failed.push(question),
    },
    clock,
  );
  return { questions, shown, sent, failed };
}

test("the first question goes out at once, and is answered in parts", async () => {
  const clock = new Clock();
  const { questions, shown } = asker(clock, () => ({ partial: 20, final: 90 }));
  questions.ask("a");
  await clock.advance(20);
  assert.deepEqual(shown, [{ question: "a", answer: "first of a", isFinal: false }]);
  await clock.advance(70);
  assert.deepEqual(shown[1], { question: "a", answer: "all of a", isFinal: true });
});

test("of keys pressed within the interval only the last is asked for", async () => {
  const clock = new Clock();
  const { questions, sent } = asker(clock, () => ({ partial: 5, final: 10 }));
  for (const question of ["r", "re", "ret", "retr"]) {
    questions.ask(question);
    await clock.advance(10);
  }
  await clock.advance(200);
  assert.deepEqual(
    sent.map(({ question, at }) => [question, at]),
    [
      ["r", 0],
      ["retr", 50],
    ],
  );
});

test("a newer question aborts the older one at once", async () => {
  const clock = new Clock();
  const { questions, sent } = asker(clock, () => ({ partial: 500, final: 900 }));
  questions.ask("old");
  await clock.advance(10);
  questions.ask("new");
  assert.equal(sent[0]?.signal.aborted, true);
});

test("an error of an abandoned question is not told, one of the present is", async () => {
  const clock = new Clock();
  const { questions, failed } = asker(clock, () => ({ partial: 5, final: 200 }));
  questions.ask("old!");
  await clock.advance(100);
  questions.ask("new!");
  await clock.advance(1000);
  assert.deepEqual(failed, ["new!"]);
});

test("after cancel nothing is shown", async () => {
  const clock = new Clock();
  const { questions, shown } = asker(clock, () => ({ partial: 50, final: 100 }));
  questions.ask("a");
  await clock.advance(10);
  questions.cancel();
  await clock.advance(1000);
  assert.deepEqual(shown, []);
});

test("whatever the delays, no stale answer replaces a newer one, and the last question is answered", async () => {
  for (let seed = 1; seed <= 300; seed++) {
    const random = generator(seed);
    const clock = new Clock();
    const { questions, shown } = asker(clock, () => {
      const partial = Math.floor(random() * 400);
      return { partial, final: partial + Math.floor(random() * 400) };
    });
    const typed = Array.from({ length: 12 }, (_, index) => `q${String(index)}`);
    let newest = -1;
    for (const question of typed) {
      newest++;
      questions.ask(question);
      const before = shown.length;
      await clock.advance(Math.floor(random() * 250));
      const fresh = shown.slice(before).map((entry) => entry.question);
      assert.ok(
        fresh.every((name) => name === typed[newest]),
        `seed ${String(seed)}: while ${question} was typed, ${fresh.join()} was shown`,
      );
    }
    await clock.advance(2000);
    assert.deepEqual(shown.at(-1), { question: "q11", answer: "all of q11", isFinal: true });
    const finals = shown.findIndex((entry) => entry.question === "q11" && entry.isFinal);
    assert.equal(finals, shown.length - 1, "nothing follows the final answer");
  }
});

/** Numbers in [0, 1), the same for the same seed (mulberry32). */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}
