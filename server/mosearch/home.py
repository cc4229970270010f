"""Where the index of a workspace lies, under the user's cache folder, and opening what is there."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from contextlib import suppress
from pathlib import Path

from mosearch import parsing, ranking, store, workspace
from mosearch.errors import StoreDamagedError
from mosearch.settings import cache_dir
from mosearch.store import Store
from mosearch.types import ModelInfo

# Chunks, terms and rows of another version are never mixed with ours: they lie in a folder beside.
_CONTENT_VERSION = f"chunks{parsing.CHUNKING_VERSION}-terms{ranking.TERMS_VERSION}-rows{store.ROWS_VERSION}"
# An index that was used this recently, for another model or by another version, may still be in use.
_OUTDATED_S = 30 * 86_400.0


def index_dir(root: Path, model: ModelInfo) -> Path:
    """Digests of texts for an encoder that is told their language are others: they have a folder of their
    own."""
    folder = cache_dir() / "workspaces" / _folder_name(str(root), root.name)
    return folder / (_CONTENT_VERSION + ("-languages" if model.reads_language else ""))


def vectors_dir(root: Path) -> Path:
    """The worktrees of one repository share it."""
    key = workspace.repository_key(root)
    return cache_dir() / "vectors" / _folder_name(key, Path(key).name)


def open_store(index_dir: Path, vectors_dir: Path) -> Store:
    """What does not read back is moved aside and built anew.  Raises `StoreError`."""
    try:
        opened = Store.open(index_dir, vectors_dir)
    except StoreDamagedError:
        Store.quarantine(index_dir, vectors_dir)
        opened = Store.open(index_dir, vectors_dir)
    note_use(index_dir)
    return opened


def note_use(index_dir: Path) -> None:
    """Keep an index from being taken for outdated: its folder's own time says when it was last used."""
    with suppress(OSError):  # a read-only index is used all the same
        os.utime(index_dir)


def drop_outdated(index_dir: Path) -> None:
    """Delete what other models and versions of MoSEarch left beside it and nobody has used for a month."""
    with suppress(OSError):  # others may be at it, and the next time is as good
        for folder in index_dir.parent.iterdir():
            if folder != index_dir and time.time() - folder.stat().st_mtime > _OUTDATED_S:
                shutil.rmtree(folder, ignore_errors=True)


def _folder_name(identity: str, readable: str) -> str:
    """A folder name that a person recognises and that is unique to `identity`."""
    digest = hashlib.blake2b(identity.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
    safe = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in readable)[:40]
    return f"{safe}-{digest}"
