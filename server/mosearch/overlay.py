"""The chunks of open, unsaved buffers.  They hide the stored chunks of their files in every answer.

Nothing here is written to disk: what an editor shows but has not saved concerns that editor only.
Vectors, which belong to texts and not to files, are kept by the store all the same.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mosearch import ranking
from mosearch.cosines import cosines
from mosearch.globs import matching
from mosearch.types import Chunk, Filters, StoredChunk

Hits = list[tuple[StoredChunk, float]]
_Item = TypeVar("_Item")


class Overlay:
    """What open buffers hold, by path.  Every method may be called from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._chunks: dict[str, tuple[StoredChunk, ...]] = {}
        self._terms: dict[str, tuple[str, ...]] = {}
        self._vectors: dict[int, dict[str, NDArray[np.float16]]] = {}
        self._hashes: dict[str, str] = {}
        self._ids: dict[str, int] = {}

    def put(self, path: str, content_hash: str, chunks: Sequence[Chunk]) -> None:
        """`path` now shows these chunks; they are found by their words at once."""
        terms = tuple(ranking.terms_of_chunk(path, chunk) for chunk in chunks)
        with self._lock:
            # Negative, so that it is no stored file's.
            file_id = self._ids.setdefault(path, -1 - len(self._ids))
            self._chunks[path] = tuple(StoredChunk(path, file_id, chunk) for chunk in chunks)
            self._terms[path] = terms
            self._hashes[path] = content_hash
            self._forget_vectors()

    def drop(self, path: str) -> None:
        """`path` shows what is stored again."""
        with self._lock:
            self._chunks.pop(path, None)
            self._terms.pop(path, None)
            self._hashes.pop(path, None)
            self._forget_vectors()

    def learn(self, exit: int, vectors: Mapping[str, NDArray[np.float16]]) -> None:
        """Vectors at an exit, by digest, float16 [dim]."""
        with self._lock:
            self._vectors.setdefault(exit, {}).update(vectors)
            self._forget_vectors()

    def unknown(self, path: str, exit: int) -> list[Chunk]:
        """The chunks of `path` that have no vector yet at an exit, each text once."""
        with self._lock:
            known = self._vectors.get(exit, {})
            chunks = {item.chunk.digest: item.chunk for item in self._chunks.get(path, ())}
            return [chunk for digest, chunk in chunks.items() if digest not in known]

    def covered(self, exit: int) -> int:
        """How many of the texts in buffers have a vector at an exit."""
        with self._lock:
            return len(self._vectors.get(exit, {}))

    def vectors(self, exit: int, digests: Iterable[str]) -> dict[str, NDArray[np.float16]]:
        """Digest → float16 [dim], for those of `digests` that a buffer holds and that have a vector."""
        with self._lock:
            known = self._vectors.get(exit, {})
            return {digest: known[digest] for digest in digests if digest in known}

    def contents(self) -> dict[str, str]:
        """Path → hash of what its buffer holds."""
        with self._lock:
            return dict(self._hashes)

    def words(self, terms: Sequence[str], hits: Hits, filters: Filters) -> Hits:
        """An index's full-text hits as the editor should see them."""
        with self._lock:
            hidden = frozenset(self._chunks)
            own = list(zip(_flat(self._chunks), _flat(self._terms), strict=True))
        if not hidden:
            return hits
        own = [item for item in own if _allowed(item[0], filters)]
        kept = [hit for hit in hits if hit[0].path not in hidden]
        sample = [
            (ranking.terms_of_chunk(stored.path, stored.chunk), score)
            for stored, score in kept[: ranking.SAMPLE]
        ]
        scores = ranking.scores_beside(terms, [item for _, item in own], sample)
        return ranking.merged(kept, list(zip((stored for stored, _ in own), scores, strict=True)))

    def named(self, name: str, stored: Sequence[StoredChunk], filters: Filters) -> list[StoredChunk]:
        """Chunks of a symbol, given those of the index, as the editor should see them."""
        with self._lock:
            hidden = frozenset(self._chunks)
            own = [each for each in _flat(self._chunks) if each.chunk.symbol.casefold() == name.casefold()]
        kept = [each for each in stored if each.path not in hidden]
        return [each for each in (*kept, *own) if _allowed(each, filters)]

    def nearest(self, exit: int, query: NDArray[np.float16], hits: Hits, filters: Filters) -> Hits:
        """An index's nearest chunks to `query`, float16 [dim], at an exit, as the editor should see them."""
        with self._lock:
            hidden = frozenset(self._chunks)
            known = self._vectors.get(exit, {})
            own = [stored for stored in _flat(self._chunks) if stored.chunk.digest in known]
            vectors = {stored.chunk.digest: known[stored.chunk.digest] for stored in own}
        if not hidden:
            return hits
        scores = cosines(vectors, query)
        scored = [(stored, scores[stored.chunk.digest]) for stored in own if _allowed(stored, filters)]
        kept = [hit for hit in hits if hit[0].path not in hidden]
        return sorted([*kept, *scored], key=lambda item: -item[1])

    def _forget_vectors(self) -> None:
        used = {stored.chunk.digest for stored in _flat(self._chunks)}
        for exit, vectors in self._vectors.items():
            self._vectors[exit] = {digest: vector for digest, vector in vectors.items() if digest in used}


def _allowed(stored: StoredChunk, filters: Filters) -> bool:
    chunk = stored.chunk
    return (
        (not filters.languages or chunk.language in filters.languages)
        and (not filters.kinds or chunk.kind in filters.kinds)
        and (not filters.path_globs or bool(matching([stored.path], filters.path_globs)))
    )


def _flat(parts: Mapping[str, Iterable[_Item]]) -> list[_Item]:
    return [item for items in parts.values() for item in items]
