"""Candidates by vectors: the nearest chunks at whatever exits the index has so far.

Every searchable text gets its vectors exit by exit, the cheapest first, so at any moment a deeper
exit covers some of what a shallower one covers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mosearch import ranking
from mosearch.cosines import cosines
from mosearch.overlay import Overlay
from mosearch.ranking import Candidate
from mosearch.store import Coverage, Store
from mosearch.types import Filters

Vectors = Mapping[int, NDArray[np.float16]]
"""Of one text, by exit: [dim]."""

_NOWHERE = -1.0
"""Below every similarity but the opposite's."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Which exits give candidates."""

    base: int
    """The deepest exit that covers everything, or else the one that covers most."""
    deeper: tuple[int, ...] = ()
    """Exits beyond it that cover a part, in order of depth."""

    @property
    def exits(self) -> tuple[int, ...]:
        return (self.base, *self.deeper)

    def within(self, exits: Collection[int]) -> Plan:
        """The same with no more than these exits; every exit covers what a deeper one covers."""
        if self.base in exits:
            return Plan(self.base, tuple(exit for exit in self.deeper if exit in exits))
        return Plan(max((exit for exit in exits if exit < self.base), default=self.base))


def plan(coverage: Coverage, exits: Iterable[int], overlay: Overlay | None = None) -> Plan:
    """The best use of some exits, given what each covers of what is stored and of what editors show."""
    shown = overlay.covered if overlay is not None else lambda _: 0
    covered = {exit: coverage.vectors.get(exit, 0) + shown(exit) for exit in sorted(set(exits))}
    most = max(covered.values())
    base = max(exit for exit, count in covered.items() if count == most) if most else min(covered)
    return Plan(base, tuple(exit for exit, count in covered.items() if exit > base and count))


@dataclass(frozen=True, slots=True)
class Index:
    """Where candidates come from: one store's vectors of one model, beneath what editors show."""

    store: Store
    overlay: Overlay
    fingerprint: str

    def nearest(self, plan: Plan, query: Vectors, limit: int, filters: Filters) -> list[Candidate]:
        """The chunks nearest to a query that was encoded at the plan's exits, best first.

        Each has its similarity at the deepest exit at which it has a vector.  Raises `StoreError`.
        """
        if plan.base not in query:
            return []
        found = self._at(plan.base, query[plan.base], limit, filters)
        ranks = _Ranks([candidate.score for candidate in found], found)
        for exit in plan.deeper:
            if exit in query:
                self._deepen(ranks, plan.base, exit, query, limit, filters)
        return ranks.candidates[:limit]

    def similarities(
        self, exit: int, query: NDArray[np.float16], digests: Collection[str]
    ) -> dict[str, float]:
        """Cosine similarity to a query, for those of `digests` that have a vector at an exit."""
        shown = self.overlay.vectors(exit, digests)
        stored = [digest for digest in digests if digest not in shown]
        found = self.store.similarities(self.fingerprint, exit, query.astype(np.float32), stored)
        return cosines(shown, query) | found

    def _at(self, exit: int, query: NDArray[np.float16], limit: int, filters: Filters) -> list[Candidate]:
        hits = self.store.search_vectors(self.fingerprint, exit, query, limit, filters)
        hits = self.overlay.nearest(exit, query, hits, filters)
        return [Candidate(stored, score, exit) for stored, score in hits]

    def _deepen(
        self, ranks: _Ranks, base: int, exit: int, query: Vectors, limit: int, filters: Filters
    ) -> None:
        """Add what a deeper exit finds, and put what it covers in its order."""
        present = {candidate.key for candidate in ranks.candidates}
        added = [item for item in self._at(exit, query[exit], limit, filters) if item.key not in present]
        earned = self.similarities(base, query[base], {item.stored.chunk.digest for item in added})
        ranks.insert(added, [earned.get(item.stored.chunk.digest, _NOWHERE) for item in added])
        digests = {item.stored.chunk.digest for item in ranks.candidates}
        ranks.candidates = ranking.deepened(
            ranks.candidates, self.similarities(exit, query[exit], digests), exit
        )


@dataclass(slots=True)
class _Ranks:
    """Candidates, best first, and for each place the similarity at the base exit that earns it."""

    earned: list[float]
    candidates: list[Candidate]

    def insert(self, added: list[Candidate], earned: list[float]) -> None:
        pairs = [*zip(self.earned, self.candidates, strict=True), *zip(earned, added, strict=True)]
        pairs.sort(key=lambda pair: -pair[0])
        self.earned = [score for score, _ in pairs]
        self.candidates = [candidate for _, candidate in pairs]
