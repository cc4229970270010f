"""Running one of the programs that come with a registry."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from mosearch.errors import UsageError

_TIMEOUT_SECONDS = 300
_COMPLAINT = re.compile(r"^(?:ERROR:|E:|npm (?:error|ERR!)(?! code)).*\S", re.MULTILINE)


def run(command: Sequence[str], folder: Path, what: str) -> bytes:
    """What the command prints; `what` is it for.  Raises UsageError with what it complains of."""
    program = "pip" if command[0] == sys.executable else command[0]
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
    except FileNotFoundError as error:
        raise UsageError(f"{what} needs {program}, which is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise UsageError(f"{what} did not arrive within {_TIMEOUT_SECONDS} s of {program}") from error
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip()
        complaint = _COMPLAINT.search(said)
        reason = complaint[0] if complaint else said.rpartition("\n")[2] or f"exit code {done.returncode}"
        raise UsageError(f"{what} cannot be had by {program}: {reason}")
    return done.stdout
