"""The vectors of one folder: a table per model fingerprint and exit, keyed by digest."""

from __future__ import annotations

import hashlib
import re
import shutil
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mosearch.errors import StoreError
from mosearch.store._added import Marks, added_rows, all_rows, marks_of
from mosearch.store._arrow import as_column
from mosearch.store._directory import among, first_bytes, numbers, whole
from mosearch.store._failures import retried
from mosearch.store._lance import BTree, IvfRq
from mosearch.store._sql import in_digests, in_integers

Float16 = NDArray[np.float16]

_NAME = re.compile(r"vectors_([0-9A-Za-z]{16})_(-?\d+)")
_DIGESTS_PER_QUERY = 512
_SCAN_ABOVE = 2_048
"""Above so many digests, reading the whole digest column is faster than looking each one up."""

_BATCH_ROWS = 1_024

SECONDS_PER_DAY = 86_400
SCHEMA_COLUMNS = ["digest", "day", "vector"]

# One bit per dimension (RaBitQ) in few, large partitions, nearly all of which are probed, then exact
# distances for six times the rows asked for.  Measured on 100,000 vectors of 384 dimensions and two
# busy cores: built in 4 s, 5 ms per query, recall .99 at 50 and .97 at 200.  HNSW took 100 s to build,
# 8-bit scalars took 50 ms per query, and more partitions cost recall.  On 867,537 (106 partitions), sentences
# from documentation as questions: recall at 50 was .909 with 20 probes, .975 with 40, .994 with 60, at 17 ms
# each; twice the refinement took 25 ms and found no more.
_ROWS_PER_PARTITION = 8_192
_PROBES = 64
_REFINE = 6
_RETRAIN_SHARE = 0.2


