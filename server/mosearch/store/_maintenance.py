"""Keeping the tables small and fast: compaction, indices, old versions."""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path

from mosearch.store._chunks import MANY_ROWS
from mosearch.store._folders import check_generation, most_versions, tables_folder
from mosearch.store._locks import TIMEOUT, ProcessLock
from mosearch.store._prune import prune
from mosearch.store._quarantine import drop_set_aside
from mosearch.store._tables import Tables

_MOST_FRAGMENTS = 64
"""Each write leaves a fragment, and each costs every query a little."""
_MOST_VERSIONS = 256
"""Each write leaves one, with files of its own, also one that leaves no fragment, such as another time of a
file that has no chunks."""
_MOST_DEAD_SHARE = 0.3
_MOST_UNINDEXED_SHARE = 0.1
_FEW_ROWS = 1_000

_CLEAN = {"cleanup_older_than": timedelta(milliseconds=1), "delete_unverified": True}
"""No old version is kept: a reader who finds that its own is gone reads the newest one instead.  A
writer could not, so writers are locked out while old versions are removed.  That nobody writes also tells
what no version knows of: a killed process left it, and LanceDB would keep it for a week."""


def is_due(tables: Tables, index_dir: Path, vectors_dir: Path, ann_rows: int) -> bool:
    vectors = tables.vectors.all().values()
    fragments = [tables.files.fragments(), tables.chunks.fragments(), *(t.fragments() for t in vectors)]
    if max(fragments) > _MOST_FRAGMENTS or any(table.needs_index(ann_rows) for table in vectors):
        return True
    if max(most_versions(index_dir), most_versions(vectors_dir)) > _MOST_VERSIONS:
        return True
    rows = tables.chunks.rows()
    if tables.chunks.unindexed() > max(_FEW_ROWS, _MOST_UNINDEXED_SHARE * rows):
        return True
    dead = rows - tables.files.snapshot().chunks
    return dead > max(_FEW_ROWS, _MOST_DEAD_SHARE * rows)


def index_words(tables: Tables, index_dir: Path) -> None:
    """Brings the full-text index up to date where as much is outside it as inside.

    For a writer of many chunks, so that questions stay quick meanwhile; all such merges together cost
    twice the last one.  Raises StoreLockedError when another process is at it.
    """
    if tables.chunks.unindexed() > max(MANY_ROWS, tables.chunks.rows() // 2):
        with _alone(index_dir):
            check_generation(index_dir, tables.generation)
            tables.chunks.optimize()


def sweep(tables: Tables, writer: ProcessLock, index_dir: Path) -> int:
    """Deletes dead chunks; locks out compaction, which could not be committed after a deletion."""
    with _alone(index_dir), writer.held(TIMEOUT):
        check_generation(index_dir, tables.generation)
        return tables.chunks.delete_dead(tables.files.snapshot())


def optimize(
    tables: Tables,
    writer: ProcessLock,
    vectors_writer: ProcessLock,
    index_dir: Path,
    vectors_dir: Path,
    ann_rows: int,
) -> None:
    """The long part lets writers go on; the short end of it does not.

    Raises StoreLockedError when another process is at it.
    """
    with _alone(index_dir):
        sweep(tables, writer, index_dir)
        tables.chunks.optimize()
        with writer.held(TIMEOUT):
            check_generation(index_dir, tables.generation)
            tables.chunks.optimize(**_CLEAN)
            tables.files.optimize(**_CLEAN)
        drop_set_aside(index_dir)
    with _alone(vectors_dir):
        drop_set_aside(tables_folder(vectors_dir))
        _optimize_vectors(tables, vectors_writer, vectors_dir, ann_rows)


def _alone(folder: Path) -> AbstractContextManager[None]:
    return ProcessLock(folder / "maintenance.lock").held(0)


def _optimize_vectors(tables: Tables, writer: ProcessLock, vectors_dir: Path, ann_rows: int) -> None:
    with writer.held(TIMEOUT):
        prune(tables, vectors_dir)
    for table in tables.vectors.all().values():
        table.optimize()
        table.build_index(ann_rows)
        with writer.held(TIMEOUT):
            table.optimize(**_CLEAN)
