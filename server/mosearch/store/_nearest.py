"""Nearest live chunks: the join of vectors, which worktrees share, with this index's chunks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mosearch.store._chunks import ChunksTable, condition
from mosearch.store._directory import Directory, among, key_of
from mosearch.store._files import Snapshot
from mosearch.store._matrix import Matrix
from mosearch.store._vectors import VectorTable
from mosearch.types import Filters, StoredChunk

Scored = list[tuple[int, float]]
"""(`_directory.key_of` of a digest, similarity), best first."""
Hits = list[tuple[StoredChunk, float]]

_COPIES = 8
"""At most so many chunks of one and the same text in an answer."""
_COMPARE_ALL = 2_000
"""Up to so many allowed vectors, comparing each is faster than searching among all, and exact."""
_NAME_ALL = 30_000
"""Up to so many, LanceDB is told which rows to compare: a tenth of a second."""
_APPROXIMATE_MOST = 20_000
"""Above so many neighbours, reading them takes as long as comparing all."""
_JOINED_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Question:
    query: NDArray[np.float32]
    """A unit vector, [dim]."""
    limit: int
    filters: Filters
    snapshot: Snapshot
    """All files."""
    within: Snapshot
    """Those that the filters' globs allow."""


def by_comparing(matrix: Matrix, chunks: ChunksTable, asked: Question) -> Hits:
    """By comparing every vector of a table."""
    directory = chunks.directory(asked.snapshot)
    where = condition(asked.filters, asked.within)
    if where is None:
        allowed = matrix.holding(directory)
    else:
        allowed = np.isin(matrix.keys, chunks.live_digests(where, asked.within)[:, 0])
    similarity = np.where(allowed, matrix.similarities(asked.query), -np.inf)
    count = min(asked.limit, int((similarity > -np.inf).sum()))
    best = np.argpartition(-similarity, count - 1)[:count] if count else np.empty(0, np.int64)
    best = best[np.argsort(-similarity[best], kind="stable")]
    found = zip(matrix.keys[best].tolist(), similarity[best].tolist(), strict=True)
    return _join(list(found), chunks, directory, asked)


def approximately(vectors: VectorTable, chunks: ChunksTable, asked: Question) -> Hits:
    """By the table's index; exactly where few vectors are allowed, or it finds too few."""
    directory = chunks.directory(asked.snapshot)
    where = condition(asked.filters, asked.within)

    def join(found: Scored) -> Hits:
        return _join(found, chunks, directory, asked)

    limit = asked.limit
    count = (limit if where is None else 2 * limit) + limit // 4 + 16
    found = _keyed(vectors.nearest(asked.query, count, exact=False))
    hits = join(found)
    if len(hits) >= limit or len(found) == vectors.rows():
        return hits
    allowed = chunks.live_digests(where, asked.within)
    if len(allowed) <= _COMPARE_ALL:
        return join(_compare(vectors, [row.tobytes() for row in allowed], asked.query))
    keys = np.sort(allowed[:, 0])
    if len(keys) <= _NAME_ALL:
        return _masked(vectors, keys, asked, join)
    return _widen(vectors, keys, asked, join)


def _keyed(found: Iterable[tuple[bytes, float]]) -> Scored:
    return [(key_of(digest), similarity) for digest, similarity in found]


def _compare(vectors: VectorTable, allowed: Collection[bytes], query: NDArray[np.float32]) -> Scored:
    digests, matrix = vectors.get(allowed)
    similarity = (matrix.astype(np.float32) @ query).clip(-1, 1)
    order = np.argsort(-similarity, kind="stable")
    return [(key_of(digests[i]), float(similarity[i])) for i in order]


def _masked(
    vectors: VectorTable, allowed: NDArray[np.uint64], asked: Question, join: Callable[[Scored], Hits]
) -> Hits:
    """Among the rows that are allowed only; exactly if the index overlooks too many of them."""
    rows = vectors.rows_of(allowed)
    found = vectors.nearest(asked.query, asked.limit, exact=False, among_rows=rows)
    if len(found) < min(asked.limit, len(rows)):
        found = vectors.nearest(asked.query, asked.limit, exact=True, among_rows=rows)
    return join(_keyed(found))


def _widen(
    vectors: VectorTable, allowed: NDArray[np.uint64], asked: Question, join: Callable[[Scored], Hits]
) -> Hits:
    """Asks for more and more neighbours until enough of them are allowed, or there are no more."""
    count = asked.limit * max(8, 2 * vectors.rows() // len(allowed))
    while True:
        exact = count > _APPROXIMATE_MOST
        found = _keyed(vectors.nearest(asked.query, count, exact=exact, refine=1))
        is_allowed = among(np.array([key for key, _ in found], np.uint64), allowed)
        hits = join([pair for pair, is_kept in zip(found, is_allowed, strict=True) if is_kept])
        if len(hits) >= asked.limit or (exact and len(found) < count):
            return hits
        # An approximate search that returns fewer has seen all it looks at, not all there is.
        count = count * 4 if len(found) == count else max(4 * count, _APPROXIMATE_MOST + 1)


def _join(found: Scored, chunks: ChunksTable, directory: Directory, asked: Question) -> Hits:
    """The first chunks that have the digests of `found` and that the filters allow, in its order."""
    hits: Hits = []
    step = max(asked.limit, _JOINED_AT_ONCE)
    for start in range(0, len(found), step):
        part = found[start : start + step]
        keys = [key for key, _ in part]
        places = {
            key: _chosen(files, asked.within)
            for key, files in zip(keys, directory.files_of(keys), strict=True)
        }
        wanted = [(file_id, key) for key, files in places.items() for file_id in files]
        at = chunks.at(wanted, directory, asked.snapshot)
        for key, similarity in part:
            copies = [chunk for file_id in places[key] for chunk in at[file_id, key]]
            allowed = [chunk for chunk in copies if _is_allowed(chunk, asked.filters)]
            hits += [(chunk, similarity) for chunk in allowed[:_COPIES]]
        if len(hits) >= asked.limit:
            break
    return hits[: asked.limit]


def _chosen(files: list[int], within: Snapshot) -> list[int]:
    """Some of the files that hold a text, by path."""
    allowed = [file_id for file_id in files if file_id in within.by_id]
    if len(allowed) > 1:
        allowed.sort(key=lambda file_id: within.by_id[file_id].path)
    return allowed[: 2 * _COPIES]


def _is_allowed(stored: StoredChunk, filters: Filters) -> bool:
    return (not filters.languages or stored.chunk.language in filters.languages) and (
        not filters.kinds or stored.chunk.kind in filters.kinds
    )
