"""Value types shared by every room.

This module holds data only: no I/O, no third-party imports, no knowledge of how a value is made
or stored.  Lines are 0-based and inclusive here; the faces (CLI, LSP) translate to their own
conventions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import Literal, NamedTuple

TextKind = Literal["code", "query"]

PREVIEW_LINES = 12


class SymbolKind(IntEnum):
    """The symbol kinds of LSP 3.17 (`SymbolKind`), under the protocol's own numbers."""

    FILE = 1
    MODULE = 2
    NAMESPACE = 3
    PACKAGE = 4
    CLASS = 5
    METHOD = 6
    PROPERTY = 7
    FIELD = 8
    CONSTRUCTOR = 9
    ENUM = 10
    INTERFACE = 11
    FUNCTION = 12
    VARIABLE = 13
    CONSTANT = 14
    STRING = 15
    NUMBER = 16
    BOOLEAN = 17
    ARRAY = 18
    OBJECT = 19
    KEY = 20
    NULL = 21
    ENUM_MEMBER = 22
    STRUCT = 23
    EVENT = 24
    OPERATOR = 25
    TYPE_PARAMETER = 26

    @property
    def label(self) -> str:
        """Lower-case name for people and JSON: `function`, `enum member`."""
        return self.name.lower().replace("_", " ")


class SkipReason(str, Enum):
    """Why a file that exists is not indexed.  Ignored files are not counted: git's rules hide them."""

    BINARY = "binary"
    DATA = "data, not code"
    EMPTY = "empty"
    GENERATED = "generated"
    MINIFIED = "minified"
    OVERSIZED = "oversized"
    SPECIAL = "special file"
    SYMLINK = "symbolic link"
    UNREADABLE = "unreadable"
    BAD_NAME = "undecodable file name"


@dataclass(frozen=True, slots=True)
class FileStat:
    """A file that exists in the workspace, as `stat` saw it."""

    path: str
    """Relative to the workspace root, separated by `/` on every platform."""
    size: int
    mtime_ns: int
    """When it was last written, or renamed or touched, if that was later; nanoseconds since the epoch."""


@dataclass(frozen=True, slots=True)
class SkippedFile:
    path: str
    reason: SkipReason
    detail: str = ""
    passing: bool = False
    """Whether the next look may succeed: the disk or the network failed, no permission is missing."""


class Span(NamedTuple):
    """A place in a UTF-8 file: bytes from `start_byte` (inclusive) to `end_byte` (exclusive)."""

    start_byte: int
    end_byte: int
    start_line: int
    end_line: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """The unit of retrieval: one function, class header, module remainder, section or window.

    The span runs from `start_byte` (inclusive) to `end_byte` (exclusive) of the UTF-8 file.  For a
    function, a section or a window, `text` is that span; a class and a module's remainder span the
    whole, but their text holds only what is not in chunks of its own, with members shown by their
    signatures.  A long body yields several chunks that share `symbol`, `container` and `whole` and
    count up in `part`.
    """

    symbol: str
    """The name as written: `retry`, `__init__`, `operator==`; empty for module code and windows."""
    container: str
    """Dotted path of what encloses the symbol: `Client.Pool`; empty at the top level."""
    kind: SymbolKind
    language: str
    start_byte: int
    end_byte: int
    start_line: int
    end_line: int
    signature: str
    docstring: str
    text: str
    context: str
    """The line put before `text` for the encoder.  It never holds the file's path, so that moving or
    renaming a file embeds nothing."""
    digest: str
    """Hash of exactly what the encoder sees, its language included if it is told that: see
    `mosearch.text.digest`."""
    part: int = 0
    parts: int = 1
    whole: Span | None = None
    """Where all parts together lie; None for a chunk that is no part."""

    @property
    def span(self) -> Span:
        return Span(self.start_byte, self.end_byte, self.start_line, self.end_line)

    @property
    def symbol_span(self) -> Span:
        """The whole definition of which this is a part.  Code without a name is not held together by
        anything: there it is the part alone."""
        return self.whole if self.whole is not None and self.symbol else self.span

    @property
    def encoder_text(self) -> str:
        return f"{self.context}\n{self.text}" if self.context else self.text


@dataclass(frozen=True, slots=True)
class ParsedFile:
    """All chunks of one file, in order of `start_byte`."""

    language: str
    chunks: tuple[Chunk, ...]
    has_syntax_errors: bool = False


