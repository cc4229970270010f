"""The `chunks` table: what a chunk is, the columns it is found by, and its analysed terms."""

from __future__ import annotations

import threading
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from typing import Any

import msgpack  # type: ignore[import-untyped]
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mosearch.store._added import added_rows, all_rows
from mosearch.store._arrow import as_column
from mosearch.store._directory import (
    Columns,
    Directory,
    Place,
    build,
    columns_of,
    first_bytes,
    key_of,
    whole,
)
from mosearch.store._files import Snapshot
from mosearch.store._lance import FTS, BTree, FullTextOperator, MatchQuery
from mosearch.store._sql import in_integers, in_strings
from mosearch.types import Chunk, Filters, Span, StoredChunk, SymbolKind

# Less than half the bytes (421 instead of 921 a row, terms aside) for 1 ms per 100 rows read.
_COMPRESSED = {b"lance-encoding:compression": b"zstd"}

SCHEMA = pa.schema(
    [
        pa.field("file_id", pa.int64(), nullable=False),
        pa.field("digest", pa.binary(16), nullable=False),
        pa.field("name", pa.string(), nullable=False),
        pa.field("kind", pa.int8(), nullable=False),
        pa.field("language", pa.string(), nullable=False),
        # All of a chunk goes into one column, also what has its own to be found by: each further column costs
        # a read per row (measured: 100 random rows in 3.4 ms so, in 5.8 ms with four columns more, in 14.8 ms
        # with one column per field).
        pa.field("record", pa.binary(), nullable=False, metadata=_COMPRESSED),
        pa.field("terms", pa.string(), nullable=False, metadata=_COMPRESSED),
    ]
)
_FIELDS = tuple(f.name for f in fields(Chunk))
_DIGEST, _KIND, _WHOLE = (_FIELDS.index(name) for name in ("digest", "kind", "whole"))

_CHECKSUM_BYTES = 4
_REMEMBERED = 2_048
"""Places whose chunks are kept decoded: some 5 MB, and a third of the time of a question."""

_MOVED = "rows of the index were moved while they were read"

_FOUND_BY = ("file_id", "digest")
_SCALAR_INDEXED = ("digest", "file_id", "name")
_IDS_PER_DELETE = 5_000
MANY_ROWS = 3_000
"""Text searches read what is not merged into the full-text index one by one: so many rows take some 70 ms."""
_MOST_GLOB_FILES = 2_000
"""Up to so many files, a search by path asks LanceDB for their chunks; above, it filters what it found."""


