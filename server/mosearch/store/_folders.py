"""Where things lie inside the two folders."""

from __future__ import annotations

import json
import os
import secrets
from contextlib import suppress
from pathlib import Path

from mosearch.errors import StoreDamagedError

SCHEMA_VERSION = 1
"""Part of the folder's name: tables of another schema lie in another folder and are never read."""

_META = "meta.json"
SET_ASIDE = "damaged-"
"""Begins the names of what `_quarantine` moved out of the way."""


def tables_folder(folder: Path) -> Path:
    return folder / f"v{SCHEMA_VERSION}"


def folder_bytes(folder: Path | str) -> int:
    """Bytes of all files below `folder`; files that vanish meanwhile count as zero."""
    total = 0
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):
                is_folder = entry.is_dir(follow_symlinks=False)
                total += folder_bytes(entry.path) if is_folder else entry.stat(follow_symlinks=False).st_size
    return total


def most_versions(folder: Path) -> int:
    """How many versions the table below `folder` keeps that keeps most; 0 where there is none."""
    tables = (path for path in tables_folder(folder).glob("*.lance") if not path.name.startswith(SET_ASIDE))
    kept = (path / "_versions" for path in tables)
    return max((len([*path.iterdir()]) for path in kept if path.is_dir()), default=0)


def generation(index_dir: Path) -> str | None:
    """The random name given to the tables when they were created; None when there are none.

    Raises StoreDamagedError when the note is unreadable or of another schema.
    """
    path = tables_folder(index_dir) / _META
    try:
        meta = json.loads(path.read_text("utf-8"))
        if meta["schema"] == SCHEMA_VERSION:
            return str(meta["generation"])
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError):
        pass
    raise StoreDamagedError(f"{path} is not a note of this program. The index has to be built again.")


def check_generation(index_dir: Path, name: str) -> None:
    """Raises StoreDamagedError where the tables of this name are no longer those of the index."""
    if generation(index_dir) != name:
        raise StoreDamagedError(
            f"The index in {index_dir} was removed or built anew meanwhile. It has to be opened again."
        )


def stamp(index_dir: Path) -> tuple[int, int] | None:
    """What tells one note of the tables' name from another; None where there is none.  Raises OSError."""
    try:
        status = (tables_folder(index_dir) / _META).stat()
    except FileNotFoundError:
        return None
    return status.st_mtime_ns, status.st_ino


def write_generation(index_dir: Path) -> str:
    """Names new tables."""
    path = tables_folder(index_dir) / _META
    name = secrets.token_hex(8)
    write_whole(path, (json.dumps({"schema": SCHEMA_VERSION, "generation": name}) + "\n").encode())
    return name


def write_whole(path: Path, content: bytes) -> None:
    """Replaces a file in one step.  Raises OSError."""
    draft = path.with_suffix(".tmp")
    draft.write_bytes(content)
    draft.replace(path)
