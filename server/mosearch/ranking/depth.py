"""Candidates scored at different exits, in one order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mosearch.ranking.candidate import Candidate


def deepened(candidates: Sequence[Candidate], deep: Mapping[str, float], exit: int) -> list[Candidate]:
    """Candidates, given best first, with those that have a score at a deeper exit put in its order.

    `deep` maps a chunk's digest to its similarity at `exit`.  Similarities of two exits cannot be
    compared, so those candidates share out among themselves the places that their scores so far had
    earned them, the best place to the best at the deeper exit; all others stay where they are.  So
    with no deep scores nothing changes, with all of them the deeper exit alone decides, and in
    between no candidate gains or loses by merely having been embedded.
    """
    ordered = list(candidates)
    scored = [
        (place, Candidate(candidate.stored, deep[candidate.stored.chunk.digest], exit))
        for place, candidate in enumerate(candidates)
        if candidate.stored.chunk.digest in deep
    ]
    best_first = sorted((candidate for _, candidate in scored), key=lambda candidate: -candidate.score)
    for (place, _), candidate in zip(scored, best_first, strict=True):
        ordered[place] = candidate
    return ordered
