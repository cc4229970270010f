"""Vectors of a table in memory, one byte a dimension, compared one by one.

For up to some hundred thousand vectors this is faster than any index, finds what an exact search finds
but for rounding, and needs no training.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from mosearch import memory
from mosearch.store._added import NO_MARKS, Marks
from mosearch.store._directory import Directory, among, numbers
from mosearch.store._values import MOST_ROWS
from mosearch.store._vectors import Float16, VectorTable

_FEW_ROWS = 2_000
"""So many new rows are looked up; for more, the table is read anew."""
_MOST_TABLES = 3
"""A question asks at no more exits than the first, the index's and the re-ranking one; a table that gave way
to another of them would be read again by each question."""
_BLOCK_ROWS = 1_024
"""Widened to float32 at a time: what stays in a core's cache is multiplied fastest."""
_LEVELS = 127.0


@dataclass(eq=False, slots=True)
class Matrix:
    """Its arrays are never changed once made."""

    digests: NDArray[np.uint64]
    """[n, 2]: see `_directory.numbers`."""
    rows: NDArray[np.int8]
    """[n, dim]."""
    scale: NDArray[np.float32]
    """[n]: a row times its scale has unit length."""
    marks: Marks = field(default_factory=lambda: NO_MARKS)
    """Of these rows in their table, where that is known; see `_added`."""
    _holding: tuple[Directory, NDArray[np.bool_]] | None = None
    _order: NDArray[np.int64] | None = None

    @property
    def keys(self) -> NDArray[np.uint64]:
        return self.digests[:, 0]

    def holding(self, directory: Directory) -> NDArray[np.bool_]:
        """Which rows are of texts that are in an index: [n]; remembered for the last one asked about."""
        known = self._holding
        if known is None or known[0] is not directory:
            self._holding = known = directory, among(self.keys, directory.keys)
        return known[1]

    def similarities(self, query: NDArray[np.float32]) -> NDArray[np.float32]:
        """Cosine similarity of each row to the unit vector `query`: float32 [n]; off by .0003 or so."""
        found = np.empty(len(self.rows), np.float32)
        wide = np.empty((_BLOCK_ROWS, len(query)), np.float32)
        for start in range(0, len(self.rows), _BLOCK_ROWS):
            block = self.rows[start : start + _BLOCK_ROWS]
            part = wide[: len(block)]
            np.copyto(part, block)
            np.dot(part, query, out=found[start : start + len(block)])
        found *= self.scale
        return np.clip(found, -1, 1, out=found)

    def similarities_of(self, digests: Sequence[str], query: NDArray[np.float32]) -> dict[str, float]:
        """As `similarities`, for those of `digests` that have a row."""
        if not len(self.rows):
            return {}
        if self._order is None:
            self._order = np.argsort(self.keys, kind="stable")
        wanted = numbers([bytes.fromhex(digest) for digest in digests])
        at = np.searchsorted(self.keys, wanted[:, 0], sorter=self._order)
        places = self._order[np.minimum(at, len(self._order) - 1)]
        known = np.flatnonzero((self.digests[places] == wanted).all(axis=1))
        rows = places[known]
        cosines = np.clip((self.rows[rows].astype(np.float32) @ query) * self.scale[rows], -1, 1)
        return dict(zip([digests[i] for i in known.tolist()], cosines.tolist(), strict=True))


class Matrices:
    """The matrices of the tables that are searched, each as of the table's newest version."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._known: OrderedDict[Hashable, tuple[VectorTable, int, Matrix]] = OrderedDict()

    def of(self, name: Hashable, table: VectorTable) -> Matrix | None:
        """None for a table with too many rows."""
        with self._mutex:
            # The version is read first: rows newer than it are then merely read again next time.
            version = table.version()
            known = self._known.get(name)
            if known is not None and known[0] is not table:
                known = None  # another table of this name: the versions of the two cannot be compared
            if known is None or known[1] != version:
                if table.rows() > MOST_ROWS:
                    self._known.pop(name, None)
                    return None
                known = self._known[name] = table, version, _read(table, known[2] if known else None)
            self._known.move_to_end(name)
            while len(self._known) > _MOST_TABLES:
                self._known.popitem(last=False)
            return known[2]

    def learn(
        self, name: Hashable, table: VectorTable, before: int, digests: list[bytes], rows: Float16
    ) -> None:
        """These rows were just added to what was version `before`: they need not be read back."""
        with self._mutex:
            known = self._known.get(name)
            if known is None or known[0] is not table or (known[1], table.version()) != (before, before + 1):
                return
            total = len(known[2].rows) + len(rows)
            # What was read while these rows were written may hold them already.
            if total <= MOST_ROWS and total == table.rows():
                matrix = _joined([known[2], _packed(numbers(digests), rows)])
                self._known[name] = table, before + 1, matrix


def _read(table: VectorTable, old: Matrix | None) -> Matrix:
    """The whole table; what `old` has is not read again if that can be told, or little is missing."""
    if old is not None:
        added = table.added(old.marks, len(old.rows))
        if added is not None:
            digests, vectors, marks = added
            return replace(_joined([old, _packed(digests, vectors)]), marks=marks)
    version, marks = table.version(), table.marks()
    matrix = _read_anew(table, old)
    return replace(matrix, marks=marks) if table.version() == version else matrix


def _read_anew(table: VectorTable, old: Matrix | None) -> Matrix:
    if old is not None:
        present = table.whole_digests()
        kept = np.isin(old.keys, present[:, 0])
        new = present[np.isin(present[:, 0], old.keys, invert=True)]
        if len(new) <= _FEW_ROWS:
            digests, vectors = table.get([row.tobytes() for row in new])
            added = _packed(numbers(digests), vectors)
            return _joined([Matrix(old.digests[kept], old.rows[kept], old.scale[kept]), added])
    whole = _empty(table.rows(), table.dim)
    end = 0
    for keys, vectors in table.batches():
        start, end = end, end + len(keys)
        if end > len(whole.rows):  # rows that were added meanwhile
            whole = _joined([_part(whole, start), _empty(len(keys), table.dim)])
        part = _packed(keys, vectors)
        whole.digests[start:end], whole.rows[start:end] = part.digests, part.rows
        whole.scale[start:end] = part.scale
    memory.give_back()  # what was read took twice as much
    return _part(whole, end)


def _empty(rows: int, dim: int) -> Matrix:
    """To be filled."""
    return Matrix(np.empty((rows, 2), np.uint64), np.empty((rows, dim), np.int8), np.empty(rows, np.float32))


def _part(matrix: Matrix, end: int) -> Matrix:
    return Matrix(matrix.digests[:end], matrix.rows[:end], matrix.scale[:end])


def _packed(digests: NDArray[np.uint64], vectors: Float16) -> Matrix:
    wide = vectors.astype(np.float32)
    most = np.abs(wide).max(axis=1, keepdims=True, initial=1e-6)
    rows = np.rint(wide * (_LEVELS / most)).astype(np.int8)
    lengths = np.linalg.norm(rows.astype(np.float32), axis=1)
    return Matrix(digests, rows, (1 / np.maximum(lengths, 1)).astype(np.float32))


def _joined(parts: list[Matrix]) -> Matrix:
    return Matrix(
        np.concatenate([part.digests for part in parts]),
        np.concatenate([part.rows for part in parts]),
        np.concatenate([part.scale for part in parts]),
    )
