"""From scored candidates to a page of hits: parts folded, copies folded, no file fills the page, and of each
file what means most comes first."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

from mosearch.ranking.candidate import Candidate, symbol_of


def select(candidates: Sequence[Candidate], limit: int, file_decay: float) -> list[Candidate]:
    """A page of the best `limit` candidates, best first.

    One symbol gives one hit (its best part), one text gives one hit (the best-placed copy), and the
    further hits of a file count less, so that other files are seen, too (`decay`).  The places that a file
    has earned go to its candidates in the order of their scores `within` it.
    """
    files: defaultdict[str, list[Candidate]] = defaultdict(list)
    places: list[tuple[float, str]] = []
    for candidate in _first_of_each(candidates, fold_copies=True):
        file = files[candidate.stored.path]
        places.append((candidate.score * decay(len(file), file_decay), candidate.stored.path))
        file.append(candidate)
    inner = {path: iter(sorted(file, key=lambda item: -item.within)) for path, file in files.items()}
    places.sort(key=lambda place: -place[0])
    return [next(inner[path]).rescored(score) for score, path in places[:limit]]


def decay(before: int, file_decay: float) -> float:
    """What a hit counts after so many of its file: all, then `file_decay`, then slowly less."""
    return file_decay ** (1 + math.log(before) / 2) if before else 1.0


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
