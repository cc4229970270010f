"""How many of the searchable texts have a vector at which exit, without reading what did not change."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mosearch.store._directory import distinct
from mosearch.store._files import Snapshot
from mosearch.store._tables import Tables
from mosearch.store._values import Coverage
from mosearch.store._vectors import table_key

Keys = NDArray[np.uint64]
"""The first eight bytes of each digest, sorted, each once."""


class CoverageCounter:
    """Remembers the digests of each table until the table has another version."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._mutex = threading.Lock()
        self._remembered: dict[Hashable, tuple[Hashable, Keys]] = {}

    def count(self, fingerprint: str, snapshot: Snapshot) -> Coverage:
        """Coverage of the live texts in `snapshot` by the vectors of one model, at each exit that has any."""
        chunks = self._tables.chunks
        directory = chunks.directory(snapshot)
        live = self._keys("live", directory.version, lambda: directory.keys)
        vectors = {}
        for (key, exit), table in self._tables.vectors.all().items():
            if key == table_key(fingerprint):
                known = self._keys((key, exit), table.version(), table.keys)
                vectors[exit] = int(np.isin(live, known, assume_unique=True).sum())
        return Coverage(len(live), vectors)

    def _keys(self, name: Hashable, version: Hashable, read: Callable[[], NDArray[Any]]) -> Keys:
        """`version` is read before the rows: rows newer than it are then merely read again next time."""
        with self._mutex:
            remembered = self._remembered.get(name)
        if remembered is not None and remembered[0] == version:
            return remembered[1]
        keys: Keys = distinct(read())
        with self._mutex:
            self._remembered[name] = (version, keys)
        return keys
