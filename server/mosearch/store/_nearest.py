"""Nearest live chunks: the join of vectors, which worktrees share, with this index's chunks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection

import numpy as np
from numpy.typing import NDArray

from mosearch.store._chunks import ChunksTable
from mosearch.store._files import Snapshot
from mosearch.store._vectors import VectorTable
from mosearch.types import StoredChunk

Scored = list[tuple[bytes, float]]

_COPIES = 8
"""At most so many chunks of one and the same text in an answer."""
_COMPARE_ALL = 2_000
"""Up to so many allowed vectors, comparing each is faster than searching among all, and exact."""
_APPROXIMATE_MOST = 2_000
_JOINED_AT_ONCE = 256


def nearest(
    vectors: VectorTable,
    chunks: ChunksTable,
    query: NDArray[np.float32],
    limit: int,
    where: str | None,
    snapshot: Snapshot,
) -> list[tuple[StoredChunk, float]]:
    """Chunks of the files in `snapshot` that satisfy `where`, by similarity to the unit vector `query`."""

    def join(found: Scored) -> list[tuple[StoredChunk, float]]:
        return _join(found, chunks, limit, where, snapshot)

    count = (limit if where is None else 2 * limit) + limit // 4 + 16
    found = vectors.nearest(query, count, exact=False)
    hits = join(found)
    if len(hits) >= limit or len(found) == vectors.rows():
        return hits
    allowed = chunks.live_digests(where, snapshot)
    if len(allowed) <= _COMPARE_ALL:
        return join(_compare(vectors, allowed, query))
    return _widen(vectors, allowed, query, limit, join)


def _compare(vectors: VectorTable, allowed: Collection[bytes], query: NDArray[np.float32]) -> Scored:
    digests, matrix = vectors.get(allowed)
    similarity = (matrix.astype(np.float32) @ query).clip(-1, 1)
    order = np.argsort(-similarity, kind="stable")
    return [(digests[i], float(similarity[i])) for i in order]


def _widen(
    vectors: VectorTable,
    allowed: Collection[bytes],
    query: NDArray[np.float32],
    limit: int,
    join: Callable[[Scored], list[tuple[StoredChunk, float]]],
) -> list[tuple[StoredChunk, float]]:
    """Asks for more and more neighbours until enough of them are allowed, or there are no more."""
    count, exact = limit, False
    while True:
        count *= 8
        exact = exact or count > _APPROXIMATE_MOST
        found = vectors.nearest(query, count, exact=exact)
        hits = join([pair for pair in found if pair[0] in allowed])
        if len(hits) >= limit or (exact and len(found) < count):
            return hits
        # An approximate search that returns fewer has seen all it looks at, not all there is.
        exact = exact or len(found) < count


def _join(
    found: Scored, chunks: ChunksTable, limit: int, where: str | None, snapshot: Snapshot
) -> list[tuple[StoredChunk, float]]:
    """The first `limit` chunks that have the digests of `found`, in its order."""
    hits: list[tuple[StoredChunk, float]] = []
    for start in range(0, len(found), _JOINED_AT_ONCE):
        part = found[start : start + _JOINED_AT_ONCE]
        places: dict[str, list[StoredChunk]] = defaultdict(list)
        for chunk in chunks.with_digests([d for d, _ in part], snapshot, where):
            places[chunk.chunk.digest].append(chunk)
        hits += [(c, similarity) for d, similarity in part for c in places[d.hex()][:_COPIES]]
        if len(hits) >= limit:
            break
    return hits[:limit]
