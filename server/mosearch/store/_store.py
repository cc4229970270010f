"""The façade: one workspace's index and the vectors it shares."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from mosearch.errors import HostError, StoreDamagedError, StoreError, StoreLockedError
from mosearch.globs import matching
from mosearch.ipc import log_folder, spawn
from mosearch.private import make_private
from mosearch.store._failures import ATTEMPTS, retried, translated
from mosearch.store._folders import check_generation, folder_bytes, generation, stamp, tables_folder
from mosearch.store._locks import TIMEOUT, ProcessLock
from mosearch.store._quarantine import quarantine
from mosearch.store._shared import SharedVectors
from mosearch.store._users import register
from mosearch.store._values import (
    MOST_ROWS,
    Coverage,
    MissingText,
    MissingTexts,
    StoreStats,
)
from mosearch.types import FileRecord, Filters, StoredChunk

if TYPE_CHECKING:
    from mosearch.store._coverage import CoverageCounter
    from mosearch.store._files import Snapshot
    from mosearch.store._matrix import Matrices
    from mosearch.store._tables import Tables

T = TypeVar("T")

# Empty files whose times of change say when the index last changed, and when it last equalled the disk.
_COMMITTED = "last_commit"
_SYNCED = "last_sync"


class Store(SharedVectors):
    """Reads and writes one index.

    Any number of threads and processes may read while one writes.  Every method may raise
    StoreFullError, and StoreDamagedError, also where others have built the tables anew (then `quarantine`
    with `seen=generation`, and open again); those that write may raise StoreLockedError.  After `fork`, a
    child must open its own Store.
    """

    def __init__(
        self,
        index_dir: Path,
        vectors_dir: Path,
        tables: Tables,
        writer: ProcessLock,
        coverage: CoverageCounter,
        matrices: Matrices,
    ) -> None:
        super().__init__(index_dir, vectors_dir, tables, matrices)
        self._writer = writer
        self._coverage = coverage
        self._stamp: tuple[int, int] | None = None

    @classmethod
    def open(cls, index_dir: Path, vectors_dir: Path) -> Store:
        """Opens the index in `index_dir`, creating it when it is not there.

        Both folders are made private to the user.  Tables lie in a sub-folder named after the schema
        version, so that another version's tables are neither read nor touched.
        """
        from mosearch.store._coverage import CoverageCounter
        from mosearch.store._matrix import Matrices
        from mosearch.store._tables import open_tables

        with translated("open the index", index_dir):
            for folder in (index_dir, vectors_dir):
                make_private(folder)
            writer = ProcessLock(index_dir / "writer.lock")
            tables = retried(lambda: open_tables(index_dir, vectors_dir, writer, TIMEOUT))
            register(index_dir, vectors_dir)
            return cls(index_dir, vectors_dir, tables, writer, CoverageCounter(tables), Matrices())

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def generation(self) -> str:
        """Random name of these tables: changes when the index is built from nothing."""
        return self._tables.generation

    def is_set_aside(self) -> bool:
        """Whether others have built these tables anew meanwhile: open the index again, then."""
        with translated("read the index", self.index_dir):
            return generation(self.index_dir) not in (None, self.generation)

    def writer_lock(self, timeout: float = TIMEOUT) -> AbstractContextManager[None]:
        """Keeps other processes and threads from writing; the thread that holds it may nest it.

        Every writing method takes it by itself.  Raises StoreLockedError, which names the holder's
        process, after `timeout` seconds.
        """
        return self._writer.held(timeout)

    # Files

    def files(self) -> Mapping[str, FileRecord]:
        """Path → record of every searchable file, as of now, also when another process wrote last."""
        with translated("read the list of files", self.index_dir):
            by_path = retried(self._tables.files.snapshot).by_path
            self._check_current()
            return by_path

    def commit(
        self, files: Sequence[FileRecord], chunks: Sequence[StoredChunk], terms: Sequence[str]
    ) -> None:
        """Makes these versions of `files` searchable and their former versions invisible, at once.

        `terms[i]` are what `chunks[i]` is found by, analysed and separated by spaces: their order is not
        kept, repetitions count.  Every chunk belongs to one of `files`, whose `file_id` is new.
        """
        if len(terms) != len(chunks):
            raise ValueError(f"{len(terms)} terms for {len(chunks)} chunks")
        if not {c.file_id for c in chunks} <= {f.file_id for f in files}:
            raise ValueError("a chunk belongs to none of the files of this commit")
        with self._writing("write to the index"):
            self._tables.chunks.append(chunks, terms)
            self._tables.files.upsert(files)
            self._note_commit()

    def touch(self, records: Iterable[FileRecord]) -> None:
        """Saves another size or time for files whose content is the same.

        Records whose `file_id` is no longer the file's are left out.
        """
        with self._writing("write to the index"):
            known = self._tables.files.snapshot().by_id
            self._tables.files.upsert([r for r in records if r.file_id in known])

    def remove(self, paths: Iterable[str]) -> None:
        """Takes files out of all results at once; unknown paths are ignored."""
        with self._writing("remove files from the index"):
            self._tables.files.remove(paths)
            self._note_commit()

    # Chunks

    def chunks_of(self, path: str) -> list[StoredChunk]:
        """The chunks of one file, in order; empty when it is not indexed.

        They are found by an index whose files have no checksums: the list of files says how many there are.
        """

        def read(snapshot: Snapshot) -> tuple[list[StoredChunk], int]:
            record = snapshot.by_path.get(path)
            if record is None:
                return [], 0
            found = self._tables.chunks.of_files([record.file_id], snapshot)
            return [each for each in found if each.file_id == record.file_id], record.chunks

        for _ in range(ATTEMPTS):  # others may write all the time
            found, expected = self._consistent(read)
            if len(found) == expected:
                return found
        raise StoreDamagedError(
            f"{self.index_dir} lists {expected} chunks of {path} but finds {len(found)}. "
            "It has to be set aside and built again."
        )

    def symbols(self, names: Collection[str], limit: int) -> list[StoredChunk]:
        """Live chunks whose symbol is one of `names`, upper and lower case being the same."""
        return self._consistent(lambda snapshot: self._tables.chunks.named(names, limit, snapshot))

    def search_text(
        self,
        terms: Sequence[str],
        limit: int,
        filters: Filters,
        *,
        every: bool = False,
        is_growing: bool = False,
    ) -> list[tuple[StoredChunk, float]]:
        """Chunks by BM25, best first.

        `terms` are analysed as those given to `commit` were; any of them may match, or `every` one must.
        While the index `is_growing`, what was written last may be missing, for a quick answer.
        """
        from mosearch.store import _chunks

        def read(snapshot: Snapshot) -> list[tuple[StoredChunk, float]]:
            within = _within(filters, snapshot)
            where = _chunks.condition(filters, within)
            return self._tables.chunks.matching(
                terms, limit, where, within, snapshot, every=every, is_growing=is_growing
            )

        return self._consistent(read)

    # Vectors

    def missing_texts(self, fingerprint: str, exit: int, recent: Sequence[str] = ()) -> MissingTexts:
        """Texts of live chunks that have no vector of this model at this exit.

        Those of the files at the paths `recent` come first, then those of files changed last.
        """
        from mosearch.store import _missing

        with translated("look up vectors", self.vectors_dir):
            table = self._tables.vectors.find(fingerprint, exit)
            known = retried(table.keys) if table else np.empty(0, np.uint64)
        groups = self._consistent(
            lambda snapshot: _missing.by_file(self._tables.chunks, snapshot, known, recent)
        )

        def read() -> Iterator[MissingText]:
            for places in _missing.batches(groups):
                yield from self._consistent(partial(_missing.texts, self._tables.chunks, places))

        return MissingTexts(sum(map(len, groups.values())), read)

    def coverage(self, fingerprint: str) -> Coverage:
        """How many searchable texts have a vector of this model, by exit; cheap while nothing changes."""
        with translated("count vectors", self.vectors_dir):
            return self._consistent(lambda snapshot: self._coverage.count(fingerprint, snapshot))

    def search_vectors(
        self, fingerprint: str, exit: int, query: NDArray[np.floating], limit: int, filters: Filters
    ) -> list[tuple[StoredChunk, float]]:
        """Live chunks by cosine similarity to `query` ([dim], any length but zero), best first.

        Of a text that occurs in many files, the first few places are returned.
        """
        from mosearch.store import _nearest

        direction = np.asarray(query, np.float32)
        length = float(np.linalg.norm(direction))
        if direction.ndim != 1 or not np.isfinite(length) or length == 0:
            raise ValueError(f"a query of shape {direction.shape} and length {length} has no direction")

        def read(snapshot: Snapshot) -> list[tuple[StoredChunk, float]]:
            table = self._tables.vectors.find(fingerprint, exit)
            if table is None:
                return []
            within = _within(filters, snapshot)
            asked = _nearest.Question(direction / length, limit, filters, snapshot, within)
            matrix = self._matrices.of((fingerprint, exit), table)
            if matrix is not None:
                return _nearest.by_comparing(matrix, self._tables.chunks, asked)
            return _nearest.approximately(table, self._tables.chunks, asked)

        return self._consistent(read)

    # Care

    def note_sync(self, when: float) -> None:
        """Says that the index equals the files as they were on disk then, in seconds since the epoch."""
        with self._writing("write to the index"):
            note = tables_folder(self.index_dir) / _SYNCED
            note.touch()
            os.utime(note, (when, when))

    def last_sync(self) -> float | None:
        """What `note_sync` was last told, by any process, in seconds since the epoch."""
        with translated("read the index", self.index_dir):
            return self._time_of(_SYNCED)

    def stats(self) -> StoreStats:
        """Counts and sizes; lists both folders."""

        def read(snapshot: Snapshot) -> tuple[int, int, int]:
            chunks = self._tables.chunks
            live = len(chunks.directory(snapshot).keys)
            return len(snapshot.by_path), live, chunks.rows() - live

        files, live, dead = self._consistent(read)
        with translated("count vectors", self.vectors_dir):
            vectors = {key: retried(table.rows) for key, table in self._tables.vectors.all().items()}
            return StoreStats(
                files=files,
                chunks=live,
                dead_chunks=dead,
                vectors=vectors,
                index_bytes=folder_bytes(self.index_dir),
                vectors_bytes=folder_bytes(self.vectors_dir),
                last_commit=self._time_of(_COMMITTED),
            )

    def sweep(self) -> int:
        """Deletes the rows of dead chunks and returns their number; 0 while another process optimizes."""
        from mosearch.store import _maintenance

        with suppress(StoreLockedError), translated("sweep the index", self.index_dir):
            return _maintenance.sweep(self._tables, self._writer, self.index_dir)
        return 0

    def index_words(self) -> None:
        """Keeps text searches quick while much is written; nothing where another process optimizes."""
        from mosearch.store import _maintenance

        with suppress(StoreLockedError), translated("index the words", self.index_dir):
            _maintenance.index_words(self._tables, self.index_dir)

    def maintenance_due(self, ann_rows: int = MOST_ROWS) -> bool:
        """Whether `optimize` would now pay: many small writes, many dead rows, much that is not indexed, many
        old versions."""
        from mosearch.store import _maintenance

        with translated("inspect the index", self.index_dir):
            return retried(
                lambda: _maintenance.is_due(self._tables, self.index_dir, self.vectors_dir, ann_rows)
            )

    def optimize(self, ann_rows: int = MOST_ROWS) -> bool:
        """Sweeps, merges small writes, brings the indices up to date, and prunes the vectors.

        Vector tables of `ann_rows` rows or more get an approximate index.  Of vectors that no index uses, in
        whichever worktree, some are dropped where there are more than half as many as were in use at once
        within a month: those that are a month old, or the oldest where there are very many.
        Others may read and write meanwhile.  Returns False when another process is already at it.
        """
        from mosearch.store import _maintenance

        with suppress(StoreLockedError), translated("optimize the index", self.index_dir):
            _maintenance.optimize(
                self._tables, self._writer, self._vectors_lock, self.index_dir, self.vectors_dir, ann_rows
            )
            return True
        return False

    def start_optimizing(self, ann_rows: int = MOST_ROWS) -> subprocess.Popen[bytes]:
        """Begin `optimize` in a process of its own and of low priority, which outlives this one.

        Merging 100,000 chunks takes about 500 MB, which only the end of a process gives back.  The
        caller must not hold the writer lock, which the other process needs.  Ending it early loses
        nothing.
        """
        folders = self.index_dir.resolve(), self.vectors_dir.resolve()
        try:
            log = log_folder() / "maintenance.log"
            return spawn("mosearch.store", [*map(str, folders), str(ann_rows)], folders[0], log)
        except (OSError, HostError) as error:  # it says nothing of the tables
            raise StoreError(f"Small writes to {self.index_dir} cannot be merged now: {error}") from error

    quarantine = staticmethod(quarantine)

    # Helpers

    def _note_commit(self) -> None:
        (tables_folder(self.index_dir) / _COMMITTED).touch()

    def _time_of(self, note: str) -> float | None:
        try:
            return (tables_folder(self.index_dir) / note).stat().st_mtime
        except FileNotFoundError:
            return None

    @contextmanager
    def _writing(self, action: str) -> Iterator[None]:
        with self._writer.held(TIMEOUT), translated(action, self.index_dir):
            self._check_current()
            yield

    def _check_current(self) -> None:
        """Raises StoreDamagedError where others have built the tables anew: the files listed here have no
        chunks in those, and the chunks there would be dead by the list that is here."""
        now = stamp(self.index_dir)
        if now is None or now != self._stamp:
            check_generation(self.index_dir, self.generation)
            self._stamp = now

    def _consistent(self, read: Callable[[Snapshot], T]) -> T:
        """What `read` returns for a list of files that stayed the same meanwhile.

        Without this, a reader could look for a version of a file that was replaced and swept since.
        """
        files = self._tables.files

        def attempt() -> tuple[T, bool]:
            snapshot = files.snapshot()
            result = read(snapshot)
            is_current = files.version() == snapshot.version
            self._check_current()
            return result, is_current

        with translated("read the index", self.index_dir):
            for _ in range(ATTEMPTS):
                result, is_current = retried(attempt)
                if is_current:
                    break
            return result


def _within(filters: Filters, snapshot: Snapshot) -> Snapshot:
    """The files whose paths `filters` allow."""
    if not filters.path_globs:
        return snapshot
    paths = matching(snapshot.by_path, filters.path_globs)
    return replace(snapshot, by_path={path: snapshot.by_path[path] for path in paths})