class ChunksTable:
    """Rows are only ever added and deleted.  Which of them are live is the caller's Snapshot to say."""

    def __init__(self, table: Any) -> None:
        self._table = table
        self._mutex = threading.Lock()
        self._columns: Columns | None = None
        self._directory: Directory | None = None
        self._read_before: OrderedDict[Place, tuple[StoredChunk, ...]] = OrderedDict()

    @staticmethod
    def create_indices(table: Any) -> None:
        """Rows not yet in an index are scanned, so an index on an empty table makes reads right at once."""
        existing = {index.name for index in table.list_indices()}
        for column in _SCALAR_INDEXED:
            if f"{column}_idx" not in existing:
                table.create_index(column, config=BTree())
        terms = FTS(
            base_tokenizer="whitespace",
            max_token_length=None,
            lower_case=False,
            stem=False,
            remove_stop_words=False,
            ascii_folding=False,
        )
        if "terms_idx" not in existing:
            table.create_index("terms", config=terms)

    def append(self, chunks: Sequence[StoredChunk], terms: Sequence[str]) -> None:
        if chunks:
            self._table.add(_encode(chunks, terms))

    def of_files(self, file_ids: Iterable[int], snapshot: Snapshot) -> list[StoredChunk]:
        return self._read(in_integers("file_id", file_ids), snapshot)

    def directory(self, snapshot: Snapshot) -> Directory:
        """Of all files in `snapshot`, which must be whole; read again only when something was written."""
        version = self.version(), snapshot.version
        with self._mutex:
            known = self._directory
        if known is None or known.version != version:
            known = build(self._columns_at(version[0]), snapshot.ids, snapshot.version)
            with self._mutex:
                self._directory = known
        return known

    def _columns_at(self, version: int) -> Columns:
        """As of `version` or a newer one, which is then merely read again next time."""
        with self._mutex:
            before = self._columns
        if before is not None and before.version == version:
            return before
        rows = None
        if before is not None and before.version < version:
            rows = added_rows(self._table, _FOUND_BY, before.marks, len(before.keys))
        if rows is None:
            rows, before = all_rows(self._table, _FOUND_BY), None
        columns = columns_of(rows, version, before)
        with self._mutex:
            self._columns = columns
        return columns

    def at(
        self, places: Sequence[Place], directory: Directory, snapshot: Snapshot
    ) -> dict[Place, tuple[StoredChunk, ...]]:
        """The chunks at each place; those read lately are remembered.

        Raises RuntimeError when rows were moved meanwhile.
        """
        with self._mutex:
            found = {place: self._read_before[place] for place in places if place in self._read_before}
            for place in found:
                self._read_before.move_to_end(place)
        missing = [place for place in dict.fromkeys(places) if place not in found]
        if missing:
            found |= self._read_at(missing, directory, snapshot)
            with self._mutex:
                self._read_before.update((place, found[place]) for place in missing)
                while len(self._read_before) > _REMEMBERED:
                    self._read_before.popitem(last=False)
        return found

    def still_at(self, places: Sequence[Place], snapshot: Snapshot) -> list[StoredChunk]:
        """The chunks at those of `places` that are still there, in no order; not remembered.

        Raises RuntimeError as `at` does.
        """
        wanted = set(places)
        chunks = self._take(list(self.directory(snapshot).rows_at(places)), snapshot)
        if not all(_place(stored) in wanted for stored in chunks):
            raise RuntimeError(_MOVED)
        return chunks

    def _read_at(
        self, places: Sequence[Place], directory: Directory, snapshot: Snapshot
    ) -> dict[Place, tuple[StoredChunk, ...]]:
        grouped: dict[Place, list[StoredChunk]] = {place: [] for place in places}
        for stored in self._take(list(directory.rows_at(places)), snapshot):
            grouped.get(_place(stored), []).append(stored)
        if not all(grouped.values()):
            raise RuntimeError(_MOVED)
        return {place: tuple(sorted(some, key=_position)) for place, some in grouped.items()}

    def _take(self, row_ids: list[int], snapshot: Snapshot) -> list[StoredChunk]:
        if not row_ids:
            return []
        rows = self._table.take_row_ids(row_ids).select(["record"]).to_arrow()
        chunks = _decode(rows, snapshot)
        if len(chunks) != len(row_ids):
            raise RuntimeError(_MOVED)
        return chunks

    def named(self, names: Iterable[str], limit: int, snapshot: Snapshot) -> list[StoredChunk]:
        """Live chunks whose symbol is one of `names`, upper and lower case being the same."""
        where = in_strings("name", sorted({_fold(name) for name in names}))

        def fetch(count: int) -> pa.Table:
            return self._table.search().where(where).select(["record"]).limit(count).to_arrow()

        return _overfetch(fetch, lambda rows: sorted(_decode(rows, snapshot), key=_position), limit)

    def matching(
        self,
        terms: Sequence[str],
        limit: int,
        where: str | None,
        within: Snapshot,
        snapshot: Snapshot,
        *,
        every: bool,
        is_growing: bool,
    ) -> list[tuple[StoredChunk, float]]:
        """Live chunks of the files `within` by BM25, best first: with `every` term, or with any.

        While the index `is_growing`, many rows that are not merged into the full-text index are passed over,
        once some are.
        """
        directory = self.directory(snapshot)
        text = _clean(" ".join(terms))
        # A structured query: its text is only ever split at spaces, whatever characters it holds.
        match: Any = MatchQuery  # its type hints demand the optional arguments
        operator = FullTextOperator.AND if every else FullTextOperator.OR
        only_merged = is_growing and MANY_ROWS < self.unindexed() < self.rows()

        def fetch(count: int) -> pa.Table:
            query = self._table.search(match(text, "terms", operator=operator), query_type="fts")
            query = query.fast_search() if only_merged else query
            query = query.select(["_score"]).with_row_id(True)
            return (query.where(where, prefilter=True) if where else query).limit(count).to_arrow()

        def keep(rows: pa.Table) -> list[tuple[StoredChunk, float]]:
            scores: dict[Place, float] = {}
            places = self._places(rows.column("_rowid").to_numpy(), directory)
            for place, score in zip(places, rows.column("_score").to_pylist(), strict=True):
                if place is not None and place[0] in within.by_id:
                    scores.setdefault(place, score)
            best = list(scores)[:limit]
            chunks = self.at(best, directory, snapshot)
            return [(chunk, scores[place]) for place in best for chunk in chunks[place]]

        return _overfetch(fetch, keep, limit) if text.split() else []

    def _places(self, row_ids: NDArray[np.uint64], directory: Directory) -> list[Place | None]:
        """Where each of some rows is; None for a row that is not live.

        The directory knows, unless rows were added or moved since it was made: those are read.
        """
        places = directory.places_of(row_ids)
        unknown = [row for row, place in zip(row_ids.tolist(), places, strict=True) if place is None]
        if not unknown or self.version() == directory.version[0]:
            return places
        rows = self._table.take_row_ids(unknown).select(["file_id", "digest"]).with_row_id().to_arrow()
        columns = rows.column("file_id").to_pylist(), first_bytes(rows.column("digest")).tolist()
        read = dict(zip(rows.column("_rowid").to_pylist(), zip(*columns, strict=True), strict=True))
        return [place or read.get(row) for row, place in zip(row_ids.tolist(), places, strict=True)]

    def live_digests_without(self, known: NDArray[np.uint64], snapshot: Snapshot) -> dict[bytes, int]:
        """Digest of each live chunk whose first bytes are not in `known` → the `file_id` of one file that has
        it."""
        rows = self._table.search().select(["file_id", "digest"]).limit(None).to_arrow()
        wanted = np.isin(rows.column("file_id").to_numpy(), snapshot.ids)
        wanted &= np.isin(first_bytes(rows.column("digest")), known, invert=True)
        rows = rows.filter(as_column(wanted))
        return dict(zip(rows.column("digest").to_pylist(), rows.column("file_id").to_pylist(), strict=True))

    def live_digests(self, where: str | None, snapshot: Snapshot) -> NDArray[np.uint64]:
        """Digest of each live chunk that satisfies `where`, as two numbers: uint64 [n, 2]; see `whole`."""
        query = self._table.search().select(["file_id", "digest"])
        rows = (query.where(where) if where else query).limit(None).to_arrow()
        return whole(rows.column("digest"))[np.isin(rows.column("file_id").to_numpy(), snapshot.ids)]

    def version(self) -> int:
        return int(self._table.version)

    def rows(self) -> int:
        return int(self._table.count_rows())

    def live_rows(self, snapshot: Snapshot) -> int:
        return int(np.isin(self._file_ids(), snapshot.ids).sum())

    def delete_dead(self, snapshot: Snapshot) -> int:
        """Removes the chunks that are in no file of `snapshot`; returns their number."""
        ids, counts = np.unique(self._file_ids(), return_counts=True)
        is_dead = np.isin(ids, snapshot.ids, invert=True)
        dead = ids[is_dead].tolist()
        for start in range(0, len(dead), _IDS_PER_DELETE):
            self._table.delete(in_integers("file_id", dead[start : start + _IDS_PER_DELETE]))
        return int(counts[is_dead].sum())

    def optimize(self, **options: Any) -> None:
        self._table.optimize(**options)

    def fragments(self) -> int:
        return int(self._table.stats()["fragment_stats"]["num_fragments"])

    def unindexed(self) -> int:
        """Rows that each text search reads one by one."""
        return int(self._table.index_stats("terms_idx").num_unindexed_rows)

    def _file_ids(self) -> NDArray[np.int64]:
        ids: NDArray[np.int64] = (
            self._table.search().select(["file_id"]).limit(None).to_arrow().column("file_id").to_numpy()
        )
        return ids

    def _read(self, where: str, snapshot: Snapshot) -> list[StoredChunk]:
        rows = self._table.search().where(where).select(["record"]).limit(None).to_arrow()
        return sorted(_decode(rows, snapshot), key=_position)


