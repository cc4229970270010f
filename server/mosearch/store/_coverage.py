"""How many of the searchable texts have a vector at which exit, not counting again what did not change."""

from __future__ import annotations

import threading
from collections.abc import Hashable

import numpy as np
from numpy.typing import NDArray

from mosearch.store._directory import Directory, among, distinct
from mosearch.store._files import Snapshot
from mosearch.store._tables import Tables
from mosearch.store._values import Coverage
from mosearch.store._vectors import VectorTable, table_key

_Count = tuple[Hashable, int]
"""What was counted, by its versions, and how many there were."""


class CoverageCounter:
    """Remembers counts until a table has another version: a million texts take a fifth of a second."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._mutex = threading.Lock()
        self._texts: _Count = (None, 0)
        self._covered: dict[Hashable, _Count] = {}

    def count(self, fingerprint: str, snapshot: Snapshot) -> Coverage:
        """Coverage of the live texts in `snapshot` by the vectors of one model, at each exit that has any."""
        directory = self._tables.chunks.directory(snapshot)
        with self._mutex:
            vectors = {
                exit: self._count((key, exit), table, directory)
                for (key, exit), table in self._tables.vectors.all().items()
                if key == table_key(fingerprint)
            }
            if self._texts[0] != directory.version:
                self._texts = directory.version, len(distinct(directory.keys))
            return Coverage(self._texts[1], vectors)

    def _count(self, name: Hashable, table: VectorTable, directory: Directory) -> int:
        """How many texts of the directory a table has."""
        # The version is read before the rows: rows newer than it are then merely read again next time.
        versions = table, directory.version, table.version()
        known = self._covered.get(name)
        if known is None or known[0] != versions:
            self._covered[name] = known = versions, _shared(directory.keys, table.keys())
        return known[1]


def _shared(live: NDArray[np.uint64], known: NDArray[np.uint64]) -> int:
    """How many different keys are in both; `live` is sorted."""
    return int(among(distinct(live), np.sort(known)).sum())
