"""From scored candidates to a page of hits: parts folded, copies folded, no file fills the page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from mosearch.ranking.fusion import Candidate

FILE_DECAY = 0.5
"""Each further hit of a file counts this much of the one before it."""


def select(candidates: Sequence[Candidate], limit: int, *, fold_copies: bool) -> list[Candidate]:
    """The best `limit` candidates, best first.

    One symbol gives one hit (its best part).  With `fold_copies` one text gives one hit (the
    best-placed copy), and the scores of a file's second, third … hit are lowered so that other files
    are seen too; without it every place counts and scores stay as they are.
    """
    folded = _first_of_each(candidates, fold_copies=fold_copies)
    if not fold_copies:
        return folded[:limit]
    seen: Counter[str] = Counter()
    decayed = []
    for candidate in folded:
        path = candidate.stored.path
        decayed.append(candidate.rescored(candidate.score * FILE_DECAY ** seen[path]))
        seen[path] += 1
    decayed.sort(key=lambda candidate: -candidate.score)
    return decayed[:limit]


def _first_of_each(candidates: Sequence[Candidate], *, fold_copies: bool) -> list[Candidate]:
    symbols: set[tuple[int, str, str, int]] = set()
    digests: set[str] = set()
    kept = []
    for candidate in candidates:
        chunk = candidate.stored.chunk
        # Parts of one symbol follow one another; overloads are told apart by where the symbol starts,
        # which parts do not know, so only chunks of a split body are folded by name.
        symbol = (candidate.stored.file_id, chunk.container, chunk.symbol, chunk.parts)
        if (fold_copies and chunk.digest in digests) or (chunk.parts > 1 and symbol in symbols):
            continue
        digests.add(chunk.digest)
        symbols.add(symbol)
        kept.append(candidate)
    return kept
