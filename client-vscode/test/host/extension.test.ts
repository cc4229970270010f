/** The extension inside VS Code, with the real server, without its user interface. */

import assert from "node:assert/strict";
import {
  ConfigurationTarget,
  Selection,
  Uri,
  commands,
  env,
  extensions,
  window,
  workspace,
  type Extension,
  type TextDocument,
} from "vscode";
import type { Api } from "../../src/api.js";
import { scopeFilters } from "../../src/core/filters.js";
import { compare } from "../../src/similar/compare.js";
import { serverSettingsOf } from "../../src/server/settings.js";

// The server opens its index again, perhaps on a busy machine.
const SLOW_MS = 90_000;

interface Manifest {
  contributes: { commands: { command: string }[] };
}

suite("the extension", () => {
  let extension: Extension<Api>;
  let api: Api;
  let document: TextDocument;
  /** Holds functions that are like one another. */
  let decorators: TextDocument;

  suiteSetup(async () => {
    const found = extensions.getExtension<Api>("mosearch.mosearch");
    assert.ok(found);
    extension = found;
    api = await extension.activate();
    document = await opened("src/click/termui.py");
    decorators = await opened("src/click/decorators.py");
  });

  async function opened(path: string): Promise<TextDocument> {
    const [uri] = await workspace.findFiles(path);
    assert.ok(uri);
    return await workspace.openTextDocument(uri);
  }

  function lineOf(text: string, inside = document): number {
    const line = inside.getText().split("\n").findIndex((candidate) => candidate.includes(text));
    assert.ok(line >= 0);
    return line;
  }

  test("registers every command that it declares", async () => {
    const known = new Set(await commands.getCommands(true));
    const manifest = extension.packageJSON as Manifest;
    for (const { command } of manifest.contributes.commands) assert.ok(known.has(command), command);
  });

  test("answers other extensions", async () => {
    const { hits } = await api.search({ query: "unstyle", limit: 5 });
    const hit = hits.find(({ symbol }) => symbol === "unstyle");
    assert.ok(hit);
    assert.equal(Uri.parse(hit.location.uri).toString(), document.uri.toString());
    assert.equal(hit.location.range.start.line, lineOf("def unstyle("));
  });

  test("an aborted question ends at once", async () => {
    const stop = new AbortController();
    const asked = api.search({ query: "anything" }, stop.signal);
    stop.abort();
    await assert.rejects(asked);
  });

  test("similar code is found for a cursor, and the answer says what it was asked about", async () => {
    const line = lineOf("def confirmation_option(", decorators);
    const textDocument = { uri: decorators.uri.toString() };
    const asked = { textDocument, position: { line: line + 1, character: 4 } };
    const answer = await api.similar(asked);
    assert.ok(answer.hits.length > 0);
    assert.equal(answer.origin.range.start.line, line);
    const all = await api.similar({ ...asked, all: true });
    assert.ok(all.hits.length > answer.hits.length, "what is probably not similar comes on request");
    const elsewhere = await api.similar({ ...asked, all: true, filters: scopeFilters("openFiles", "", ["src/click/core.py"]) });
    assert.ok(elsewhere.hits.length > 0);
    assert.ok(elsewhere.hits.every(({ path }) => path === "src/click/core.py"));
  });

  test("only what somebody set goes to the server", async function () {
    this.timeout(3 * SLOW_MS);
    const settings = workspace.getConfiguration("mosearch");
    assert.equal(serverSettingsOf(undefined)["max_file_bytes"], undefined);
    await settings.update("limit", 2, ConfigurationTarget.Workspace);
    try {
      assert.equal(serverSettingsOf(document.uri.toString())["limit"], 2);
      await until(async () => (await api.search({ query: "terminal" })).hits.length === 2);
    } finally {
      await settings.update("limit", undefined, ConfigurationTarget.Workspace);
    }
    await until(async () => (await api.search({ query: "terminal" })).hits.length > 2);
  });

  test("two pieces of code are compared, and nothing around them", async () => {
    const { hits } = await api.search({ query: "unstyle", limit: 1 });
    const [hit] = hits;
    assert.ok(hit);
    const first = lineOf("def unstyle(");
    const range = { start: { line: first, character: 0 }, end: { line: first + 1, character: 0 } };
    await compare({ uri: document.uri.toString(), range }, hit);
    const shown = window.visibleTextEditors
      .map((editor) => editor.document)
      .filter(({ uri }) => uri.scheme === "mosearch-lines");
    assert.equal(shown.length, 2);
    assert.ok(shown.some((side) => side.getText() === document.lineAt(first).text));
    await commands.executeCommand("workbench.action.closeAllEditors");
  });

  test("a selection's similar code is listed and its link copied", async () => {
    const editor = await window.showTextDocument(decorators);
    const line = lineOf("def confirmation_option(", decorators);
    const end = lineOf("def password_option(", decorators);
    editor.selection = new Selection(line, 0, end, 0);
    await commands.executeCommand("mosearch.findSimilarCode");
    const { hits } = await api.similar({
      textDocument: { uri: decorators.uri.toString() },
      range: { start: { line, character: 0 }, end: { line: end, character: 0 } },
    });
    await commands.executeCommand("mosearch.results.copyLink", { type: "hit", hit: hits[0] });
    assert.match(await env.clipboard.readText(), /^src\/click\/\w+\.py#L\d+/);
  });
});

async function until(condition: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + SLOW_MS;
  while (!(await condition())) {
    assert.ok(Date.now() < deadline, condition.toString());
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