@dataclass(frozen=True, slots=True)
class FileRecord:
    """The commit marker: a row that says which version of a file is searchable.

    It is written after that version's chunks and vectors; a chunk whose `file_id` is in no record
    is invisible.
    """

    path: str
    file_id: int
    """Random, unique per indexed version of a file (63 bits)."""
    size: int
    mtime_ns: int
    content_hash: str
    language: str
    chunks: int
    skip_reason: str = ""
    """Value of the `SkipReason` for a file whose content is not indexed; it is recorded so that an
    unchanged image or bundle is not read again in every run.  Of a file that cannot be read, ": " and why
    follow."""

    @property
    def trouble(self) -> str:
        """Why the file cannot be read; empty for one that can."""
        reason, _, detail = self.skip_reason.partition(": ")
        return (detail or reason) if reason == SkipReason.UNREADABLE.value else ""


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """A chunk as the store returns it, with the file it lives in."""

    path: str
    file_id: int
    chunk: Chunk


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What can be known of an encoder without running it."""

    name: str
    fingerprint: str
    """Changes whenever the same text could give another vector: weights, tokeniser, settings."""
    dim: int
    exits: tuple[int, ...]
    first_exit: int
    """The cheapest exit worth searching by: it covers a new workspace at once by default."""
    index_exit: int
    """The shallow exit that embeds every chunk by default."""
    rerank_exit: int
    """The deeper exit that re-ranks by default; equal to `index_exit` when there is only one."""
    reads_language: bool = False
    """Whether the encoder is told a code's language, which decides its vector then, too."""


class Depth(IntEnum):
    """How far indexing goes before it ends."""

    WORDS = 0
    """Everything is found by its words."""
    FIRST = 1
    """Everything has a vector at the cheapest exit in use; a few new texts go to the index exit at once."""
    INDEX = 2
    """Everything has a vector at the index exit."""
    DEEP = 3
    """Everything has a vector at the deepest exit in use."""


class Priority(IntEnum):
    """Order of service in the encoder host; lower goes first (design promise 9)."""

    QUERY = 0
    RERANK = 1
    EDIT = 2
    INDEX = 3
    DEEPEN = 4


@dataclass(frozen=True, slots=True)
class Filters:
    """What a search is restricted to.  Empty means no restriction."""

    languages: frozenset[str] = frozenset()
    path_globs: tuple[str, ...] = ()
    kinds: frozenset[SymbolKind] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.languages or self.path_globs or self.kinds)


@dataclass(frozen=True, slots=True)
class Hit:
    """One answer.  `exit` is the exit whose vectors scored it last; None means lexical only."""

    path: str
    chunk: Chunk
    score: float
    exit: int | None

    @property
    def preview(self) -> str:
        """The first lines of the text that answered, as written."""
        lines = self.chunk.text.removesuffix("\n").split("\n")  # a form feed ends no line
        return "\n".join(line.removesuffix("\r") for line in lines[:PREVIEW_LINES])

    @property
    def is_excerpt(self) -> bool:
        """Whether lines are missing in the text that answered, as in a class without its methods."""
        return self.chunk.text.count("\n") != self.chunk.end_line - self.chunk.start_line

    @property
    def span(self) -> Span:
        """The whole definition that answers."""
        return self.chunk.symbol_span

    @property
    def part(self) -> Span | None:
        """The part of a long definition that answers; None where it is all of it."""
        return self.chunk.span if self.chunk.span != self.span else None


@dataclass(frozen=True, slots=True)
class IndexReport:
    """What one indexing run did and what the index holds now."""

    files: int = 0
    chunks: int = 0
    embedded: int = 0
    """Texts that got a vector in this run."""
    reused: int = 0
    """Chunks in changed files whose vector was already known."""
    changed_files: int = 0
    removed_files: int = 0
    skipped: Mapping[str, int] = field(default_factory=dict)
    """Reason → number of files present but not indexed."""
    failed: Mapping[str, str] = field(default_factory=dict)
    """Path → why it could not be indexed this time; it is tried again in the next run."""
    is_settled: bool = True
    """False where some of what failed may be readable in a moment: until then, it is found as it was."""
    warning: str = ""
    """What the user should know, e.g. that the encoder could not run and answers are lexical."""


@dataclass(frozen=True, slots=True)
class SearchResult:
    hits: tuple[Hit, ...]
    timing_ms: Mapping[str, float]
    """Stage → milliseconds; always has `total`."""
    exit: int | None = None
    """The deepest exit that covers all candidates; None when answers are by words only."""
    pending: int = 0
    """Texts that have no vector yet at the index exit."""
    warning: str = ""