def condition(filters: Filters, snapshot: Snapshot) -> str | None:
    """What of `filters` LanceDB shall apply; `snapshot` holds only the files that their globs allow."""
    parts = []
    if filters.languages:
        parts.append(in_strings("language", sorted(filters.languages)))
    if filters.kinds:
        parts.append(in_integers("kind", sorted(filters.kinds)))
    if filters.path_globs:
        few = len(snapshot.by_path) <= _MOST_GLOB_FILES
        parts.append(in_integers("file_id", snapshot.by_id) if few else "true")
    return " AND ".join(parts) or None


def _overfetch(
    fetch: Callable[[int], pa.Table], keep: Callable[[pa.Table], list[Any]], limit: int
) -> list[Any]:
    """Asks for more and more rows until `limit` of them are kept or there are no more."""
    count = limit + limit // 4 + 16
    while True:
        rows = fetch(count)
        kept = keep(rows)
        if len(kept) >= limit or rows.num_rows < count:
            return kept[:limit]
        count *= 4


def _encode(chunks: Sequence[StoredChunk], terms: Sequence[str]) -> pa.Table:
    columns: list[list[Any]] = [
        [c.file_id for c in chunks],
        [bytes.fromhex(c.chunk.digest) for c in chunks],
        [_fold(c.chunk.symbol) for c in chunks],
        [int(c.chunk.kind) for c in chunks],
        [c.chunk.language for c in chunks],
        [_pack(c) for c in chunks],
        [_sorted_terms(each) for each in terms],
    ]
    arrays = [pa.array(values, f.type) for values, f in zip(columns, SCHEMA, strict=True)]
    return pa.table(arrays, schema=SCHEMA)


