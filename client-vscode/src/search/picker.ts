/** *Search by Meaning*: a list that answers while one types. */

import {
  ThemeIcon,
  commands,
  l10n,
  window,
  workspace,
  type Memento,
  type QuickInputButton,
  type QuickPick,
} from "vscode";
import { messageOf } from "../core/errors.js";
import { isRestricted, nothingChosen, toFilters, type Chosen } from "../core/filters.js";
import { forget, remember } from "../core/history.js";
import { hitKey, replaceHits } from "../core/hits.js";
import { latest } from "../core/latest.js";
import type { Answer, Hit } from "../core/protocol.js";
import type { Session } from "../server/session.js";
import type { Results } from "../similar/resultsTree.js";
import { folderName, openHit } from "../ui/places.js";
import { search } from "./ask.js";
import { chooseFolder, chooseLanguages, openPaths } from "./filterMenus.js";
import { Preview } from "./preview.js";
import * as rows from "./rows.js";
import type { Row } from "./rows.js";

/** True in `when` clauses while the picker is shown. */
const CONTEXT = "mosearch.pickerVisible";
const HISTORY = "mosearch.recentQueries";

// A hit that the user moves to is shown at once, but holding a key down does not open every file on the way;
// the best hit is shown only when typing has come to rest.
const PREVIEW_MOVED_MS = 80;
const PREVIEW_BEST_MS = 400;

export interface PickerHost {
  session: Session;
  /** Where recent queries are kept. */
  memory: Memento;
  /** Lists hits in the results view, where they stay. */
  showInView: (results: Results) => void;
  findSimilar: (hit: Hit) => void;
  /** Told of every request, for measuring. */
  onAnswer?: (query: string, isFinal: boolean) => void;
}

const languageButton = button("symbol-keyword", l10n.t("Filter by Language"));
const folderButton = button("folder", l10n.t("Filter by Folder"));
const openFilesButton = button("files", l10n.t("Only Open Files"));
const allFilesButton = button("files", l10n.t("All Files, not Only Open Ones"));
const clearButton = button("clear-all", l10n.t("Clear Filters"));
const viewButton = button("list-tree", l10n.t("Show Results in the MoSEarch View"));

function button(icon: string, tooltip: string): QuickInputButton {
  return { iconPath: new ThemeIcon(icon), tooltip };
}

export class Picker {
  private readonly input: QuickPick<Row> = window.createQuickPick<Row>();
  private readonly preview = new Preview();
  /** As they were before previews opened more. */
  private readonly open = openPaths();
  private readonly languagesSeen = new Set<string>();
  private chosen: Chosen = nothingChosen;
  private hits: Hit[] = [];
  /** The hit that the user moved to; undefined while the best one is selected by itself. */
  private held: Hit | undefined;
  private heldQuery = "";
  /** A filter menu is shown instead; hiding is not leaving. */
  private suspended = false;
  /** Closing leaves the previewed file where it is. */
  private keepPreview = false;
  private resolveClosed: () => void = () => undefined;
  /** Settles when the editor is as it should be without the picker. */
  readonly closed = new Promise<void>((resolve) => {
    this.resolveClosed = resolve;
  });
  private readonly questions = latest<string, Answer>({
    interval: () => workspace.getConfiguration("mosearch.search").get("delay", 50),
    send: (query, partial, signal) => this.send(query, partial, signal),
    show: (query, answer, isFinal) => {
      this.showAnswer(query, answer, isFinal);
    },
    fail: (_query, error) => {
      this.showNote(messageOf(error));
    },
  });

