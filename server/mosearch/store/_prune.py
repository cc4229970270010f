"""Dropping vectors that no worktree uses any more.

The folder of vectors keeps a note of each index folder that uses it; a vector is unused when its digest
is live in none of them.
"""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

from mosearch.store._chunks import ChunksTable
from mosearch.store._files import FilesTable
from mosearch.store._folders import make_private, tables_folder
from mosearch.store._tables import Tables, connect
from mosearch.store._vectors import SECONDS_PER_DAY

_USERS = "users"
_LEAST_AGE_DAYS = 30
"""Young vectors stay: branches are switched back to, and deletions undone."""
_MOST_UNUSED_SHARE = 0.5


def register(index_dir: Path, vectors_dir: Path) -> None:
    """Notes that `index_dir` uses the vectors in `vectors_dir`."""
    folder = vectors_dir / _USERS
    path = str(index_dir.resolve())
    note = folder / hashlib.blake2b(path.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
    if not note.exists():
        make_private(folder)
        note.write_bytes(path.encode("utf-8", "surrogateescape"))


def prune(tables: Tables, vectors_dir: Path) -> int:
    """Deletes old vectors of unused digests where they are many; returns how many were unused."""
    own = len(tables.chunks.live_digests(None, tables.files.snapshot()))
    crowded = [t for t in tables.vectors.all().values() if t.rows() > (1 + _MOST_UNUSED_SHARE) * own]
    if not crowded:
        return 0
    live = _live_digests(vectors_dir)
    day = int(time.time()) // SECONDS_PER_DAY - _LEAST_AGE_DAYS
    total = 0
    for table in crowded:
        unused = table.all_digests() - live
        if len(unused) > _MOST_UNUSED_SHARE * len(live):
            table.delete_older(sorted(unused), day)
            total += len(unused)
    return total


def _live_digests(vectors_dir: Path) -> set[bytes]:
    """Digests that are live in any index noted here; notes of folders that are gone are removed."""
    live: set[bytes] = set()
    for note in (vectors_dir / _USERS).iterdir():
        folder = tables_folder(Path(note.read_bytes().decode("utf-8", "surrogateescape")))
        if not (folder / "meta.json").exists():
            note.unlink()
            continue
        connection = connect(folder)
        files = FilesTable(connection.open_table("files")).snapshot()
        live.update(ChunksTable(connection.open_table("chunks")).live_digests(None, files))
    return live