def _pack(stored: StoredChunk) -> bytes:
    """The chunk and the file that it is in, with a checksum: LanceDB keeps none."""
    values = [getattr(stored.chunk, name) for name in _FIELDS]
    values[_DIGEST], values[_KIND] = bytes.fromhex(values[_DIGEST]), int(values[_KIND])
    packed: bytes = msgpack.packb([stored.file_id, *values], unicode_errors="surrogatepass")
    return packed + _checksum(packed)


def _unpack(record: bytes) -> tuple[int, Chunk]:
    """What `_pack` was given.  Raises ValueError for a row that was changed on disk."""
    packed = record[:-_CHECKSUM_BYTES]
    if record[-_CHECKSUM_BYTES:] != _checksum(packed):
        raise ValueError("a chunk is not what was written")
    file_id, *values = msgpack.unpackb(packed, unicode_errors="surrogatepass")
    values[_DIGEST], values[_KIND] = values[_DIGEST].hex(), SymbolKind(values[_KIND])
    if values[_WHOLE] is not None:
        values[_WHOLE] = Span(*values[_WHOLE])
    return file_id, Chunk(*values)


def _checksum(packed: bytes) -> bytes:
    return zlib.crc32(packed).to_bytes(_CHECKSUM_BYTES, "little")


def _decode(rows: pa.Table, snapshot: Snapshot) -> list[StoredChunk]:
    """The live chunks among `rows`, in their order."""
    live = snapshot.by_id
    found = map(_unpack, rows.column("record").to_pylist())
    return [StoredChunk(live[file_id].path, file_id, chunk) for file_id, chunk in found if file_id in live]


def _place(stored: StoredChunk) -> Place:
    return (stored.file_id, key_of(bytes.fromhex(stored.chunk.digest)))


def _position(stored: StoredChunk) -> tuple[str, int, int]:
    return (stored.path, stored.chunk.start_byte, stored.chunk.part)


def _fold(name: str) -> str:
    return _clean(name).casefold()


def _sorted_terms(terms: str) -> str:
    """Sorted terms compress better, and their order means nothing to BM25."""
    return " ".join(sorted(_clean(terms).split()))


def _clean(text: str) -> str:
    """Without lone surrogates, which no UTF-8 column can hold."""
    return text.encode("utf-8", "replace").decode("utf-8")
