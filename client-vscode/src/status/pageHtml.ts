/** The status page's text.  No scripts: what can be done are links to commands. */

import { Uri, env, l10n } from "vscode";
import type { Health } from "../core/health.js";
import { exitsOf } from "../core/health.js";
import type { FolderStatus, Status } from "../core/protocol.js";
import { escapeHtml as escape } from "../core/text.js";

const MOST_FAILURES = 200;

const STYLE = `
  body { font-family: var(--vscode-font-family); font-size: var(--vscode-font-size);
         color: var(--vscode-foreground); max-width: 56rem; padding: 1rem 2rem; line-height: 1.5; }
  h1 { font-weight: 400; font-size: 1.8em; margin-bottom: .2em; }
  h2 { font-weight: 600; font-size: 1.2em; margin: 1.8em 0 .4em; overflow-wrap: anywhere; }
  table { border-collapse: collapse; width: 100%; }
  th { text-align: left; font-weight: normal; color: var(--vscode-descriptionForeground);
       width: 14rem; vertical-align: top; }
  th, td { padding: .15em 1em .15em 0; overflow-wrap: anywhere; }
  progress { width: 100%; height: 6px; accent-color: var(--vscode-progressBar-background); }
  .problem { border-left: 3px solid var(--vscode-editorWarning-foreground); padding: .2em .8em; margin: .6em 0;
             white-space: pre-wrap; }
  nav { display: flex; flex-wrap: wrap; gap: .5em; margin: 1.2em 0; }
  nav a { color: var(--vscode-button-secondaryForeground); background: var(--vscode-button-secondaryBackground);
          padding: .3em .9em; border-radius: 2px; text-decoration: none; }
  nav a:hover { background: var(--vscode-button-secondaryHoverBackground); }
  nav a.main { color: var(--vscode-button-foreground); background: var(--vscode-button-background); }
  nav a.main:hover { background: var(--vscode-button-hoverBackground); }
  a:focus-visible { outline: 1px solid var(--vscode-focusBorder); outline-offset: 2px; }
`;

