// Bundles the extension, and with --tests the tests beside it.
import { copyFileSync, readdirSync } from "node:fs";
import { build } from "esbuild";

const shared = {
  bundle: true,
  platform: "node",
  target: "node20",
  format: "cjs",
  external: ["vscode"],
  sourcemap: "linked",
  logLevel: "warning",
};

const named = (folder) =>
  readdirSync(folder)
    .filter((name) => name.endsWith(".test.ts"))
    .map((name) => `${folder}/${name}`);

copyFileSync("../LICENSE", "LICENSE");
await build({ ...shared, entryPoints: ["src/extension.ts"], outfile: "dist/extension.js", minify: true });

if (process.argv.includes("--tests")) {
  await build({ ...shared, entryPoints: named("test/unit"), outdir: "out/unit" });
  await build({
    ...shared,
    entryPoints: ["test/host/index.ts", "test/host/slowServer.ts"],
    outdir: "out/host",
    external: ["vscode", "mocha"],
  });
  await build({ ...shared, entryPoints: [...named("test/ui"), "test/ui/typing.ts", "test/ui/stranger.ts"], outdir: "out/ui", external: ["playwright-core"] });
}
