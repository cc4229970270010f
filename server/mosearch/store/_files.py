"""The `files` table, whose rows are the commit markers, and its picture in memory."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mosearch.store._added import NO_MARKS, added_rows, all_rows, marks_of
from mosearch.store._sql import in_strings
from mosearch.types import FileRecord

SCHEMA = pa.schema(
    [
        pa.field("path", pa.string(), nullable=False),
        pa.field("file_id", pa.int64(), nullable=False),
        pa.field("size", pa.int64(), nullable=False),
        pa.field("mtime_ns", pa.int64(), nullable=False),
        pa.field("content_hash", pa.string(), nullable=False),
        pa.field("language", pa.string(), nullable=False),
        pa.field("chunks", pa.int32(), nullable=False),
        pa.field("skip_reason", pa.string(), nullable=False),
    ]
)

_FILE_ID, _HASH = map(SCHEMA.get_field_index, ("file_id", "content_hash"))


@dataclass(frozen=True)
class Snapshot:
    """All live files at one version of the table.  Never changed once made."""

    version: int
    by_path: Mapping[str, FileRecord]

    @cached_property
    def by_id(self) -> dict[int, FileRecord]:
        return {record.file_id: record for record in self.by_path.values()}

    @cached_property
    def ids(self) -> NDArray[np.int64]:
        """The live `file_id`s, sorted: int64 [files]."""
        ids = np.fromiter((r.file_id for r in self.by_path.values()), np.int64, len(self.by_path))
        ids.sort()
        return ids

    @cached_property
    def chunks(self) -> int:
        return sum(record.chunks for record in self.by_path.values())


class FilesTable:
    """Reads are served from memory, after asking the table for its version (about 0.2 ms).

    Writers must hold the writer lock.
    """

    def __init__(self, table: Any) -> None:
        self._table = table
        self._mutex = threading.Lock()
        self._snapshot = Snapshot(-1, {})
        self._read: dict[int, int] = {}
        """`file_id` → hash of the row as it was last read: what is the same need not be checked again."""
        self._marks = NO_MARKS
        """Of the rows that the snapshot holds, where that is known; see `_added`."""

    def version(self) -> int:
        return int(self._table.version)

    def snapshot(self) -> Snapshot:
        """The files as of now, also when another process has just written."""
        version = self.version()
        with self._mutex:
            if self._snapshot.version < version:
                self._snapshot = self._load()
            return self._snapshot

    def upsert(self, records: Sequence[FileRecord]) -> None:
        """Writes all `records` in one commit; a path already there gets the new row."""
        if not records:
            return
        columns = zip(*map(_sealed, records), strict=True)
        rows = pa.table([pa.array(c, f.type) for c, f in zip(columns, SCHEMA, strict=True)], schema=SCHEMA)
        before = self.snapshot()
        merge = self._table.merge_insert("path").when_matched_update_all().when_not_matched_insert_all()
        version = int(merge.execute(rows).version)
        self._advance(before, version, {**before.by_path, **{r.path: r for r in records}})

    def remove(self, paths: Iterable[str]) -> None:
        before = self.snapshot()
        gone = [path for path in dict.fromkeys(paths) if path in before.by_path]
        if not gone:
            return
        version = int(self._table.delete(in_strings("path", gone)).version)
        left = dict(before.by_path)
        for path in gone:
            del left[path]
        self._advance(before, version, left)

    def optimize(self, **options: Any) -> None:
        self._table.optimize(**options)

    def fragments(self) -> int:
        return int(self._table.stats()["fragment_stats"]["num_fragments"])

    def _advance(self, before: Snapshot, version: int, by_path: dict[str, FileRecord]) -> None:
        """Saves the reload after an own write, unless something else was written in between."""
        with self._mutex:
            if self._snapshot is before and version == before.version + 1:
                self._snapshot = Snapshot(version, MappingProxyType(by_path))
                self._marks = NO_MARKS

    def _load(self) -> Snapshot:
        # The version is read first: rows newer than it are then merely read again next time.
        version = self.version()
        by_path = dict(self._snapshot.by_path)
        rows = added_rows(self._table, SCHEMA.names, self._marks, len(by_path))
        if rows is None:
            rows, by_path, self._marks = all_rows(self._table, SCHEMA.names), {}, NO_MARKS
        self._take(rows, by_path)
        self._marks = marks_of(rows, self._marks)
        return Snapshot(version, MappingProxyType(by_path))

    def _take(self, rows: pa.Table, by_path: dict[str, FileRecord]) -> None:
        """Adds the records of some rows to `by_path`; with none there, they are all that there is."""
        columns = [rows.column(name).to_pylist() for name in SCHEMA.names]
        known, before = self._snapshot.by_id, self._read
        self._read = before if by_path else {}
        for values in zip(*columns, strict=True):
            file_id = values[_FILE_ID]
            record = known.get(file_id)
            row = hash(values)
            if record is None or before.get(file_id) != row:
                found = _opened(values)
                record = record if record == found else found
            self._read[file_id] = row
            by_path[record.path] = record


def _sealed(record: FileRecord) -> tuple[Any, ...]:
    """The row that is written: with a checksum behind the hash of its content, as LanceDB keeps none."""
    values = [getattr(record, name) for name in SCHEMA.names]
    values[_HASH] = f"{values[_HASH]}:{_checksum(values)}"
    return tuple(values)


def _opened(row: tuple[Any, ...]) -> FileRecord:
    """What `_sealed` was given.  Raises ValueError for a row that was changed on disk."""
    values = list(row)
    values[_HASH], _, checksum = values[_HASH].rpartition(":")
    if checksum != _checksum(values):
        raise ValueError(f"the entry of {values[0]} is not what was written")
    return FileRecord(*values)


def _checksum(values: Sequence[Any]) -> str:
    joined = chr(0).join(map(str, values))
    return f"{zlib.crc32(joined.encode('utf-8', 'surrogatepass')):08x}"
