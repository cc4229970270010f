"""How a client finds a running host: a small private file that says where it listens, and the token.

The file is written by the host once it can answer.  A Unix socket is used where there are such; elsewhere
the host listens on the loopback interface, and the token is what keeps others out.
"""

from __future__ import annotations

import json
import os
import re
import socket
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from mosearch.encoder.places import MAX_SOCKET_PATH, RUNTIME_VARIABLE
from mosearch.encoder.protocol import PROTOCOL_VERSION
from mosearch.errors import HostError


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
            connection.connect(target)
        except OSError:
            connection.close()
            raise
        return connection


def address_file(runtime: Path, fingerprint: str, device: str) -> Path:
    """One name per model, device and protocol, so that hosts that differ in these live side by side."""
    place = re.sub(r"[^a-z0-9]", "", device.lower())[:8]
    file = runtime / f"mose-{fingerprint[:16]}-{place}-{PROTOCOL_VERSION}.json"
    if len(os.fsencode(file)) > MAX_SOCKET_PATH:
        raise HostError(
            f"{runtime} is too long a path for a socket. Set {RUNTIME_VARIABLE} to a shorter one."
        )
    return file


def read_address(file: Path) -> Address | None:
    """None when no host has written one, or what is there is no address."""
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
