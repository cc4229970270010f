"""Dropping vectors that no worktree uses any more.

The folder of vectors keeps a note of each index folder that uses it; a vector is unused when its digest
is live in none of them.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Collection, Iterator, Sequence
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
from mosearch.store._vectors import SECONDS_PER_DAY, VectorTable

_USERS = "users"
_MODELS = "models"
_LEAST_AGE_DAYS = 30
"""Young vectors stay: branches are switched back to, deletions undone, models tried and compared."""
_MOST_UNUSED_SHARE = 0.5
_TOO_MANY_UNUSED_SHARE = 0.8
"""With two exits, chunks and vectors then take half as much again as they would without."""
_PATIENCE_S = 1.0
"""Who wants to add vectors waits meanwhile."""
_FEW_UNUSED = 2_000
"""Fewer take a megabyte or two: nothing is gained by dropping them."""


def register(index_dir: Path, vectors_dir: Path) -> None:
    """Notes that `index_dir` uses the vectors in `vectors_dir`."""
    folder = vectors_dir / _USERS
    path = str(index_dir.resolve())
    note = folder / hashlib.blake2b(path.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
    if not note.exists():
        make_private(folder)
        note.write_bytes(path.encode("utf-8", "surrogateescape"))


def note_model(vectors_dir: Path, key: str) -> None:
    """Notes that a model is in use today; `key` names its tables."""
    note = vectors_dir / _MODELS / key
    with suppress(OSError):  # a read-only index is used all the same
        if not note.exists() or time.time() - note.stat().st_mtime > SECONDS_PER_DAY:
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
        elif not least_age_days or time.time() - note.stat().st_mtime >= least_age_days * SECONDS_PER_DAY:
            tables.vectors.drop(key, exit)
            dropped += 1
    return dropped


def prune(tables: Tables, vectors_dir: Path) -> int:
    """Deletes vectors of unused digests where they are many, the oldest first; returns how many.

    Meanwhile nobody may commit chunks: they would count on vectors that are just being dropped.  Where
    somebody is at it for long, nothing is deleted this time.
    """
    drop_models(tables, vectors_dir, (), _LEAST_AGE_DAYS)
    own = len(np.unique(tables.chunks.directory(tables.files.snapshot()).keys))
    crowded = [t for t in tables.vectors.all().values() if t.rows() > (1 + _MOST_UNUSED_SHARE) * own]
    if not crowded:
        return 0
    indexes = list(_users(vectors_dir))
    with suppress(StoreLockedError), ExitStack() as stack:
        for index_dir in indexes:
            stack.enter_context(ProcessLock(index_dir / "writer.lock").held(_PATIENCE_S))
        return _drop_unused(crowded, _live_digests(indexes))
    return 0


def _drop_unused(tables: Collection[VectorTable], live: Collection[bytes]) -> int:
    today = int(time.time()) // SECONDS_PER_DAY
    total = 0
    for table in tables:
        unused = [(digest, day) for digest, day in table.days() if digest not in live]
        surplus = _surplus(unused, len(live), today)
        table.delete(sorted(surplus))
        total += len(surplus)
    return total


def _surplus(unused: Sequence[tuple[bytes, int]], live: int, today: int) -> list[bytes]:
    """Which of the unused (digest, day) may go.

    Few of them stay, many stay for a month.  Nearly as many as are in use, or more, are thinned out to half
    of that whatever their age: the disk is not for texts that nobody has any more.
    """
    most = max(int(_TOO_MANY_UNUSED_SHARE * live), _FEW_UNUSED)
    if len(unused) <= _MOST_UNUSED_SHARE * live:
        return []
    if len(unused) <= most:
        return [digest for digest, day in unused if day < today - _LEAST_AGE_DAYS]
    newest_first = sorted(unused, key=lambda item: -item[1])
    return [digest for digest, _ in newest_first[int(_MOST_UNUSED_SHARE * max(live, _FEW_UNUSED)) :]]


def _users(vectors_dir: Path) -> Iterator[Path]:
    """The index folders noted here; notes of those that are gone are removed."""
    for note in (vectors_dir / _USERS).iterdir():
        index_dir = Path(note.read_bytes().decode("utf-8", "surrogateescape"))
        if (tables_folder(index_dir) / "meta.json").exists():
            yield index_dir
        else:
            note.unlink()


def _live_digests(index_dirs: Sequence[Path]) -> set[bytes]:
    """Digests that are live in any of these indexes."""
    live: set[bytes] = set()
    for index_dir in index_dirs:
        connection = connect(tables_folder(index_dir), new_session())
        files = FilesTable(connection.open_table("files")).snapshot()
        digests = ChunksTable(connection.open_table("chunks")).live_digests(None, files)
        live.update(row.tobytes() for row in digests)
    return live
