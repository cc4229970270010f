"""The server's end: a socket that only this user can connect to, or a loopback port behind a token."""

from __future__ import annotations

import os
import secrets
import socket
from pathlib import Path

from mosearch.ipc.address import Address


def listen(file: Path, use_tcp: bool) -> tuple[socket.socket, Address]:
    """A listening socket, named after the address `file`, and the address to write there.  Raises OSError."""
    token = secrets.token_hex(16)
    if use_tcp:
        listener = socket.create_server(("127.0.0.1", 0))
        return listener, Address("", listener.getsockname()[1], token)
    path = file.with_suffix(".sock")
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # The folder is private already; the mode says so for the socket itself from its first moment.
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(before)
    listener.listen()
    return listener, Address(str(path), 0, token)


def remove_socket(address: Address) -> None:
    if address.path:
        Path(address.path).unlink(missing_ok=True)
