"""Fusion of candidate lists, and the blend with a deeper exit's scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from mosearch.types import StoredChunk

RANK_CONSTANT = 20.0
"""k of reciprocal rank fusion (Cormack, Clarke, Büttcher, SIGIR 2009, who use 60 for long lists of
documents); fitted on the development repositories."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A chunk with its score so far (higher is better; comparable within one query only)."""

    stored: StoredChunk
    score: float
    exit: int | None = None
    """The exit whose vectors last scored it; None while it was found by its words only."""

    def rescored(self, score: float) -> Candidate:
        return replace(self, score=score)

    @property
    def key(self) -> tuple[int, int, int]:
        return (self.stored.file_id, self.stored.chunk.start_byte, self.stored.chunk.part)


def fuse(
    lexical: Sequence[tuple[StoredChunk, float]],
    dense: Sequence[tuple[StoredChunk, float]],
    exit: int | None,
    dense_weight: float,
) -> list[Candidate]:
    """Reciprocal rank fusion of two lists, best first; equal scores share a rank.

    `dense_weight` in [0, 1] is the share of the dense list.  The result is ordered best first and
    its scores lie in [0, 1]: 1 is first place in both lists.
    """
    scale = RANK_CONSTANT + 1.0
    merged: dict[tuple[int, int, int], Candidate] = {}
    for hits, weight, source in ((lexical, 1.0 - dense_weight, None), (dense, dense_weight, exit)):
        for stored, rank in _ranked(hits):
            score = weight * scale / (RANK_CONSTANT + rank)
            new = Candidate(stored, score, source)
            old = merged.get(new.key)
            if old is not None:
                new = Candidate(stored, old.score + score, source if source is not None else old.exit)
            merged[new.key] = new
    return sorted(merged.values(), key=lambda candidate: -candidate.score)


def blend(
    candidates: Sequence[Candidate],
    deep: Mapping[str, float],
    exit: int,
    weight: float,
) -> list[Candidate]:
    """Mix the fused score with a deeper exit's similarity, both scaled to [0, 1] over these candidates.

    `deep` maps a chunk's digest to its similarity.  A candidate that has none keeps its place in
    the fused scale, and the similarities of the others are moved so that they are as large as their
    fused scores in the mean: being embedded, or not yet, must neither raise nor bury it.
    """
    if not candidates or not deep:
        return list(candidates)
    fused = _unit([candidate.score for candidate in candidates])
    known = [candidate for candidate in candidates if candidate.stored.chunk.digest in deep]
    similar = dict(
        zip(
            (candidate.key for candidate in known),
            _unit([deep[candidate.stored.chunk.digest] for candidate in known]),
            strict=True,
        )
    )
    shift = 0.0
    if len(known) < len(candidates):
        earned = [base for candidate, base in zip(candidates, fused, strict=True) if candidate.key in similar]
        shift = fmean(earned) - fmean(similar.values())
    mixed = []
    for candidate, base in zip(candidates, fused, strict=True):
        if candidate.key in similar:
            score = (1.0 - weight) * base + weight * (similar[candidate.key] + shift)
            mixed.append(Candidate(candidate.stored, score, exit))
        else:
            mixed.append(Candidate(candidate.stored, base, candidate.exit))
    return sorted(mixed, key=lambda candidate: -candidate.score)


def _ranked(hits: Sequence[tuple[StoredChunk, float]]) -> list[tuple[StoredChunk, int]]:
    """Give each hit its rank from 1; hits with the same score share the better rank."""
    ranked: list[tuple[StoredChunk, int]] = []
    rank, last = 0, None
    for position, (stored, score) in enumerate(hits, start=1):
        if score != last:
            rank, last = position, score
        ranked.append((stored, rank))
    return ranked


def _unit(values: Sequence[float]) -> list[float]:
    if not values:
        return []
    low, high = min(values), max(values)
    span = high - low
    return [(value - low) / span if span > 0 else 1.0 for value in values]
