/** Icons and names of LSP's symbol kinds. */

import { SymbolKind, ThemeColor, ThemeIcon } from "vscode";

/** LSP counts symbol kinds from 1, VS Code from 0. */
export function kindName(kind: number): string {
  return SymbolKind[kind - 1] ?? "Null";
}

/** `EnumMember` → the icon `symbol-enum-member` in the colour that themes give it. */
export function kindIcon(kind: number): ThemeIcon {
  const name = kindName(kind);
  const icon = name.replace(/(?!^)[A-Z]/g, (letter) => `-${letter}`).toLowerCase();
  const colour = `${name.charAt(0).toLowerCase()}${name.slice(1)}`;
  return new ThemeIcon(`symbol-${icon}`, new ThemeColor(`symbolIcon.${colour}Foreground`));
}