class VectorTable:
    """float16 [n, dim] rows of unit length, one per digest."""

    def __init__(self, table: Any) -> None:
        self._table = table
        self.dim = int(table.schema.field("vector").type.list_size)
        self._mutex = threading.Lock()
        self._keys: tuple[int, Marks, NDArray[np.uint64]] | None = None
        """A version, its marks (see `_added`), and what `keys` gave then."""

    def known(self, digests: Collection[bytes]) -> set[bytes]:
        if len(digests) > _SCAN_ABOVE:
            rows = self.whole_digests()
            alike = among(rows[:, 0], np.sort(numbers(digests)[:, 0]))
            return {row.tobytes() for row in rows[alike]}.intersection(digests)
        found: set[bytes] = set()
        for part in _parts(list(digests)):
            rows = self._table.search().where(in_digests("digest", part)).select(["digest"]).limit(None)
            found.update(rows.to_arrow().column("digest").to_pylist())
        return found

    def keys(self) -> NDArray[np.uint64]:
        """The first eight bytes of every digest: uint64 [rows], in no order."""
        # The version is read first: rows newer than it are then merely read again next time.
        version = self.version()
        with self._mutex:
            known = self._keys
        if known is not None and known[0] == version:
            return known[2]
        rows = None
        if known is not None and known[0] < version:
            rows = added_rows(self._table, ["digest"], known[1], len(known[2]))
        if known is None or rows is None:
            rows = all_rows(self._table, ["digest"])
            marks, keys = marks_of(rows), first_bytes(rows.column("digest"))
        else:
            marks = marks_of(rows, known[1])
            keys = np.concatenate([known[2], first_bytes(rows.column("digest"))])
        with self._mutex:
            self._keys = version, marks, keys
        return keys

    def whole_digests(self) -> NDArray[np.uint64]:
        """Every digest as two numbers: uint64 [rows, 2], in no order."""
        return whole(self._table.search().select(["digest"]).limit(None).to_arrow().column("digest"))

    def batches(self) -> Iterator[tuple[NDArray[np.uint64], Float16]]:
        """All rows, some at a time: digests as two numbers each, uint64 [n, 2], and vectors, [n, dim]."""
        query = self._table.search().select(["digest", "vector"]).limit(None)
        for batch in query.to_batches(batch_size=_BATCH_ROWS):
            rows = pa.Table.from_batches([batch])
            blocks = [_matrix(chunk, self.dim) for chunk in rows.column("vector").chunks]
            yield whole(rows.column("digest")), np.concatenate(blocks)

    def marks(self) -> Marks:
        """See `_added`."""
        return marks_of(self._table.search().select(["_rowid"]).limit(None).to_arrow())

    def added(self, marks: Marks, known: int) -> tuple[NDArray[np.uint64], Float16, Marks] | None:
        """What was added to the `known` rows that have these marks, as `batches` gives it, and the marks
        now; None where that cannot be told."""
        rows = added_rows(self._table, ["digest", "vector"], marks, known)
        if rows is None:
            return None
        blocks = [np.empty((0, self.dim), np.float16)]
        blocks += [_matrix(chunk, self.dim) for chunk in rows.column("vector").chunks]
        return whole(rows.column("digest")), np.concatenate(blocks), marks_of(rows, marks)

    def get(self, digests: Collection[bytes]) -> tuple[list[bytes], Float16]:
        """The digests found, in no order, and their vectors, float16 [found, dim]."""
        found: list[bytes] = []
        blocks: list[Float16] = [np.empty((0, self.dim), np.float16)]
        for part in _parts(list(dict.fromkeys(digests))):
            query = self._table.search().where(in_digests("digest", part)).select(["digest", "vector"])
            rows = query.limit(None).to_arrow().combine_chunks()
            found += rows.column("digest").to_pylist()
            blocks += [_matrix(chunk, self.dim) for chunk in rows.column("vector").chunks]
        return found, np.concatenate(blocks)

    def add(self, digests: Sequence[bytes], vectors: Float16) -> None:
        day = int(time.time()) // SECONDS_PER_DAY
        flat = as_column(vectors.reshape(-1))
        columns = [
            pa.array(digests, pa.binary(16)),
            as_column(np.full(len(digests), day, np.int32)),
            pa.FixedSizeListArray.from_arrays(flat, self.dim),
        ]
        self._table.add(pa.table(columns, schema=schema(self.dim)))

    def rows_of(self, ordered: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """Addresses of the rows whose first eight bytes of the digest are among these sorted ones."""
        rows = self._table.search().select(["digest"]).with_row_id(True).limit(None).to_arrow()
        found: NDArray[np.uint64] = rows.column("_rowid").to_numpy()
        return found[among(first_bytes(rows.column("digest")), ordered)]

    def nearest(
        self,
        query: NDArray[np.float32],
        limit: int,
        *,
        exact: bool,
        refine: int = _REFINE,
        among_rows: NDArray[np.uint64] | None = None,
    ) -> list[tuple[bytes, float]]:
        """(digest, cosine similarity), best first; rows not yet in the ANN index are always compared.

        What the index finds is compared exactly for `refine` times `limit` rows.  With `among_rows`, some ten
        thousand addresses at most, no others are found.
        """
        search = self._table.search(query, vector_column_name="vector").distance_type("dot")
        search = search.bypass_vector_index() if exact else search.nprobes(_PROBES).refine_factor(refine)
        if among_rows is not None:
            search = search.where(in_integers("_rowid", among_rows.tolist()), prefilter=True)
        rows = search.select(["digest", "_distance"]).limit(limit).to_arrow()
        similarity = 1.0 - rows.column("_distance").to_numpy()
        return list(zip(rows.column("digest").to_pylist(), similarity.clip(-1, 1).tolist(), strict=True))

    def version(self) -> int:
        return int(self._table.version)

    def rows(self) -> int:
        return int(self._table.count_rows())

    def fragments(self) -> int:
        return int(self._table.stats()["fragment_stats"]["num_fragments"])

    def days(self) -> list[tuple[bytes, int]]:
        """Each digest and when it was added, in days since the epoch."""
        rows = self._table.search().select(["digest", "day"]).limit(None).to_arrow()
        return list(zip(rows.column("digest").to_pylist(), rows.column("day").to_pylist(), strict=True))

    def delete(self, digests: Sequence[bytes]) -> None:
        for part in _parts(list(digests)):
            self._table.delete(in_digests("digest", part))

    def optimize(self, **options: Any) -> None:
        self._table.optimize(**options)

    def renew_indices(self) -> None:
        """Drops all indices; digests get a new one at once, vectors when they are next optimized."""
        for index in self._table.list_indices():
            self._table.drop_index(index.name)
        index_digests(self._table)

    def build_index(self, ann_rows: int) -> None:
        """Indexes tables of `ann_rows` rows or more; trains anew once a fifth of them is unindexed.

        RaBitQ needs a multiple of 8 dimensions; vectors of another length are compared one by one.
        """
        if self.needs_index(ann_rows):
            rows = self.rows()
            partitions = max(1, rows // _ROWS_PER_PARTITION)
            config = IvfRq(distance_type="dot", num_partitions=partitions)
            self._table.create_index("vector", config=config, replace=True)

    def needs_index(self, ann_rows: int) -> bool:
        rows = self.rows()
        return rows >= ann_rows and self.dim % 8 == 0 and self._unindexed_share(rows) > _RETRAIN_SHARE

    def _unindexed_share(self, rows: int) -> float:
        stats = self._table.index_stats("vector_idx")
        return 1.0 if stats is None else 1.0 - stats.num_indexed_rows / rows


class VectorTables:
    """Opens tables when they are first asked for.  Writers must hold the folder's lock."""

    def __init__(self, connection: Any, folder: Path) -> None:
        self._connection = connection
        self._folder = folder
        self._open: dict[str, tuple[int | None, VectorTable]] = {}
        """What is open, and of which folder on disk: others may drop a table and make another."""
        self._mutex = threading.Lock()

    def find(self, fingerprint: str, exit: int) -> VectorTable | None:
        return self._find(_table_name(fingerprint, exit))

    def find_or_create(self, fingerprint: str, exit: int, dim: int) -> VectorTable:
        """Raises StoreError when the table holds vectors of another length."""
        name = _table_name(fingerprint, exit)
        table = self._find(name) or self._create(name, dim)
        if table.dim != dim:
            raise StoreError(
                f"Vectors of model {fingerprint[:16]} at exit {exit} in {self._folder} have "
                f"{table.dim} dimensions, not {dim}. A model's fingerprint must change with its dimensions."
            )
        return table

    def all(self) -> dict[tuple[str, int], VectorTable]:
        """(first 16 characters of the fingerprint, exit) → table."""
        tables = {}
        for path in sorted(self._folder.glob("vectors_*.lance")):
            found = _NAME.fullmatch(path.stem)
            table = self._find(path.stem) if found else None
            if found and table is not None:
                tables[found[1], int(found[2])] = table
        return tables

    def drop(self, key: str, exit: int) -> None:
        """Removes a table of `all` with everything in it."""
        name = f"vectors_{key}_{exit}"
        with self._mutex:
            self._open.pop(name, None)
        shutil.rmtree(self._folder / f"{name}.lance", ignore_errors=True)

    def _create(self, name: str, dim: int) -> VectorTable:
        shutil.rmtree(self._folder / f"{name}.lance", ignore_errors=True)
        raw = self._connection.create_table(name, schema=schema(dim))
        index_digests(raw)
        with self._mutex:
            found = self._open.setdefault(name, (_identity(self._folder / f"{name}.lance"), VectorTable(raw)))
            return found[1]

    def _find(self, name: str) -> VectorTable | None:
        with self._mutex:
            folder = self._folder / f"{name}.lance"
            # Without a whole version it is being created just now, or was when a process was killed, or
            # another process dropped it.
            identity, known = _identity(folder), self._open.get(name)
            if identity is None:
                self._open.pop(name, None)
                return None
            if known is None or known[0] != identity:
                table = VectorTable(retried(lambda: self._connection.open_table(name)))
                known = self._open[name] = identity, table
            return known[1]


def _identity(folder: Path) -> int | None:
    """What another table in its place would not have.

    None without a version that is whole: what is being written has another name until then.
    """
    try:
        whole = any(path.suffix == ".manifest" for path in (folder / "_versions").iterdir())
        return folder.stat().st_ino if whole else None
    except (FileNotFoundError, NotADirectoryError):
        return None


def index_digests(table: Any) -> None:
    """Rows not yet in it are scanned, so it may be made of an empty table."""
    table.create_index("digest", config=BTree())


def schema(dim: int) -> pa.Schema:
    return pa.schema(
        [
            pa.field("digest", pa.binary(16), nullable=False),
            pa.field("day", pa.int32(), nullable=False),
            pa.field("vector", pa.list_(pa.float16(), dim), nullable=False),
        ]
    )


def table_key(fingerprint: str) -> str:
    """What stands for a model in the names of its tables."""
    key = fingerprint[:16]
    if not re.fullmatch(r"[0-9A-Za-z]{16}", key):
        key = hashlib.blake2b(fingerprint.encode(), digest_size=8).hexdigest()
    return key


def _table_name(fingerprint: str, exit: int) -> str:
    return f"vectors_{table_key(fingerprint)}_{exit}"


def _matrix(column: Any, dim: int) -> Float16:
    block: Float16 = column.flatten().to_numpy(zero_copy_only=False).reshape(-1, dim)
    return block


def _parts(digests: list[bytes]) -> list[list[bytes]]:
    return [digests[i : i + _DIGESTS_PER_QUERY] for i in range(0, len(digests), _DIGESTS_PER_QUERY)]
