"""A chunk on its way to becoming a hit."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mosearch.types import StoredChunk


@dataclass(frozen=True, slots=True)
class Candidate:
    """A chunk with its score so far (higher is better; comparable within one query only)."""

    stored: StoredChunk
    score: float
    exit: int | None = None
    """The exit whose vectors last placed it; None while it was found by its words only."""
    within: float = 0.0
    """Its score among the chunks of its file; comparable with theirs only."""

    def rescored(self, score: float) -> Candidate:
        return replace(self, score=score)

    @property
    def key(self) -> tuple[int, int, int]:
        return key(self.stored)


def symbol_of(stored: StoredChunk) -> tuple[int, str, str, int]:
    """The same for the parts of one symbol, also of overloads no other's."""
    chunk = stored.chunk
    return (stored.file_id, chunk.container, chunk.symbol, chunk.symbol_span.start_byte)


def key(stored: StoredChunk) -> tuple[int, int, int]:
    """What no other chunk of an index has."""
    return (stored.file_id, stored.chunk.start_byte, stored.chunk.part)
