"""What goes over the socket: one JSON value a line, in either direction."""

from __future__ import annotations

import json
import socket
from typing import Any

MAX_REQUEST_BYTES = 4 << 20
"""Code to compare with is the largest thing a request holds."""
MAX_ANSWER_BYTES = 64 << 20


class Lines:
    """One end of a connection.  Reading raises OSError when the other side is gone or sends no JSON line."""

    def __init__(self, connection: socket.socket, limit: int) -> None:
        self._socket = connection
        self._limit = limit
        self._reader = connection.makefile("rb")

    def send(self, value: dict[str, Any]) -> None:
        self._socket.sendall(json.dumps(value).encode() + b"\n")

    def receive(self) -> dict[str, Any]:
        line = self._reader.readline(self._limit)
        if not line.endswith(b"\n"):
            raise ConnectionResetError("the other side closed the connection, or sent too much")
        try:
            value = json.loads(line)
        except ValueError as error:
            raise ConnectionResetError("the other side sent no JSON") from error
        if not isinstance(value, dict):
            raise ConnectionResetError("the other side sent no JSON object")
        return value

    def set_timeout(self, seconds: float | None) -> None:
        self._socket.settimeout(seconds)

    def close(self) -> None:
        self._reader.close()
        self._socket.close()