  constructor(
    private readonly host: PickerHost,
    query: string,
  ) {
    const { input } = this;
    input.placeholder = l10n.t("Describe what the code does, or name it");
    keepServerOrder(input);
    input.onDidChangeValue(() => {
      this.ask();
    });
    input.onDidChangeActive(([row]) => {
      this.moved(row);
    });
    input.onDidAccept(() => {
      void this.accept(false);
    });
    input.onDidTriggerButton((pressed) => {
      void this.pressed(pressed);
    });
    input.onDidTriggerItemButton(({ button: pressed, item }) => {
      void this.pressedInRow(pressed, item);
    });
    input.onDidHide(() => {
      if (!this.suspended) void this.close();
    });
    input.value = query;
    this.describe();
    this.show();
    this.ask();
  }

  /** Opens the selected hit. */
  async accept(toSide: boolean): Promise<void> {
    const row = this.input.activeItems[0];
    if (row?.type === "recent") {
      this.input.value = row.query;
      this.ask();
    } else if (row?.type === "hit") {
      await this.openHit(row.hit, toSide);
    }
  }

  /** Closes the picker if it is still open. */
  async leave(): Promise<void> {
    this.input.hide();
    await this.closed;
  }

  private show(): void {
    this.suspended = false;
    void commands.executeCommand("setContext", CONTEXT, true);
    this.input.show();
  }

  private async close(): Promise<void> {
    void commands.executeCommand("setContext", CONTEXT, false);
    this.questions.cancel();
    this.input.dispose();
    try {
      if (this.keepPreview) await this.preview.end();
      else await this.preview.restore();
    } finally {
      this.resolveClosed(); // else every later search would wait for this one
    }
  }

  private async openHit(hit: Hit, toSide: boolean): Promise<void> {
    this.keepPreview = !toSide;
    await this.leaveFor(async () => {
      await openHit(hit, toSide);
      if (this.keepPreview) await this.preview.closeOthers();
    });
  }

  private async leaveFor(action: () => Promise<void> | void): Promise<void> {
    const queries = remember(this.recent(), this.input.value);
    void this.host.memory.update(HISTORY, queries);
    this.input.hide();
    await this.closed;
    try {
      await action();
    } catch (error) {
      void window.showErrorMessage(l10n.t("MoSEarch: {0}", messageOf(error)));
    }
  }

  private ask(): void {
    const query = this.input.value.trim();
    if (query === "") {
      this.questions.cancel();
      this.input.busy = false;
      this.showRecent();
      return;
    }
    this.input.busy = true;
    this.questions.ask(query);
  }

  private async send(query: string, partial: (answer: Answer) => void, signal: AbortSignal): Promise<Answer> {
    const { session } = this.host;
    if (session.state.kind !== "running") this.showNote(l10n.t("The server is starting…"), true);
    const client = await session.ready();
    const filters = toFilters(this.chosen, this.open);
    return await search(client, { query, filters }, { partial, signal });
  }

  private showAnswer(query: string, answer: Answer, isFinal: boolean): void {
    const held = this.heldQuery === query ? this.held : undefined;
    const { hits, selected } = replaceHits(answer.hits, held);
    this.hits = hits;
    this.held = held;
    this.heldQuery = query;
    for (const hit of hits) this.languagesSeen.add(hit.language);
    if (isFinal) this.input.busy = false;
    if (hits.length > 0) {
      const items = hits.map((hit) => rows.hitRow(hit, folderName(hit)));
      const active = items[selected];
      const warning = answer.warning === undefined ? [] : [rows.separator(answer.warning)];
      this.input.items = [...warning, ...items];
      this.input.activeItems = active === undefined ? [] : [active];
      const best = hits[0];
      if (isFinal && held === undefined && best !== undefined) this.showLater(best, PREVIEW_BEST_MS);
    } else if (isFinal) {
      this.showNote(l10n.t("Nothing found"), false, answer.warning ?? this.filterAdvice());
    }
    this.host.onAnswer?.(query, isFinal);
  }

  private filterAdvice(): string | undefined {
    return isRestricted(this.chosen) ? l10n.t("Filters are set: {0}", this.restrictions()) : undefined;
  }

  private showNote(text: string, busy = false, detail?: string): void {
    this.hits = [];
    this.input.busy = busy;
    this.input.items = [rows.note(text, detail)];
  }

