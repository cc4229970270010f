"""The serving end: answers requests from one open engine until nobody has asked for a while."""

from __future__ import annotations

import hmac
import logging
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from mosearch import ipc
from mosearch.errors import HostError, MosearchError
from mosearch.resident.client import address_file, ask_to_leave
from mosearch.resident.lines import MAX_REQUEST_BYTES, Lines
from mosearch.resident.requests import Request, answer

if TYPE_CHECKING:
    from filelock import BaseFileLock

    from mosearch.engine import Engine

_log = logging.getLogger(__name__)

# Whoever connects says at once what is wanted.
_GREETING_SECONDS = 2.0
_SIGN_OF_LIFE_SECONDS = 1.0
_TAKE_OVER_SECONDS = 3.0
_CHECK_SECONDS = 0.5
_PROGRESS_SECONDS = 0.1


def claim(file: Path, timeout: float = 0.0) -> BaseFileLock | None:
    """The right to answer at this address `file`; None when another process has it and keeps it.

    With a `timeout` in seconds, a process that only keeps the index open is asked to give way.
    Release it if it is not handed to a `Resident`.
    """
    from filelock import FileLock, Timeout

    # Held as long as it serves: one process per workspace, however many begin at the same time.
    lock = FileLock(file.with_suffix(".lock"), mode=0o600, thread_local=False)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if not timeout:
            return None
        ask_to_leave(file)
        try:
            lock.acquire(timeout=timeout)
        except Timeout:
            return None
    return lock


def take_over(engine: Engine) -> Resident | None:
    """Answer commands from an editor's engine, unsaved buffers included; None where another editor does so.

    What fails is logged: commands then open the index themselves.
    """
    try:
        file = address_file(engine.root, engine.settings)
        right = claim(file, _TAKE_OVER_SECONDS)
        return Resident(engine, file, right, gives_way=False) if right is not None else None
    except (OSError, HostError) as error:
        _log.warning("commands cannot ask this process: %s", error)
        return None


class Resident:
    """Answers for one engine on a private socket, each connection in a thread of its own."""

    def __init__(
        self,
        engine: Engine,
        file: Path,
        right: BaseFileLock,
        *,
        gives_way: bool,
        answered: Callable[[], None] | None = None,
    ) -> None:
        """`right` comes from `claim`.  With `gives_way` it leaves when another process asks for its place.

        `answered` is called after each answer.

        Raises OSError when it cannot listen.
        """
        self._engine = engine
        self._file = file
        self._answered = answered
        self._right = right
        self._gives_way = gives_way
        self._asked_to_leave = False
        self._running = 0
        self._last_used = time.monotonic()
        self._lock = threading.Lock()
        self._listener, self._address = ipc.listen(file, use_tcp=not hasattr(socket, "AF_UNIX"))
        ipc.write_address(file, self._address)
        threading.Thread(target=self._accept, name="mosearch-resident", daemon=True).start()

    def wait(self, idle_seconds: float) -> str:
        """Serve until there is a reason to leave, which is returned."""
        while True:
            time.sleep(_CHECK_SECONDS)
            if self._asked_to_leave:
                return "an editor answers for this workspace now"
            if not self._is_busy() and time.monotonic() - self._last_used > idle_seconds:
                return f"unused for {idle_seconds:g} s"
            if ipc.read_address(self._file) != self._address:
                return "the address was removed or taken over"
            if not self._engine.root.is_dir():
                return f"{self._engine.root} is gone"

    def _is_busy(self) -> bool:
        """Whether somebody waits for an answer, or the index is on the way to the depth all questions use."""
        return self._running > 0 or self._engine.activity.stage in ("first", "embed")

    def close(self) -> None:
        # Another process may have taken our place; then these names are no longer ours to remove.
        if ipc.read_address(self._file) == self._address:
            self._file.unlink(missing_ok=True)
            ipc.remove_socket(self._address)
        with suppress(OSError):  # else a thread that waits in `accept` goes on, and holds the engine
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._right.release()

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
            token = str(greeting.get("token")).encode("utf-8", "surrogatepass")
            if not hmac.compare_digest(token, self._address.token.encode()):
                return
            if greeting.get("leave"):
                self._asked_to_leave = self._gives_way
            else:
                connection.settimeout(None)
                _Call(self._engine, lines).run(greeting.get("request", {}))
        except OSError:
            pass  # the client is gone
        finally:
            lines.close()
            with self._lock:
                self._running -= 1
                self._last_used = time.monotonic()
            if self._answered is not None:
                self._answered()


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
