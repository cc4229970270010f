"""The vectors that the worktrees of one repository share."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mosearch.cosines import cosines
from mosearch.errors import StoreError
from mosearch.store._failures import retried, translated
from mosearch.store._later import Later
from mosearch.store._locks import TIMEOUT, ProcessLock

if TYPE_CHECKING:
    from mosearch.store._matrix import Matrices, Matrix
    from mosearch.store._tables import Tables

_LATE_TIMEOUT = 1.0


class SharedVectors:
    """Reads and writes the vectors of texts, by digest; knows nothing of files and chunks.

    Every method may raise StoreFullError and StoreDamagedError; those that write may raise
    StoreLockedError.
    """

    def __init__(self, index_dir: Path, vectors_dir: Path, tables: Tables, matrices: Matrices) -> None:
        self.index_dir = index_dir
        self.vectors_dir = vectors_dir
        self._open_tables: Tables | None = tables
        self._vectors_lock = ProcessLock(vectors_dir / "vectors.lock")
        self._matrices = matrices
        self._later = Later(self._write_late)

    def close(self) -> None:
        """Lets go of the tables: whatever is asked from now on raises StoreError."""
        self._later.close()
        self._open_tables = None

    def known_digests(self, fingerprint: str, exit: int, digests: Collection[str]) -> set[str]:
        """Those of `digests` that have a vector of this model at this exit."""
        with translated("look up vectors", self.vectors_dir):
            table = self._tables.vectors.find(fingerprint, exit)
            if table is None:
                return set()
            keys = [bytes.fromhex(d) for d in digests]
            return {d.hex() for d in retried(lambda: table.known(keys))}

    def embedding_turn(self, exit: int, timeout: float) -> AbstractContextManager[None]:
        """Keeps others, in whichever worktree, from embedding texts at an exit that one is just embedding.

        Raises StoreLockedError after `timeout` seconds.
        """
        return ProcessLock(self.vectors_dir / f"embedding-{exit}.lock").held(timeout)

    def add_vectors(
        self,
        fingerprint: str,
        exit: int,
        digests: Sequence[str],
        vectors: NDArray[np.float16],
        *,
        timeout: float = TIMEOUT,
    ) -> None:
        """Saves one unit-length vector per digest, float16 [n, dim]; digests already known are left out.

        Waits up to `timeout` seconds for others to finish writing.
        """
        if vectors.dtype != np.float16 or vectors.ndim != 2 or len(vectors) != len(digests):
            raise ValueError(f"{vectors.dtype} {vectors.shape} is not float16 [{len(digests)}, dim]")
        if not np.isfinite(vectors).all():
            raise ValueError("a vector holds a number that is not finite")
        places = {bytes.fromhex(d): i for i, d in enumerate(digests)}
        if not places:
            return
        with self._writing_vectors(timeout):
            table = self._tables.vectors.find_or_create(fingerprint, exit, vectors.shape[1])
            new = places.keys() - table.known(places)
            if new:
                before, rows = table.version(), vectors[[places[d] for d in new]]
                table.add(list(new), rows)
                self._matrices.learn((fingerprint, exit), table, before, list(new), rows)

    def add_vectors_later(
        self, fingerprint: str, exit: int, vectors: Mapping[str, NDArray[np.float16]]
    ) -> None:
        """As `add_vectors`, but nobody waits or is told of a failure; `get_vectors` has them at once."""
        self._later.add(fingerprint, exit, vectors)

    def get_vectors(
        self, fingerprint: str, exit: int, digests: Collection[str]
    ) -> dict[str, NDArray[np.float16]]:
        """Digest → float16 [dim], for those of `digests` that have a vector."""
        waiting = self._later.get(fingerprint, exit, digests)
        return waiting | self._stored_vectors(fingerprint, exit, [d for d in digests if d not in waiting])

    def _stored_vectors(
        self, fingerprint: str, exit: int, digests: Collection[str]
    ) -> dict[str, NDArray[np.float16]]:
        with translated("read vectors", self.vectors_dir):
            table = self._tables.vectors.find(fingerprint, exit)
            if table is None:
                return {}
            keys = [bytes.fromhex(d) for d in digests]
            found, matrix = retried(lambda: table.get(keys))
            return {d.hex(): row for d, row in zip(found, matrix, strict=True)}

    def all_vectors(
        self, fingerprint: str, exit: int
    ) -> Iterator[tuple[NDArray[np.uint64], NDArray[np.float16]]]:
        """Some rows of a table at a time: digests as two numbers each, uint64 [n, 2] in their bytes' order,
        and vectors, [n, dim].  For measurements."""
        with translated("read vectors", self.vectors_dir):
            table = self._tables.vectors.find(fingerprint, exit)
            if table is not None:
                yield from table.batches()

    def similarities(
        self, fingerprint: str, exit: int, query: NDArray[np.float32], digests: Collection[str]
    ) -> dict[str, float]:
        """Cosine similarity to the unit vector `query`, [dim], of those of `digests` that have a vector.

        Off by .0003 or so, where vectors lie in memory as bytes.
        """
        known = self._later.get(fingerprint, exit, digests)
        left = [digest for digest in digests if digest not in known]
        with translated("read vectors", self.vectors_dir):
            matrix = retried(lambda: self._matrix(fingerprint, exit)) if left else None
        if matrix is None:
            known |= self._stored_vectors(fingerprint, exit, left)
        return cosines(known, query) | (matrix.similarities_of(left, query) if matrix is not None else {})

    def _matrix(self, fingerprint: str, exit: int) -> Matrix | None:
        table = self._tables.vectors.find(fingerprint, exit)
        return self._matrices.of((fingerprint, exit), table) if table is not None else None

    def note_model(self, fingerprint: str) -> None:
        """Says that a model is in use: its vectors are dropped when nobody says so for a month."""
        from mosearch.store import _prune
        from mosearch.store._vectors import table_key

        _prune.note_model(self.vectors_dir, table_key(fingerprint))

    def note_live(self) -> None:
        """Says how many texts are live: unused vectors stay as long as there are not many more."""
        from mosearch.store import _prune

        with translated("read the index", self.index_dir):
            retried(lambda: _prune.note_live(self._tables, self.vectors_dir))

    def drop_other_models(self, fingerprint: str) -> int:
        """Removes the vectors of all models but one; returns the number of tables removed."""
        from mosearch.store import _prune
        from mosearch.store._vectors import table_key

        with self._writing_vectors(TIMEOUT):
            return _prune.drop_models(self._tables, self.vectors_dir, {table_key(fingerprint)}, 0)

    @property
    def _tables(self) -> Tables:
        tables = self._open_tables
        if tables is None:
            raise StoreError(f"The index in {self.index_dir} has been closed.")
        return tables

    def _write_late(self, fingerprint: str, exit: int, vectors: dict[str, NDArray[np.float16]]) -> None:
        matrix = np.stack(list(vectors.values()))
        self.add_vectors(fingerprint, exit, list(vectors), matrix, timeout=_LATE_TIMEOUT)

    @contextmanager
    def _writing_vectors(self, timeout: float) -> Iterator[None]:
        with self._vectors_lock.held(timeout), translated("write vectors", self.vectors_dir):
            yield
