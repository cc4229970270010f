"""Which index folders use a folder of vectors: it keeps a note of each."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from mosearch.private import make_private
from mosearch.store._folders import tables_folder

_USERS = "users"


def register(index_dir: Path, vectors_dir: Path) -> None:
    """Notes that `index_dir` uses the vectors in `vectors_dir`."""
    folder = vectors_dir / _USERS
    path = str(index_dir.resolve())
    note = folder / hashlib.blake2b(path.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
    if not note.exists():
        make_private(folder)
        note.write_bytes(path.encode("utf-8", "surrogateescape"))


def users(vectors_dir: Path) -> Iterator[Path]:
    """The index folders noted here; notes of those that are gone are removed.  Raises OSError."""
    folder = vectors_dir / _USERS
    for note in folder.iterdir() if folder.is_dir() else ():
        index_dir = Path(note.read_bytes().decode("utf-8", "surrogateescape"))
        if (tables_folder(index_dir) / "meta.json").exists():
            yield index_dir
        else:
            note.unlink()
