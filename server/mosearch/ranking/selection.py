"""From scored candidates to a page of hits: parts folded, copies folded, no file fills the page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from mosearch.ranking.candidate import Candidate, symbol_of


def select(candidates: Sequence[Candidate], limit: int, file_decay: float) -> list[Candidate]:
    """A page of the best `limit` candidates, best first.

    One symbol gives one hit (its best part), one text gives one hit (the best-placed copy), and each
    further hit of a file counts `file_decay` of the one before it, so that other files are seen too.
    """
    seen: Counter[str] = Counter()
    decayed = []
    for candidate in _first_of_each(candidates, fold_copies=True):
        path = candidate.stored.path
        decayed.append(candidate.rescored(candidate.score * file_decay ** seen[path]))
        seen[path] += 1
    decayed.sort(key=lambda candidate: -candidate.score)
    return decayed[:limit]


def select_places(candidates: Sequence[Candidate], limit: int) -> list[Candidate]:
    """The best `limit` candidates, best first: one hit for each symbol, but every copy of a text."""
    return _first_of_each(candidates, fold_copies=False)[:limit]


def _first_of_each(candidates: Sequence[Candidate], *, fold_copies: bool) -> list[Candidate]:
    symbols: set[tuple[int, str, str, int]] = set()
    digests: set[str] = set()
    kept = []
    for candidate in candidates:
        digest, symbol = candidate.stored.chunk.digest, symbol_of(candidate.stored)
        if (fold_copies and digest in digests) or symbol in symbols:
            continue
        digests.add(digest)
        symbols.add(symbol)
        kept.append(candidate)
    return kept
