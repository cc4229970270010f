import assert from "node:assert/strict";
import { test } from "node:test";
import { nextStart, type Backoff } from "../../src/core/backoff.js";
import { escapeGlob, isRestricted, nothingChosen, scopeFilters, toFilters } from "../../src/core/filters.js";
import { healthOf } from "../../src/core/health.js";
import { forget, remember } from "../../src/core/history.js";
import { byFile, headline, hitKey, lines, link, replaceHits, scoreText } from "../../src/core/hits.js";
import { pipStep } from "../../src/core/pip.js";
import type { FolderStatus, Hit } from "../../src/core/protocol.js";
import { forServer, serverName, serverSettings } from "../../src/core/settings.js";
import { torchAdvice } from "../../src/core/torch.js";
import { escapeHtml, escapeIcons, unindented } from "../../src/core/text.js";
import { interpreterNames, isRecentEnough, readProbe } from "../../src/server/python.js";

function hit(symbol: string, line = 0, uri = "file:///a.py"): Hit {
  const range = { start: { line, character: 0 }, end: { line: line + 3, character: 0 } };
  const rest = { kind: 12, container: "", language: "python", path: "a.py", score: 0.5, exit: 6 };
  return { location: { uri, range }, symbol, ...rest, preview: `def ${symbol}():\n    pass` };
}

test("the best hit is selected until the user moves", () => {
  const { hits, selected } = replaceHits([hit("b"), hit("a")], undefined);
  assert.deepEqual([hits.map(({ symbol }) => symbol), selected], [["b", "a"], 0]);
  assert.equal(replaceHits([], undefined).selected, -1);
});

test("re-ranking moves the selected hit, not the selection", () => {
  const { hits, selected } = replaceHits([hit("c"), hit("a"), hit("b")], hit("b"));
  assert.equal(hits[selected]?.symbol, "b");
  assert.equal(hits.length, 3);
});

test("a selected hit that the new list lacks is kept at its end", () => {
  const { hits, selected } = replaceHits([hit("c")], hit("b"));
  assert.deepEqual([hits.map(({ symbol }) => symbol), selected], [["c", "b"], 1]);
});

test("hits of the same name in other places are other hits", () => {
  const keys = [hit("a"), hit("a", 5), hit("a", 0, "file:///b.py")].map(hitKey);
  assert.equal(new Set(keys).size, 3);
});

test("files come in order of their best hit", () => {
  const grouped = byFile([hit("a", 0, "file:///2"), hit("b", 0, "file:///1"), hit("c", 9, "file:///2")]);
  assert.deepEqual(
    [...grouped].map(([uri, found]) => [uri, found.map(({ symbol }) => symbol)]),
    [
      ["file:///2", ["a", "c"]],
      ["file:///1", ["b"]],
    ],
  );
});

test("a range of whole lines ends with its last line", () => {
  assert.deepEqual(lines(hit("a", 10)), [11, 13]);
  assert.equal(link("src/a.py", hit("a", 10)), "src/a.py#L11-L13");
  const oneLine = hit("a");
  oneLine.location.range.end = { line: 0, character: 9 };
  assert.equal(link("a.py", oneLine), "a.py#L1");
});

test("the headline is the first line that says something", () => {
  assert.equal(headline({ ...hit("a"), preview: "{\r\n\r\n  int größe(void)\n" }), "int größe(void)");
  assert.equal(headline({ ...hit("a"), preview: "" }), "");
});

test("a signature over several lines is one line", () => {
  const preview = "def confirm(\n    text: str,\n    err: bool = False,\n) -> bool:\n    pass";
  assert.equal(headline({ ...hit("a"), preview }), "def confirm(text: str, err: bool = False, ) -> bool:");
  assert.equal(headline({ ...hit("a"), preview: `f(\n${"x, ".repeat(99)}` }).length, 160);
});

test("scores are short", () => {
  assert.deepEqual([0.914, 1.7].map(scoreText), ["0.91", "1.70"]);
});

test("a server that keeps ending is started again ever later, and not for ever", () => {
  let state: Backoff = { failures: 0 };
  const waits = [];
  for (let end = 0; end < 7; end++) {
    const next = nextStart(state, 1000);
    state = next.state;
    waits.push(next.waitMs);
  }
  assert.deepEqual(waits, [500, 1000, 2000, 4000, 8000, 16000, null]);
});

test("a server that lived long starts again at once", () => {
  assert.equal(nextStart({ failures: 6 }, 3_600_000).waitMs, 500);
});

test("filters name languages and paths by git's rules", () => {
  const chosen = { languages: ["python"], folder: "src/net [old]", openFiles: false };
  assert.deepEqual(toFilters(chosen, []), { languages: ["python"], paths: [String.raw`/src/net\ \[old\]/`] });
  assert.deepEqual(toFilters(nothingChosen, ["a.py"]), {});
  assert.equal(isRestricted(nothingChosen), false);
  assert.equal(isRestricted(chosen), true);
});

test("open files are those in the folder, and none means nothing, not everything", () => {
  const chosen = { languages: [], folder: "src", openFiles: true };
  assert.deepEqual(toFilters(chosen, ["src/a.py", "test/b.py"]), { paths: ["/src/a.py"] });
  assert.deepEqual(toFilters({ ...chosen, folder: null }, []), { paths: ["/."] });
});

test("similar code is looked for in the file's folder, in open files, or everywhere", () => {
  assert.deepEqual(scopeFilters("all", "src/a.py", ["b.py"]), {});
  assert.deepEqual(scopeFilters("folder", "src/net/a.py", []), { paths: ["/src/net/"] });
  assert.deepEqual(scopeFilters("folder", "a.py", []), {}, "all of the workspace is around it");
  assert.deepEqual(scopeFilters("openFiles", "src/a.py", ["src/a.py", "b.py"]), { paths: ["/src/a.py", "/b.py"] });
});

