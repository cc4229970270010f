"""How a client finds a running server: a small private file that says where it listens, and the token.

The file is written by the server once it can answer.  A Unix socket is used where there are such; elsewhere
the server listens on the loopback interface, and the token is what keeps others out.
"""

from __future__ import annotations

import json
import os
import socket
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

_QUEUE_SECONDS = 0.005


@dataclass(frozen=True, slots=True)
class Address:
    path: str
    """Of the Unix socket; empty for TCP."""
    port: int
    """On 127.0.0.1; 0 for a Unix socket."""
    token: str

    def dial(self, timeout: float) -> socket.socket:
        """A connected socket.  Raises OSError."""
        if self.path:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            target: str | tuple[str, int] = self.path
        else:
            connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            target = ("127.0.0.1", self.port)
        try:
            connection.settimeout(timeout)
            deadline = time.monotonic() + timeout
            while True:
                try:
                    connection.connect(target)
                    break
                except BlockingIOError:  # Others wait to be let in: a Unix socket's queue is full.
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(_QUEUE_SECONDS)
        except OSError:
            connection.close()
            raise
        return connection


def read_address(file: Path) -> Address | None:
    """None when no server has written one, or what is there is no address."""
    with suppress(OSError, ValueError, TypeError):
        return Address(**json.loads(file.read_text("utf-8")))
    return None


def write_address(file: Path, address: Address) -> None:
    """Whole or not at all, and readable by the user alone."""
    draft = file.with_name(f"{file.name}.{os.getpid()}")
    with suppress(FileNotFoundError):
        draft.unlink()
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(json.dumps(asdict(address)))
    draft.replace(file)
