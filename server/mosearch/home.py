"""Where the index of a workspace lies, under the user's cache folder, and opening what is there."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import time
from contextlib import suppress
from pathlib import Path

from mosearch import parsing, ranking, store, workspace
from mosearch.errors import StoreDamagedError
from mosearch.private import make_cache
from mosearch.settings import cache_dir
from mosearch.store import Store
from mosearch.types import ModelInfo

# Chunks, terms and rows of another version are never mixed with ours: they lie in a folder beside.
_CONTENT_VERSION = f"chunks{parsing.CHUNKING_VERSION}-terms{ranking.TERMS_VERSION}-rows{store.ROWS_VERSION}"
_ROOT = "root"
_LOOKED = "looked"
_DAY_S = 86_400.0
# An index that was used this recently, for another model or by another version, may still be in use.
_OUTDATED_S = 30 * _DAY_S

_log = logging.getLogger(__name__)


def index_dir(root: Path, model: ModelInfo) -> Path:
    """Digests of texts for an encoder that is told their language are others: they have a folder of their
    own."""
    folder = cache_dir() / "workspaces" / _folder_name(str(root), root.name)
    return folder / (_CONTENT_VERSION + ("-languages" if model.reads_language else ""))


def vectors_dir(root: Path) -> Path:
    """The worktrees of one repository share it."""
    key = workspace.repository_key(root)
    return cache_dir() / "vectors" / _folder_name(key, Path(key).name)


def open_store(root: Path, index_dir: Path, vectors_dir: Path) -> Store:
    """What does not read back is moved aside and built anew.  Raises `StoreError`."""
    with suppress(OSError):  # opening it tells what is wrong
        for folder in (index_dir.parent.parent, vectors_dir.parent):
            make_cache(folder)
    try:
        opened = Store.open(index_dir, vectors_dir)
    except StoreDamagedError as error:
        _log.warning("%s", error)
        Store.quarantine(index_dir, vectors_dir)
        opened = Store.open(index_dir, vectors_dir)
    note_use(index_dir)
    note = index_dir.parent / _ROOT
    with suppress(OSError):
        if not note.exists():
            note.write_bytes(os.fsencode(root))
    return opened


def note_use(index_dir: Path) -> None:
    """Keep an index from being taken for outdated: its folder's own time says when it was last used."""
    with suppress(OSError):  # a read-only index is used all the same
        os.utime(index_dir)


def drop_outdated(index_dir: Path) -> None:
    """Delete what other models and versions of MoSEarch left beside it and nobody has used for a month."""
    with suppress(OSError):  # others may be at it, and the next time is as good
        for folder in index_dir.parent.iterdir():
            if folder.is_dir() and folder != index_dir and _is_old(folder.stat().st_mtime):
                shutil.rmtree(folder, ignore_errors=True)


def drop_forsaken() -> None:
    """Delete indexes of folders that are gone and that nobody used for a month, and vectors of no index.

    Looks once a day at most.
    """
    indexes, vectors = cache_dir() / "workspaces", cache_dir() / "vectors"
    looked = indexes / _LOOKED
    with suppress(OSError):
        if looked.exists() and time.time() - looked.stat().st_mtime < _DAY_S:
            return
        looked.touch()
        for folder in filter(Path.is_dir, indexes.iterdir()):
            root = folder / _ROOT
            if root.exists() and not os.path.lexists(root.read_bytes()) and _is_outdated(folder):
                shutil.rmtree(folder, ignore_errors=True)
        for folder in filter(Path.is_dir, vectors.iterdir()):
            if not any(store.users(folder)) and _is_outdated(folder):
                shutil.rmtree(folder, ignore_errors=True)


def _is_outdated(folder: Path) -> bool:
    last = max((path.stat().st_mtime for path in folder.iterdir()), default=folder.stat().st_mtime)
    return _is_old(last)


def _is_old(when: float) -> bool:
    return time.time() - when > _OUTDATED_S


def _folder_name(identity: str, readable: str) -> str:
    """A folder name that a person recognises and that is unique to `identity`."""
    digest = hashlib.blake2b(identity.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
    safe = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in readable)[:40]
    return f"{safe}-{digest}"
