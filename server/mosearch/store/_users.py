"""Which index folders use a folder of vectors: it keeps a note of each."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from mosearch.private import make_private
from mosearch.store._folders import tables_folder, write_whole

_USERS = "users"
_VECTORS = "vectors_folder"
"""In an index folder: which vectors it uses now.  They are others after `git init`."""


def register(index_dir: Path, vectors_dir: Path) -> None:
    """Notes that `index_dir` uses the vectors in `vectors_dir`."""
    used = os.fsencode(vectors_dir.resolve())
    if _vectors_of(index_dir) != used:
        with suppress(OSError):  # an index that can only be read still answers
            write_whole(index_dir / _VECTORS, used)
    folder = vectors_dir / _USERS
    path = os.fsencode(index_dir.resolve())
    note = folder / hashlib.blake2b(path, digest_size=8).hexdigest()
    if not note.exists():
        make_private(folder)
        note.write_bytes(path)


def users(vectors_dir: Path) -> Iterator[Path]:
    """The index folders noted here; notes of those that are gone, or use other vectors now, are removed.

    Raises OSError.
    """
    folder = vectors_dir / _USERS
    for note in folder.iterdir() if folder.is_dir() else ():
        index_dir = Path(os.fsdecode(note.read_bytes()))
        used = _vectors_of(index_dir)
        is_ours = used is None or used == os.fsencode(vectors_dir.resolve())
        if is_ours and (tables_folder(index_dir) / "meta.json").exists():
            yield index_dir
        else:
            note.unlink()


def _vectors_of(index_dir: Path) -> bytes | None:
    try:
        return (index_dir / _VECTORS).read_bytes()
    except OSError:
        return None
