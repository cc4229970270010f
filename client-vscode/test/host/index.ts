/** Run by VS Code inside its extension host. */

import Mocha from "mocha";

export async function run(): Promise<void> {
  const mocha = new Mocha({ ui: "tdd", timeout: 60_000, color: false });
  mocha.suite.emit("pre-require", globalThis, "", mocha);
  if (process.env["VSCODE_TEST_MEASURE"] === undefined) {
    await import("./extension.test.js");
    await import("./staleness.test.js");
  } else {
    await import("./typing.js");
  }
  await new Promise<void>((resolve, reject) => {
    mocha.run((failures) => {
      if (failures > 0) reject(new Error(`${String(failures)} failed`));
      else resolve();
    });
  });
}
