"""Keeping the tables small and fast: compaction, indices, old versions."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from mosearch.errors import StoreLockedError
from mosearch.store._locks import ProcessLock
from mosearch.store._tables import Tables

_MOST_FRAGMENTS = 64
"""Each write leaves a fragment; queries slow down from about a hundred on."""
_MOST_DEAD_SHARE = 0.3
_FEW_ROWS = 1_000

_OLD = timedelta(minutes=1)
"""A version may be read by a query that is under way in another process; none takes so long."""


def is_due(tables: Tables) -> bool:
    fragments = [tables.files.fragments(), tables.chunks.fragments()]
    fragments += [table.fragments() for table in tables.vectors.all().values()]
    if max(fragments) > _MOST_FRAGMENTS:
        return True
    rows = tables.chunks.rows()
    dead = rows - tables.files.snapshot().chunks
    return dead > max(_FEW_ROWS, _MOST_DEAD_SHARE * rows)


def optimize(tables: Tables, writer: ProcessLock, index_dir: Path, vectors_dir: Path, ann_rows: int) -> bool:
    """Only `files`, which is small, is locked against writers; appends elsewhere go on meanwhile."""
    try:
        with ProcessLock(index_dir / "maintenance.lock").held(0):
            tables.chunks.optimize(cleanup_older_than=_OLD)
            with writer.held(10.0):
                tables.files.optimize(cleanup_older_than=_OLD)
        with ProcessLock(vectors_dir / "maintenance.lock").held(0):
            for table in tables.vectors.all().values():
                table.optimize(ann_rows, cleanup_older_than=_OLD)
    except StoreLockedError:
        return False
    return True
