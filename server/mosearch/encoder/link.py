"""One connection between client and host: whole messages in, whole messages out."""

from __future__ import annotations

import socket
from contextlib import suppress

from mosearch.encoder.protocol import MAX_FRAME_BYTES, CutShortError, Message, pack, read_message

_PIECE_BYTES = 1 << 18


class Link:
    """For one reading and one writing thread at a time.  It never reads ahead of a message."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self.pid = 0
        """The process at the other end, where it has said so."""

    def send(self, message: Message) -> None:
        """Raises OSError when the other side is gone."""
        self._socket.sendall(pack(message))

    def receive(self, limit: int = MAX_FRAME_BYTES) -> Message:
        """Raises OSError when the other side is gone, ProtocolError when it talks nonsense."""
        try:
            message = read_message(self._read, limit)
        except CutShortError as error:  # it died while it wrote
            raise ConnectionResetError(str(error)) from error
        if message is None:
            raise ConnectionResetError("the other side closed the connection")
        return message

    def is_readable(self, seconds: float) -> bool:
        """Whether a message, or the end of the connection, arrives in that time."""
        before = self._socket.gettimeout()
        self._socket.settimeout(seconds)
        try:
            # Not `select`, which knows no descriptors above 1023.
            self._socket.recv(1, socket.MSG_PEEK)
        except (TimeoutError, BlockingIOError):
            return False
        except ConnectionError:
            return True
        finally:
            self._socket.settimeout(before)
        return True

    def set_timeout(self, seconds: float | None) -> None:
        self._socket.settimeout(seconds)

    def close(self) -> None:
        """Wakes up a thread that is reading or writing, too."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _read(self, size: int) -> bytes:
        """Takes memory as data arrives: a size is only what the other side says."""
        data = bytearray()
        while len(data) < size:
            piece = self._socket.recv(min(size - len(data), _PIECE_BYTES))
            if not piece:
                break
            data += piece
        return bytes(data)