/** A whole HTML document. */
export function render(health: Health, status: Status | undefined): string {
  const version = status === undefined ? "" : ` <small>${escape(status.version)}</small>`;
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline';">
<title>${escape(l10n.t("MoSEarch Status"))}</title>
<style>${STYLE}</style>
</head>
<body>
<main>
<h1>MoSEarch${version}</h1>
<p role="status">${escape(sentence(health))}</p>
${problems(health).map((text) => `<p class="problem">${escape(text)}</p>`).join("\n")}
${actions(health)}
${(status?.folders ?? []).map((folder) => folderSection(folder)).join("\n")}
</main>
</body>
</html>`;
}

function sentence(health: Health): string {
  switch (health.kind) {
    case "off":
      return l10n.t("The server is not running.");
    case "missing":
      return l10n.t("The server is not set up yet.");
    case "failed":
      return l10n.t("The server does not run.");
    case "starting":
      return l10n.t("The server is starting.");
    case "restarting":
      return l10n.t("The server ended unexpectedly. It is started again in a moment.");
    case "indexing":
      return l10n.t("Indexing: {0} % done. Searching works already, with what is indexed so far.", health.percentage);
    case "problems":
      return l10n.t("The server runs, with problems.");
    case "ready":
      return l10n.t("The server is ready.");
  }
}

function problems(health: Health): string[] {
  if (health.kind === "problems") return health.problems;
  return health.kind === "missing" || health.kind === "failed" ? [health.message] : [];
}

function actions(health: Health): string {
  const runs = health.kind === "indexing" || health.kind === "problems" || health.kind === "ready";
  const links = [
    ...(health.kind === "missing" ? [action("mosearch.install", l10n.t("Set Up MoSEarch…"), true)] : []),
    ...(runs ? [action("mosearch.searchByMeaning", l10n.t("Search by Meaning"), true)] : []),
    ...(runs ? [action("mosearch.reindex", l10n.t("Re-index"))] : []),
    action("mosearch.restartServer", runs ? l10n.t("Restart Server") : l10n.t("Start Server")),
    action("mosearch.openLog", l10n.t("Open Log")),
    action("mosearch.openSettings", l10n.t("Settings")),
    ...(runs ? [action("mosearch.clearIndex", l10n.t("Clear Index…"))] : []),
  ];
  return `<nav aria-label="${escape(l10n.t("Actions"))}">${links.join("\n")}</nav>`;
}

function action(command: string, text: string, isMain = false): string {
  return `<a${isMain ? ' class="main"' : ""} role="button" href="command:${command}">${escape(text)}</a>`;
}

function folderSection(folder: FolderStatus): string {
  const name = folder.root.split(/[\\/]/).at(-1) ?? folder.root;
  return `<section aria-label="${escape(name)}">
<h2>${escape(name)}</h2>
${progress(folder)}
<table>
${rows(folder).map(([head, text]) => `<tr><th scope="row">${escape(head)}</th><td>${text}</td></tr>`).join("\n")}
</table>
${failures(folder)}
</section>`;
}

function progress(folder: FolderStatus): string {
  if (folder.progress === undefined || folder.state !== "indexing") return "";
  const { percentage } = folder.progress;
  const label = escape(l10n.t("Indexed"));
  return `<progress max="100" value="${String(percentage)}" aria-label="${label}">${String(percentage)} %</progress>`;
}

function rows(folder: FolderStatus): [string, string][] {
  const found: [string, string | undefined][] = [
    [l10n.t("Folder"), folder.root],
    [l10n.t("State"), stateText(folder)],
    [l10n.t("Files"), count(folder.files)],
    [l10n.t("Chunks"), count(folder.chunks)],
    [l10n.t("Vectors"), vectors(folder.vectors)],
    [l10n.t("Without a vector yet"), count(folder.pending)],
    [l10n.t("Left out"), skipped(folder.skipped)],
    [l10n.t("Model"), folder.model],
    [l10n.t("Exits (index → re-rank)"), exitsOf(folder)],
    [l10n.t("Device"), deviceText(folder)],
    [l10n.t("Last in step with the files"), time(folder.last_sync)],
    [l10n.t("Size on disk"), folder.bytes === undefined ? undefined : megabytes(folder.bytes)],
    [l10n.t("Index"), folder.index_dir],
  ];
  return found.flatMap(([head, text]) => (text === undefined || text === "" ? [] : [[head, escape(text)]]));
}

function deviceText({ device, in_process: own = [] }: FolderStatus): string | undefined {
  if (device !== "") return device;
  if (own.length === 0) return l10n.t("no encoder runs at the moment");
  return l10n.t("none needed for exit {0}; no encoder runs at the moment", own.join(", "));
}

function stateText(folder: FolderStatus): string {
  switch (folder.state) {
    case "opening":
      return l10n.t("opening");
    case "indexing":
      return l10n.t("indexing");
    case "ready":
      return l10n.t("ready");
    case "cancelled":
      return l10n.t("stopped; what was done is searchable. Re-index to go on.");
    case "failed":
      return l10n.t("failed");
  }
}

function skipped(reasons: Record<string, number> | undefined): string {
  return Object.entries(reasons ?? {})
    .map(([reason, files]) => `${reason}: ${count(files) ?? ""}`)
    .join(", ");
}

function vectors(byExit: Record<string, number> | undefined): string {
  return Object.entries(byExit ?? {})
    .map(([exit, texts]) => l10n.t("{0} at exit {1}", count(texts) ?? "", exit))
    .join(", ");
}

function failures(folder: FolderStatus): string {
  const failed = Object.entries(folder.failed ?? {});
  if (failed.length === 0) return "";
  const shown = failed.slice(0, MOST_FAILURES).map(([path, reason]) => {
    const target = Uri.joinPath(Uri.parse(folder.uri), path);
    const href = `command:vscode.open?${encodeURIComponent(JSON.stringify([target]))}`;
    return `<tr><th scope="row"><a href="${escape(href)}">${escape(path)}</a></th><td>${escape(reason)}</td></tr>`;
  });
  const more = failed.length > MOST_FAILURES ? `<p>${escape(l10n.t("… and {0} more", failed.length - MOST_FAILURES))}</p>` : "";
  return `<h3>${escape(l10n.t("Files that could not be indexed"))}</h3><table>${shown.join("\n")}</table>${more}`;
}

function count(value: number | undefined): string | undefined {
  return value?.toLocaleString("en-US");
}

function time(seconds: number | null | undefined): string | undefined {
  return typeof seconds === "number" ? new Date(1000 * seconds).toLocaleString(env.language) : undefined;
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toLocaleString("en-US", { maximumFractionDigits: 1 })} MB`;
}
