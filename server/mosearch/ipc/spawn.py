"""Starting a process that outlives its parent and writes to a log of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

_MAX_LOG_BYTES = 1 << 20
_TAIL_CHARACTERS = 2000


def spawn(
    module: str, arguments: Sequence[str], folder: Path, log: Path, defaults: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Run `python -m module` in `folder`; `defaults` are environment variables where none is set.

    `-m` makes the working folder importable: it must be one that nobody else can write to.  Raises OSError.
    """
    with _open_log(log) as output:
        return subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=folder,
            env={**(defaults or {}), **os.environ},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            **detached(),
        )


def log_tail(log: Path) -> str:
    """The end of a log, in words that can stand in a message."""
    try:
        text = log.read_text("utf-8", "replace").strip()
    except OSError as error:
        return f"Its log {log} cannot be read: {error}."
    return f"The end of its log, {log}:\n{text[-_TAIL_CHARACTERS:]}"


def detached() -> dict[str, Any]:
    """A session of its own, so that Ctrl+C and the end of the client do not reach the process."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


def _open_log(log: Path) -> IO[bytes]:
    too_long = log.exists() and log.stat().st_size > _MAX_LOG_BYTES
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | (os.O_TRUNC if too_long else 0)
    return os.fdopen(os.open(log, flags, 0o600), "ab")