  private showRecent(): void {
    this.hits = [];
    const recent = this.recent().map((query) => rows.recentRow(query));
    this.input.items = recent.length > 0 ? [rows.separator(l10n.t("Recent")), ...recent] : [];
  }

  /** VS Code tells of a new selection for new lists, too; only another hit than the one we selected is a move. */
  private moved(row: Row | undefined): void {
    if (row?.type !== "hit") return;
    const expected = this.held ?? this.hits[0];
    if (expected !== undefined && hitKey(row.hit) === hitKey(expected)) return;
    if (!this.hits.some((hit) => hitKey(hit) === hitKey(row.hit))) return;
    this.held = row.hit;
    this.showLater(row.hit, PREVIEW_MOVED_MS);
  }

  private showLater(hit: Hit, ms: number): void {
    if (workspace.getConfiguration("mosearch.search").get<boolean>("preview", true)) this.preview.later(hit, ms);
  }

  private async pressed(pressed: QuickInputButton): Promise<void> {
    if (pressed === viewButton) {
      const query = this.input.value.trim();
      const hits = this.hits;
      const filters = toFilters(this.chosen, this.open);
      const again = async (): Promise<Answer> => {
        const client = await this.host.session.ready();
        return await search(client, { query, filters }, { signal: new AbortController().signal });
      };
      await this.leaveFor(() => {
        this.host.showInView({ title: query, hits, again });
      });
      return;
    }
    if (pressed === languageButton) {
      const languages = await this.instead(() => chooseLanguages(this.languagesSeen, this.chosen.languages));
      if (languages !== undefined) this.chosen = { ...this.chosen, languages };
    } else if (pressed === folderButton) {
      const folder = await this.instead(chooseFolder);
      if (folder !== undefined) this.chosen = { ...this.chosen, folder };
    } else if (pressed === clearButton) {
      this.chosen = nothingChosen;
    } else {
      this.chosen = { ...this.chosen, openFiles: !this.chosen.openFiles };
    }
    this.describe();
    this.ask();
  }

  private async instead<Result>(menu: () => Promise<Result>): Promise<Result> {
    this.suspended = true;
    try {
      return await menu();
    } finally {
      this.show();
    }
  }

  private async pressedInRow(pressed: QuickInputButton, row: Row): Promise<void> {
    if (row.type === "recent") {
      await this.host.memory.update(HISTORY, forget(this.recent(), row.query));
      this.showRecent();
    } else if (row.type === "hit") {
      if (pressed === rows.openToSide) await this.openHit(row.hit, true);
      else {
        await this.leaveFor(() => {
          this.host.findSimilar(row.hit);
        });
      }
    }
  }

  private recent(): readonly string[] {
    return this.host.memory.get<string[]>(HISTORY, []);
  }

  /** The title says which filters are set; the buttons change them. */
  private describe(): void {
    const restricted = isRestricted(this.chosen);
    const title = l10n.t("MoSEarch: Search by Meaning");
    this.input.title = restricted ? `${title} (${this.restrictions()})` : title;
    this.input.buttons = [
      languageButton,
      folderButton,
      this.chosen.openFiles ? allFilesButton : openFilesButton,
      ...(restricted ? [clearButton] : []),
      viewButton,
    ];
  }

  private restrictions(): string {
    const { languages, folder, openFiles } = this.chosen;
    return [...languages, ...(folder === null ? [] : [`${folder}/`]), ...(openFiles ? [l10n.t("open files")] : [])].join(
      ", ",
    );
  }
}

/**
 * VS Code sorts rows whose label holds the typed text before the others.  The switch for that is not in
 * its typings before 1.10x; where it is missing, rows are merely sorted.
 */
function keepServerOrder(input: QuickPick<Row>): void {
  (input as QuickPick<Row> & { sortByLabel?: boolean }).sortByLabel = false;
}
