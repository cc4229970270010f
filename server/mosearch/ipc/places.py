"""Where the encoder keeps its socket, its log and its cache.  Each folder is private to the user."""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from pathlib import Path

import platformdirs

from mosearch.errors import HostError
from mosearch.private import make_cache, make_private
from mosearch.settings import cache_dir, folder_from

RUNTIME_VARIABLE = "MOSEARCH_RUNTIME_DIR"

_MAX_SOCKET_PATH = 100
"""Bytes.  The kernel's limit is 108 on Linux and 104 on macOS, the final NUL included."""
_LONGEST_FILE_NAME = 40


def runtime_folder() -> Path:
    """An existing folder (0700, ours) whose path is short enough for a socket.

    Raises HostError, or SettingsError for a variable that names no whole path.
    """
    if chosen := folder_from(RUNTIME_VARIABLE):
        return _made_private(chosen)
    # Without the variable, platformdirs warns and names a folder that nobody has made private.
    if sys.platform != "linux" or "XDG_RUNTIME_DIR" in os.environ:
        usual = Path(platformdirs.user_runtime_dir("mosearch", appauthor=False))
        if usual.parent.is_dir() and os.access(usual.parent, os.W_OK) and _fits(usual):
            return _made_private(usual)
    return _made_private(Path(tempfile.gettempdir()) / f"mosearch-{_user_id()}")


def address_path(runtime: Path, name: str) -> Path:
    """The file of this name, beside which a socket will lie.  Raises HostError where its path is too long."""
    file = runtime / name
    if len(os.fsencode(file)) > _MAX_SOCKET_PATH:
        raise HostError(
            f"{runtime} is too long a path for a socket. Set {RUNTIME_VARIABLE} to a shorter one."
        )
    return file


def log_folder() -> Path:
    """Raises HostError."""
    try:
        make_cache(cache_dir() / "log")
    except OSError as error:
        raise HostError(
            f"Cannot use {cache_dir() / 'log'}: {error}. Set MOSEARCH_CACHE_DIR to a folder of yours."
        ) from error
    return cache_dir() / "log"


def _fits(folder: Path) -> bool:
    return len(os.fsencode(folder)) + 1 + _LONGEST_FILE_NAME <= _MAX_SOCKET_PATH


def _user_id() -> str:
    return str(os.getuid()) if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")


def _made_private(folder: Path) -> Path:
    """Make the folder if need be, and refuse one that somebody else could write to."""
    try:
        if not os.path.lexists(folder):
            make_private(folder)
        if hasattr(os, "getuid"):
            found = folder.lstat()
            if stat.S_ISLNK(found.st_mode) or found.st_uid != os.getuid():
                raise HostError(
                    f"{folder} belongs to another user or is a link. Remove it, or set {RUNTIME_VARIABLE}."
                )
        make_private(folder)
    except OSError as error:
        raise HostError(
            f"Cannot use {folder}: {error}. Set {RUNTIME_VARIABLE} to a folder of yours."
        ) from error
    return folder
