/** The settings that go to the server. */

import { Uri, workspace } from "vscode";
import { forServer } from "../core/settings.js";

/**
 * What the user, the workspace or the folder set.  Defaults are left out: they would outweigh what
 * `mosearch.toml` and the environment say.
 */
export function serverSettingsOf(scope: string | undefined): Record<string, unknown> {
  const settings = workspace.getConfiguration("mosearch", scope === undefined ? null : Uri.parse(scope));
  return forServer((name) => {
    const value = settings.inspect(name);
    return value?.workspaceFolderValue ?? value?.workspaceValue ?? value?.globalValue;
  });
}