test("the build of PyTorch is told of where another may be wanted", () => {
  assert.equal(torchAdvice("linux", false, []), "large");
  assert.equal(torchAdvice("linux", true, []), "gpu");
  assert.equal(torchAdvice("win32", true, []), "gpuLeftOut");
  assert.equal(torchAdvice("win32", false, []), undefined);
  assert.equal(torchAdvice("darwin", false, []), undefined);
  assert.equal(torchAdvice("linux", false, ["--index-url", "x"]), undefined, "the user has decided");
});

test("a path means itself as a glob", () => {
  assert.equal(escapeGlob("a*b?[c]!#.py"), String.raw`a\*b\?\[c\]\!\#.py`);
});

test("recent queries: the latest first, each once", () => {
  assert.deepEqual(remember(["b", "a"], " a "), ["a", "b"]);
  assert.deepEqual(remember(["a"], "  "), ["a"]);
  assert.deepEqual(forget(["b", "a"], "b"), ["a"]);
  const many = Array.from({ length: 30 }, (_, index) => String(index)).reduce<string[]>(remember, []);
  assert.equal(many.length, 20);
  assert.equal(many[0], "29");
});

test("settings go out under the server's names, and only those that somebody set", () => {
  assert.equal(serverName("rerankBudgetMs"), "rerank_budget_ms");
  const set: Record<string, unknown> = { limit: 20, model: null, "server.command": ["x"] };
  assert.deepEqual(forServer((name) => set[name]), { limit: 20 });
  assert.ok(serverSettings.includes("rerankBudgetMs"));
  assert.ok(!serverSettings.some((name) => name.includes(".")), "the extension's own are in groups");
});

function folder(values: Partial<FolderStatus>): FolderStatus {
  return { uri: "file:///w", root: "/w", state: "ready", ...values };
}

test("health: indexing counts all folders by what they have to do, and by their shares of the whole", () => {
  const progress = (percentage: number, total: number): NonNullable<FolderStatus["progress"]> => ({
    stage: "parse",
    done: total,
    total,
    percentage,
  });
  const folders = [
    folder({ state: "indexing", progress: progress(100, 100) }),
    folder({ state: "indexing", progress: progress(0, 900) }),
  ];
  assert.deepEqual(healthOf({ folders }), { kind: "indexing", percentage: 10 });
  const parsed = [folder({ state: "indexing", progress: progress(25, 900) })];
  assert.deepEqual(healthOf({ folders: parsed }), { kind: "indexing", percentage: 25 });
  assert.deepEqual(healthOf({ folders: [folder({ state: "opening" })] }), { kind: "indexing", percentage: 0 });
});

test("health: errors, warnings and wrong settings are problems", () => {
  const folders = [folder({ state: "failed", error: "disk full" }), folder({ warning: "by words only" })];
  const health = healthOf({ folders, problems: ["no setting `x`"] });
  assert.deepEqual(health, { kind: "problems", problems: ["no setting `x`", "disk full", "by words only"] });
});

test("health: ready says exits and device", () => {
  const ready = { index_exit: 3, rerank_exit: 6, device: "cpu" };
  assert.deepEqual(healthOf({ folders: [folder(ready)] }), { kind: "ready", exits: "3 → 6", device: "cpu" });
  assert.deepEqual(healthOf({ folders: [folder({ index_exit: 6, rerank_exit: 6 })] }), {
    kind: "ready",
    exits: "6",
    device: "",
  });
});

test("pip's downloads are shown by name and size", () => {
  const line = "  Downloading torch-2.6.0%2Bcpu-cp311-cp311-linux_x86_64.whl (178.7 MB)";
  assert.deepEqual(pipStep(line), { kind: "download", name: "torch", size: "178.7 MB" });
  assert.deepEqual(pipStep("Downloading https://host/p/typing_extensions-4.12.2-py3-none-any.whl"), {
    kind: "download",
    name: "typing_extensions",
    size: "",
  });
  assert.deepEqual(pipStep("Installing collected packages: a, b"), { kind: "install" });
  assert.equal(pipStep("Requirement already satisfied: a"), undefined);
});

test("HTML means itself", () => {
  assert.equal(escapeHtml(`<a href="x">'&'`), "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;");
});

test("what code means by $(name) is no icon", () => {
  assert.equal(escapeIcons("$(CC) -o $@ $(sync~spin)"), "\\$(CC) -o $@ \\$(sync~spin)");
  assert.equal(escapeIcons("f($(1 + 1)) ${x}"), "f($(1 + 1)) ${x}");
});

test("shared indentation is taken away, blank lines count for nothing", () => {
  assert.deepEqual(unindented(["    def a():", "", "        pass"]), ["def a():", "", "    pass"]);
  assert.deepEqual(unindented([]), []);
});

test("an interpreter's last line is its answer", () => {
  const python = readProbe('welcome\n{"path": "/p", "version": [3, 9], "mosearch": null}\n');
  assert.deepEqual(python, { path: "/p", version: [3, 9], mosearch: null });
  assert.equal(isRecentEnough({ path: "/p", version: [3, 9], mosearch: null }), false);
  assert.equal(isRecentEnough({ path: "/p", version: [3, 10], mosearch: null }), true);
  assert.equal(readProbe("Traceback"), undefined);
});

test("Windows has its launcher, others python3", () => {
  assert.equal(interpreterNames("win32")[0], "py");
  assert.equal(interpreterNames("linux")[0], "python3");
});
