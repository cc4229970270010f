"""The serving end: answers requests from one open engine until nobody has asked for a while."""

from __future__ import annotations

import logging
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from mosearch import ipc
from mosearch.errors import MosearchError
from mosearch.resident.lines import MAX_REQUEST_BYTES, Lines
from mosearch.resident.requests import Request, answer

if TYPE_CHECKING:
    from mosearch.engine import Engine

_log = logging.getLogger(__name__)

# Whoever connects says at once what is wanted.
_GREETING_SECONDS = 2.0
_SIGN_OF_LIFE_SECONDS = 1.0
_CHECK_SECONDS = 0.5
_PROGRESS_SECONDS = 0.1


class Resident:
    """Answers for one engine on a private socket, each connection in a thread of its own."""

    def __init__(self, engine: Engine, file: Path, *, use_tcp: bool) -> None:
        """Raises OSError when it cannot listen."""
        self._engine = engine
        self._file = file
        self._listener, self._address = ipc.listen(file, use_tcp)
        ipc.write_address(file, self._address)
        self._running = 0
        self._last_used = time.monotonic()
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, name="mosearch-resident", daemon=True).start()

    def wait(self, idle_seconds: float) -> str:
        """Serve until there is a reason to leave, which is returned."""
        while True:
            time.sleep(_CHECK_SECONDS)
            if not self._running and time.monotonic() - self._last_used > idle_seconds:
                return f"unused for {idle_seconds:g} s"
            if ipc.read_address(self._file) != self._address:
                return "the address was removed or taken over"
            if not self._engine.root.is_dir():
                return f"{self._engine.root} is gone"

    def close(self) -> None:
        # Another process may have taken our place; then these names are no longer ours to remove.
        if ipc.read_address(self._file) == self._address:
            self._file.unlink(missing_ok=True)
            ipc.remove_socket(self._address)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):  # the listener was closed
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(_GREETING_SECONDS)
        lines = Lines(connection, MAX_REQUEST_BYTES)
        with self._lock:
            self._running += 1
        try:
            greeting = lines.receive()
            if greeting.get("token") == self._address.token:
                connection.settimeout(None)
                _Call(self._engine, lines).run(greeting.get("request", {}))
        except OSError:
            pass  # the client is gone
        finally:
            lines.close()
            with self._lock:
                self._running -= 1
                self._last_used = time.monotonic()


class _Call:
    """One request while it is being answered: signs of life and progress go out, its end comes in."""

    def __init__(self, engine: Engine, lines: Lines) -> None:
        self._engine = engine
        self._lines = lines
        self._cancel = threading.Event()
        self._done = threading.Event()
        self._sending = threading.Lock()
        self._next_progress = 0.0

    def run(self, values: dict[str, object]) -> None:
        threading.Thread(target=self._show_life, daemon=True).start()
        try:
            request = Request.from_json(dict(values))
            self._send({"answer": answer(self._engine, request, self._progress, self._cancel)})
            self._engine.maintain()
        except MosearchError as error:
            self._send({"error": {"name": type(error).__name__, "message": str(error)}})
        except Exception as error:
            _log.exception("a request failed")
            message = f"{error!r}. The log of the resident process has the details."
            self._send({"error": {"name": "MosearchError", "message": message}})
        finally:
            self._done.set()

    def _progress(self, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        if now >= self._next_progress or done == total:
            self._next_progress = now + _PROGRESS_SECONDS
            self._send({"progress": [stage, done, total]})

    def _show_life(self) -> None:
        while not self._done.wait(_SIGN_OF_LIFE_SECONDS):
            self._send({"alive": True})

    def _send(self, message: dict[str, object]) -> None:
        try:
            with self._sending:
                self._lines.send(message)
        except OSError:
            self._cancel.set()  # the client is gone: nobody waits for the answer
