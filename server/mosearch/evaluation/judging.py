"""Results against right answers: ranks, and NDCG@10 as a public benchmark of code search computes it.

The top ten results count; a target is found by the first result whose path ends in the target's path
and, where lines are given, overlaps them; the gain is binary over all targets of a question.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mosearch.types import Chunk

DEPTH = 10


@dataclass(frozen=True, slots=True)
class Target:
    """A right answer: a file, or lines of it (1-based, inclusive)."""

    path: str
    start_line: int = 1
    end_line: int = 10**9


@dataclass(frozen=True, slots=True)
class Place:
    """A result, as lines of a file (1-based, inclusive), its path relative to the checkout."""

    path: str
    start_line: int
    end_line: int

    @classmethod
    def of(cls, root: str, path: str, chunk: Chunk) -> Place:
        """The whole definition; `path` is relative to the folder `root` of the checkout."""
        span = chunk.symbol_span
        return cls(f"{root}/{path}" if root else path, span.start_line + 1, span.end_line + 1)


def ndcg(results: Sequence[Place], targets: Sequence[Target]) -> float:
    """Binary NDCG@10 of ranked results, in [0, 1]."""
    ranks = [rank for target in targets if (rank := rank_of(results, target)) is not None]
    return gain_of_ranks(ranks, len(targets))


def gain_of_ranks(ranks: Sequence[int], targets: int) -> float:
    """Binary NDCG@10 where so many of all `targets` were found at these ranks (from 1)."""
    gain = sum(1 / math.log2(rank + 1) for rank in ranks if rank <= DEPTH)
    ideal = sum(1 / math.log2(rank + 1) for rank in range(1, min(targets, DEPTH) + 1))
    return gain / ideal if ideal else 0.0


def rank_of(results: Sequence[Place], target: Target, depth: int = DEPTH) -> int | None:
    """Rank from 1 of the first of `depth` results that answers with the target; None without."""
    for rank, place in enumerate(results[:depth], start=1):
        same_file = place.path == target.path or place.path.endswith(f"/{target.path}")
        if same_file and place.start_line <= target.end_line and target.start_line <= place.end_line:
            return rank
    return None
