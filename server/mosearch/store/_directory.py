"""Where the live chunks are: the part of the `chunks` table that every search needs, in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mosearch.store._added import NO_MARKS, Marks, marks_of

_Number = TypeVar("_Number", np.uint64, np.int64)

Place = tuple[int, int]
"""(`file_id`, key): the chunks of one text in one version of a file."""


@dataclass(frozen=True, eq=False)
class Directory:
    """28 bytes for each live chunk, in the order of `keys`; every array is [rows]."""

    keys: NDArray[np.uint64]
    """What `key_of` gives for each digest."""
    file_ids: NDArray[np.int64]
    row_ids: NDArray[np.uint64]
    """LanceDB's address of the row, which holds for one version of the table."""
    by_row: NDArray[np.int32]
    """Indices into the other arrays, in the order of `row_ids`."""
    version: tuple[int, int]
    """Of the tables of chunks and of files."""

    def places_of(self, row_ids: NDArray[np.uint64]) -> list[Place | None]:
        """Where each of some rows is; None for a row that is not live, or not known yet."""
        if not len(self.by_row):
            return [None] * len(row_ids)
        at = np.searchsorted(self.row_ids, row_ids, sorter=self.by_row)
        found = self.by_row[np.minimum(at, len(self.by_row) - 1)]
        known = (self.row_ids[found] == row_ids).tolist()
        places = zip(self.file_ids[found].tolist(), self.keys[found].tolist(), strict=True)
        return [place if is_known else None for place, is_known in zip(places, known, strict=True)]

    def files_of(self, keys: Sequence[int]) -> list[list[int]]:
        """For each text the files in which it occurs, each once."""
        return [list(dict.fromkeys(self.file_ids[span].tolist())) for span in self._spans(keys)]

    def rows_at(self, places: Sequence[Place]) -> Iterator[int]:
        """`row_ids` of the chunks at some places."""
        spans = self._spans([key for _, key in places])
        for (file_id, _), span in zip(places, spans, strict=True):
            yield from self.row_ids[span][self.file_ids[span] == file_id].tolist()

    def _spans(self, keys: Sequence[int]) -> Iterator[slice]:
        wanted = np.array(keys, np.uint64)
        starts = np.searchsorted(self.keys, wanted, "left").tolist()
        return map(slice, starts, np.searchsorted(self.keys, wanted, "right").tolist())


@dataclass(frozen=True, eq=False)
class Columns:
    """Of every chunk, live or not, as of one version of the table; every array is [rows]."""

    keys: NDArray[np.uint64]
    file_ids: NDArray[np.int64]
    row_ids: NDArray[np.uint64]
    version: int
    marks: Marks
    """See `_added`."""


def columns_of(rows: pa.Table, version: int, before: Columns | None = None) -> Columns:
    """From columns `file_id`, `digest` and `_rowid` of all chunks, or of those that were added."""
    keys, file_ids = first_bytes(rows.column("digest")), rows.column("file_id").to_numpy()
    row_ids = rows.column("_rowid").to_numpy()
    marks = marks_of(rows, before.marks if before is not None else NO_MARKS)
    if before is not None:
        keys = np.concatenate([before.keys, keys])
        file_ids = np.concatenate([before.file_ids, file_ids])
        row_ids = np.concatenate([before.row_ids, row_ids])
    return Columns(keys, file_ids, row_ids, version, marks)


def build(columns: Columns, live: NDArray[np.int64], files_version: int) -> Directory:
    """For the files whose ids are `live`, sorted."""
    kept = np.flatnonzero(among(columns.file_ids, live))
    order = kept[np.argsort(columns.keys[kept], kind="stable")]
    row_ids = columns.row_ids[order]
    by_row = np.argsort(row_ids).astype(np.int32)
    version = columns.version, files_version
    return Directory(columns.keys[order], columns.file_ids[order], row_ids, by_row, version)


def key_of(digest: bytes) -> int:
    """The first eight bytes of a digest, as a number; see `first_bytes`."""
    return int.from_bytes(digest[:8], "little")


def first_bytes(digests: pa.ChunkedArray) -> NDArray[np.uint64]:
    """The first eight bytes of each digest, as a number: uint64 [n].

    Digests are hashes, so this tells a million of them apart; it takes a twentieth of the time and
    the memory that a set of them takes.
    """
    return np.ascontiguousarray(whole(digests)[:, 0])


def distinct(keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Of sorted keys, each once.  `np.unique` would import what `_arrow` avoids, too."""
    is_new = np.ones(len(keys), bool)
    np.not_equal(keys[1:], keys[:-1], out=is_new[1:])
    return keys[is_new]


def among(keys: NDArray[_Number], ordered: NDArray[_Number]) -> NDArray[np.bool_]:
    """Which keys are among the sorted ones: what `np.isin` says, which would sort them all."""
    if not len(ordered):
        return np.zeros(len(keys), bool)
    at = np.searchsorted(ordered, keys)
    found: NDArray[np.bool_] = ordered[np.minimum(at, len(ordered) - 1)] == keys
    return found


def numbers(digests: Iterable[bytes]) -> NDArray[np.uint64]:
    """Each digest as two numbers: uint64 [n, 2], a row's bytes being those of the digest."""
    return np.frombuffer(b"".join(digests), "<u8").reshape(-1, 2)


def whole(digests: pa.ChunkedArray) -> NDArray[np.uint64]:
    """A column of digests as `numbers`: uint64 [n, 2]."""
    blocks = [np.empty((0, 2), np.uint64)]
    for chunk in digests.chunks:
        data = np.frombuffer(chunk.buffers()[1], "<u8").reshape(-1, 2)
        blocks.append(data[chunk.offset : chunk.offset + len(chunk)])
    return np.concatenate(blocks)
