"""Dropping vectors that no worktree uses any more: those whose digests are live in none of them."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np

from mosearch.errors import StoreLockedError
from mosearch.private import make_private
from mosearch.store._chunks import ChunksTable
from mosearch.store._files import FilesTable
from mosearch.store._folders import tables_folder
from mosearch.store._locks import ProcessLock
from mosearch.store._tables import Tables, connect, new_session
from mosearch.store._users import users
from mosearch.store._vectors import SECONDS_PER_DAY, VectorTable

_MOST_LIVE = "most-live"
_ALIKE = 0.9
"""A share of the most that counts as that many again."""
_MODELS = "models"
_LEAST_AGE_DAYS = 30
"""Young vectors stay: branches are switched back to, deletions undone, models tried and compared."""
_MOST_UNUSED_SHARE = 0.5
_TOO_MANY_UNUSED_SHARE = 0.8
"""With two exits, chunks and vectors then take half as much again as they would without.  Shares are those of
the most texts that were live at once within a month: a branch that holds little is soon left again."""
_PATIENCE_S = 1.0
"""Who wants to add vectors waits meanwhile."""
_FEW_UNUSED = 2_000
"""Fewer take a megabyte or two: nothing is gained by dropping them."""


def note_model(vectors_dir: Path, key: str) -> None:
    """Notes that a model is in use today; `key` names its tables."""
    note = vectors_dir / _MODELS / key
    with suppress(OSError):  # a read-only index is used all the same
        if _is_older(note, 1):
            make_private(note.parent)
            note.touch()


def drop_models(tables: Tables, vectors_dir: Path, kept: Collection[str], least_age_days: float) -> int:
    """Removes the tables of models not in `kept` that nobody used for so long; returns how many."""
    dropped = 0
    for key, exit in tables.vectors.all():
        note = vectors_dir / _MODELS / key
        if key in kept:
            continue
        if least_age_days and not note.exists():
            note_model(vectors_dir, key)  # from an earlier version: its month begins now
        elif not least_age_days or _is_older(note, least_age_days):
            tables.vectors.drop(key, exit)
            dropped += 1
    return dropped


def prune(tables: Tables, vectors_dir: Path) -> int:
    """Deletes vectors of unused digests where they are many, the oldest first; returns how many.

    Meanwhile nobody may commit chunks: they would count on vectors that are just being dropped.  Where
    somebody is at it for long, nothing is deleted this time.
    """
    drop_models(tables, vectors_dir, (), _LEAST_AGE_DAYS)
    most = _most_live(vectors_dir, _live(tables))
    crowded = [t for t in tables.vectors.all().values() if t.rows() > (1 + _MOST_UNUSED_SHARE) * most]
    if not crowded:
        return 0
    indexes = list(users(vectors_dir))
    with suppress(StoreLockedError), ExitStack() as stack:
        for index_dir in indexes:
            stack.enter_context(ProcessLock(index_dir / "writer.lock").held(_PATIENCE_S))
        live = _live_digests(indexes)
        return 0 if live is None else _drop_unused(crowded, live, most)
    return 0


def note_live(tables: Tables, vectors_dir: Path) -> None:
    """Notes, once a day, how many texts are live: see `prune`."""
    note = vectors_dir / _MOST_LIVE
    with suppress(OSError):
        if _is_older(note, 1):
            _most_live(vectors_dir, _live(tables))


def _is_older(note: Path, days: float) -> bool:
    """Whether a note was written so long ago, or never.  Raises OSError."""
    return not note.exists() or time.time() - note.stat().st_mtime >= days * SECONDS_PER_DAY


def _live(tables: Tables) -> int:
    return len(np.unique(tables.chunks.directory(tables.files.snapshot()).keys))


def _most_live(vectors_dir: Path, live: int) -> int:
    """The most texts that were live at once within a month, `live` now among them."""
    note = vectors_dir / _MOST_LIVE
    with suppress(OSError, ValueError):
        noted = int(note.read_text("ascii"))
        if live < _ALIKE * noted and not _is_older(note, _LEAST_AGE_DAYS):
            return noted
    with suppress(OSError):
        note.write_text(str(live), "ascii")
    return live


def _drop_unused(tables: Collection[VectorTable], live: Collection[bytes], most: int) -> int:
    today = int(time.time()) // SECONDS_PER_DAY
    total = 0
    for table in tables:
        unused = [(digest, day) for digest, day in table.days() if digest not in live]
        surplus = _surplus(unused, len(live), max(most, len(live)), today)
        table.delete(sorted(surplus))
        total += len(surplus)
    return total


def _surplus(unused: Sequence[tuple[bytes, int]], live: int, most: int, today: int) -> list[bytes]:
    """Which of the unused (digest, day) may go, where `most` were live at once within a month.

    Few of them stay, many stay for a month.  Nearly as many as were in use, or more, are thinned out to half
    of that whatever their age: the disk is not for texts that nobody has any more.
    """
    beside = most - live
    few = beside + int(_MOST_UNUSED_SHARE * most)
    if len(unused) <= few:
        return []
    if len(unused) <= max(beside + int(_TOO_MANY_UNUSED_SHARE * most), _FEW_UNUSED):
        return [digest for digest, day in unused if day < today - _LEAST_AGE_DAYS]
    newest_first = sorted(unused, key=lambda item: -item[1])
    return [digest for digest, _ in newest_first[max(few, int(_MOST_UNUSED_SHARE * _FEW_UNUSED)) :]]


def _live_digests(index_dirs: Sequence[Path]) -> set[bytes] | None:
    """Digests that are live in any of these indexes; None where one does not read back, which may use any."""
    live: set[bytes] = set()
    for index_dir in index_dirs:
        try:
            connection = connect(tables_folder(index_dir), new_session())
            files = FilesTable(connection.open_table("files")).snapshot()
            digests = ChunksTable(connection.open_table("chunks")).live_digests(None, files)
        except (RuntimeError, ValueError, OSError, LookupError):
            return None
        live.update(row.tobytes() for row in digests)
    return live
