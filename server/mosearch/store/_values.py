"""Value types of the store's interface."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

ROWS_VERSION = 3
"""Raised when rows of chunks are packed in another way: indexes are then built anew."""

MOST_ROWS = 200_000
"""Vectors of a table of up to so many rows are compared in memory: 80 MB at 384 dimensions, 15 ms for a
question.  Larger tables have LanceDB's approximate index."""


class MissingText(NamedTuple):
    """A text that waits for its vector."""

    digest: str
    text: str
    """What the encoder shall see: `Chunk.encoder_text`."""
    language: str


class MissingTexts:
    """Texts that wait for a vector, each once, those of the files changed last first.

    They are read while one iterates; files that were replaced meanwhile are passed over.
    """

    def __init__(self, total: int, read: Callable[[], Iterator[MissingText]]) -> None:
        self.total = total
        self._read = read

    def __iter__(self) -> Iterator[MissingText]:
        return self._read()


@dataclass(frozen=True, slots=True)
class Coverage:
    """How many of the searchable texts have a vector of one model."""

    texts: int
    """Distinct texts of live chunks."""
    vectors: Mapping[int, int]
    """Exit → how many of them have a vector there; exits without any vector are left out."""

    def missing(self, exit: int) -> int:
        return self.texts - self.vectors.get(exit, 0)

    def is_complete(self, exit: int) -> bool:
        """Whether every searchable text has a vector at `exit`."""
        return self.missing(exit) == 0


@dataclass(frozen=True, slots=True)
class StoreStats:
    """What the store holds now."""

    files: int
    chunks: int
    """Live chunks: those that searches can return."""
    dead_chunks: int
    """Rows of replaced or removed files, not yet swept."""
    vectors: Mapping[tuple[str, int], int]
    """(first 16 characters of the model fingerprint, exit) → number of vectors, dead ones included."""
    index_bytes: int
    vectors_bytes: int
    """Bytes on disk of the folder that worktrees share."""
    last_commit: float | None
    """Seconds since the epoch; None before the first commit."""
