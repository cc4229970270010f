/** What `package.json` and the texts beside it say of each other. */

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";

const manifest = readFileSync("package.json", "utf8");
const texts = JSON.parse(readFileSync("package.nls.json", "utf8")) as Record<string, string>;

test("every text of the manifest is there, and none is left over", () => {
  const used = new Set([...manifest.matchAll(/"%([^%"]+)%"/g)].map(([, name]) => name));
  assert.deepEqual([...used].sort(), Object.keys(texts).sort());
});

test("every text of the code can be translated", () => {
  const bundle = JSON.parse(readFileSync("l10n/bundle.l10n.json", "utf8")) as Record<string, string>;
  const used = new Set<string>();
  for (const file of readdirSync("src", { recursive: true, encoding: "utf8" })) {
    if (!file.endsWith(".ts")) continue;
    const source = readFileSync(`src/${file}`, "utf8");
    for (const [, literal] of source.matchAll(/l10n\.t\(\s*("(?:[^"\\]|\\.)*")/g)) {
      used.add(JSON.parse(literal ?? '""') as string);
    }
  }
  assert.deepEqual([...used].sort(), Object.keys(bundle).sort(), "run `npm run l10n`");
});

test("a command is declared if and only if the code registers it", () => {
  const { contributes } = JSON.parse(manifest) as { contributes: { commands: { command: string }[] } };
  const registered = new Set<string>();
  for (const file of readdirSync("src", { recursive: true, encoding: "utf8" })) {
    if (!file.endsWith(".ts")) continue;
    const source = readFileSync(`src/${file}`, "utf8");
    for (const [, name] of source.matchAll(/registerCommand\(\s*"([^"]+)"/g)) registered.add(name ?? "");
  }
  assert.deepEqual([...registered].sort(), contributes.commands.map(({ command }) => command).sort());
});
