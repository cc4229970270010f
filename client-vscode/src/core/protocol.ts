/** What goes over the wire, as `docs/protocol.md` describes it. */

export interface Position {
  line: number;
  character: number;
}

export interface Range {
  start: Position;
  end: Position;
}

/** One answer: a function, class, section or window of lines. */
export interface Hit {
  /** The whole definition. */
  location: { uri: string; range: Range };
  /** Of a long definition the part that answers. */
  part?: Range;
  /** Empty for module code and windows of lines. */
  symbol: string;
  /** A `SymbolKind` of LSP, from 1. */
  kind: number;
  /** Dotted path of what encloses the symbol; empty at the top level. */
  container: string;
  language: string;
  /** Relative to its workspace folder, separated by `/`. */
  path: string;
  /** Higher is better; comparable within one answer only. */
  score: number;
  /** The exit whose vectors scored the hit last; null when only its words were compared. */
  exit: number | null;
  /** The first lines of what answers, as written. */
  preview: string;
}

export interface Filters {
  languages?: string[];
  /** Globs by git's rules. */
  paths?: string[];
}

export interface Answer {
  hits: Hit[];
  timing_ms: Record<string, number>;
  warning?: string;
}

export interface SimilarAnswer extends Answer {
  /** The code that was asked about. */
  origin: { uri: string; range: Range };
}

export interface SearchParams {
  query: string;
  limit?: number;
  filters?: Filters;
}

export interface SimilarParams {
  textDocument: { uri: string };
  /** The definition around it … */
  position?: Position;
  /** … or exactly this text; one of the two is needed. */
  range?: Range;
  limit?: number;
  filters?: Filters;
  /** What is probably not similar, too. */
  all?: boolean;
}

export type FolderState = "opening" | "indexing" | "ready" | "cancelled" | "failed";

export interface FolderStatus {
  uri: string;
  root: string;
  state: FolderState;
  progress?: { stage: "scan" | "parse" | "embed"; done: number; total: number; percentage: number };
  /** Why it failed. */
  error?: string;
  /** It works, but less well. */
  warning?: string;
  // The rest is in answers to `mosearch/status` only, once the index is open.
  index_dir?: string;
  files?: number;
  chunks?: number;
  /** Texts that have no vector yet. */
  pending?: number;
  /** Exit → texts that have a vector there. */
  vectors?: Record<string, number>;
  /** Seconds since 1970: when the index was last found to be as the files are. */
  last_sync?: number | null;
  /** Reason → number of files. */
  skipped?: Record<string, number>;
  /** Path → reason. */
  failed?: Record<string, string>;
  model?: string;
  index_exit?: number;
  rerank_exit?: number;
  /** Empty while no encoder runs. */
  device?: string;
  /** Exits that the server embeds at itself, without an encoder. */
  in_process?: number[];
  bytes?: number;
}

export interface Status {
  version: string;
  /** Settings that are wrong, each with its place. */
  problems: string[];
  folders: FolderStatus[];
}

export interface StatusChanged {
  folders: FolderStatus[];
}
