"""Running git, which is never asked for a password and never changes how it writes a path."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from mosearch.errors import UsageError


def output(folder: Path, *arguments: str, asked: bytes = b"") -> bytes:
    """What git prints about the repository in `folder`, `asked` being its input.

    Raises UsageError with what git complains of, or where it is not installed.
    """
    command = ["git", "-C", str(folder), "-c", "core.quotePath=false", *arguments]
    try:
        done = subprocess.run(
            command,
            input=asked,
            # A host that knows no such repository would ask for a password instead of saying so.
            env={**os.environ, "GIT_TERMINAL_PROMPT": "0"},
            capture_output=True,
            check=False,
        )
    except FileNotFoundError as error:
        raise UsageError(f"{folder} cannot be read: git is not installed") from error
    if done.returncode:
        complaint = " ".join(done.stderr.decode("utf-8", "replace").split())
        raise UsageError(
            f"git {arguments[0]} failed in {folder}: {complaint or f'exit code {done.returncode}'}"
        )
    return done.stdout


def text(folder: Path, *arguments: str) -> str:
    """`output` as text; bytes that are no UTF-8 become surrogates."""
    return output(folder, *arguments).decode("utf-8", "surrogateescape")
