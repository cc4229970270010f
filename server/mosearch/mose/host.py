"""The host process: one model, any number of local connections, one thread that computes.

The main thread computes and every connection has a thread that reads, checks and tokenises, and one that
writes, so a client that stops reading holds up nobody.
"""

from __future__ import annotations

import hmac
import logging
import os
import queue
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from mosearch import memory
from mosearch.encoder.link import Link
from mosearch.encoder.protocol import (
    MAX_HELLO_BYTES,
    PROTOCOL_VERSION,
    Encode,
    Failure,
    Hello,
    HostStatus,
    Message,
    StatusQuestion,
    Vectors,
    Welcome,
)
from mosearch.errors import CancelledError, EncoderError, MosearchError, ProtocolError
from mosearch.ipc import Address, listen, read_address, remove_socket, write_address
from mosearch.mose.devices import resident_mb
from mosearch.mose.inference import Batch, Encoder, Found
from mosearch.mose.schedule import Request, Schedule
from mosearch.types import Priority

_log = logging.getLogger(__name__)

_HELLO_SECONDS = 5.0
_FAREWELL_SECONDS = 1.0
_ACCEPT_PAUSE_SECONDS = 0.05
"""For the last answers of a connection that is to be closed; its client may have stopped reading."""
_CHECK_SECONDS = 0.5
"""How often a host without work looks whether it is still wanted."""
_FIRST_CLIENT_SECONDS = 10.0
"""How long a new host waits for whoever started it."""
_TIDY_SECONDS = 2.0
"""Without work for so long, memory that is kept for later use goes back."""
_MAX_UNANSWERED = 64
"""Requests of one connection; bounds the memory that a client can make the host use."""


class Connection:
    """A client: its link, and the answers that wait to be written to it."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.places = threading.BoundedSemaphore(_MAX_UNANSWERED)
        self.linger_seconds = 0.0
        self.is_gone = False
        self._outgoing: queue.SimpleQueue[Message | None] = queue.SimpleQueue()

    def post(self, message: Message) -> None:
        self._outgoing.put(message)

    def hang_up(self) -> None:
        """Close once everything posted so far is written."""
        self._outgoing.put(None)

    def write_all(self) -> None:
        """Write what is posted until `hang_up`."""
        try:
            while message := self._outgoing.get():
                self.link.send(message)
                if isinstance(message, Vectors):
                    self.places.release()
        except OSError:
            pass  # The client is gone, which the reading thread notices, too.
        finally:
            self.link.close()


@dataclass(frozen=True, slots=True)
class Pass:
    """A batch that is being computed."""

    request: Request[Connection]
    batch: Batch
    wait: Callable[[], Found]


class Host:
    """Serves one encoder at the address published in `file`."""

    def __init__(
        self,
        encoder: Encoder,
        file: Path,
        *,
        threads: int,
        idle_seconds: float,
        memory_mb: int | None = None,
        admitted: threading.Event | None = None,
    ) -> None:
        """`memory_mb` is what this process may hold on a CPU: beyond it, what is merely kept is given up."""
        self._encoder = encoder
        self._file = file
        self._threads = threads
        self._idle_seconds = idle_seconds
        self._schedule: Schedule[Connection] = Schedule()
        self._connections: set[Connection] = set()
        self._started = self._last_used = time.monotonic()
        self._stay_until = self._started + _FIRST_CLIENT_SECONDS
        self._admitted = admitted or threading.Event()
        self._memory_mb = memory_mb
        self._memory_seen = 0.0
        self._memory_trouble = ""
        self._texts_done = 0
        self._is_deepened = self._is_tidy = False

    def serve(self, *, use_tcp: bool) -> str:
        """Listen, publish the address and compute; returns why the host leaves."""
        listener, address = listen(self._file, use_tcp)
        try:
            write_address(self._file, address)
            threading.Thread(target=self._accept, args=(listener, address.token), daemon=True).start()
            self._warm_up()
            running: Pass | None = None
            while True:
                work = self._schedule.take(0 if running else _CHECK_SECONDS)
                if work is None and running is None:
                    if reason := self._reason_to_leave(address):
                        return reason
                    self._use_leisure()
                running = self._advance(running, work)
        finally:
            # Another host may have taken our place; then these names are no longer ours to remove.
            if read_address(self._file) == address:
                self._file.unlink(missing_ok=True)
                remove_socket(address)
            listener.close()

    def _reason_to_leave(self, address: Address) -> str | None:
        if time.monotonic() - self._last_used > self._idle_seconds:
            return f"unused for {self._idle_seconds:g} s"
        if not self._connections and time.monotonic() > self._stay_until:
            return "no client wants it to stay"
        if read_address(self._file) != address or (address.path and not Path(address.path).exists()):
            return "the address was removed or taken over"
        return None

    def _accept(self, listener: socket.socket, token: str) -> None:
        while listener.fileno() >= 0:  # It is closed when the host leaves.
            try:
                connection = Connection(Link(listener.accept()[0]))
            except OSError:  # too many files are open, or the client is gone already
                time.sleep(_ACCEPT_PAUSE_SECONDS)
                continue
            threading.Thread(target=self._attend, args=(connection, token), daemon=True).start()

    def _attend(self, connection: Connection, token: str) -> None:
        """Everything that is read from one client."""
        writer = threading.Thread(target=connection.write_all, daemon=True)
        writer.start()
        try:
            self._admit(connection, token)
            self._connections.add(connection)
            self._admitted.set()
            while True:
                self._answer(connection, connection.link.receive())
        except ProtocolError as error:
            connection.post(_failure(None, error))
        except OSError:
            pass  # The client hung up.
        finally:
            if connection in self._connections:
                self._stay_until = max(self._stay_until, time.monotonic() + connection.linger_seconds)
                self._connections.discard(connection)
            connection.is_gone = True
            self._schedule.drop_all(connection)
            connection.hang_up()
            writer.join(_FAREWELL_SECONDS)
            connection.link.close()

    def _admit(self, connection: Connection, token: str) -> None:
        connection.link.set_timeout(_HELLO_SECONDS)
        hello = connection.link.receive(MAX_HELLO_BYTES)
        if not isinstance(hello, Hello) or not hmac.compare_digest(hello.token.encode(), token.encode()):
            raise ProtocolError("The first message must be a hello with the token of this host.")
        if hello.version != PROTOCOL_VERSION:
            raise ProtocolError(f"This host speaks protocol {PROTOCOL_VERSION}, not {hello.version}.")
        connection.link.set_timeout(None)
        connection.linger_seconds = hello.linger_seconds
        encoder = self._encoder
        device, dtype = str(encoder.device), _name(encoder.dtype)
        connection.post(Welcome(PROTOCOL_VERSION, encoder.fingerprint, device, dtype, os.getpid()))

    def _answer(self, connection: Connection, message: Message) -> None:
        if isinstance(message, Encode):
            self._last_used = time.monotonic()
            if not connection.places.acquire(blocking=False):
                raise ProtocolError(f"More than {_MAX_UNANSWERED} requests are unanswered on one connection.")
            try:
                self._enqueue(connection, message)
            except (MosearchError, RuntimeError) as error:
                self._fail(connection, message.id, error)
        elif isinstance(message, StatusQuestion):
            connection.post(self._status())
        else:
            raise ProtocolError(f"A client does not send {message.OP!r}.")

    def _enqueue(self, connection: Connection, message: Encode) -> None:
        encoder = self._encoder
        exits = encoder.checked_exits(message.exits)
        budget = encoder.batch_tokens(exits)
        batches = encoder.batches(message.texts, message.kind, message.languages, budget)
        shape = (len(message.texts), encoder.dim)
        request = Request(
            owner=connection,
            id=message.id,
            priority=Priority(message.priority),
            batches=deque(batches),
            vectors={layer: np.empty(shape, np.float16) for layer in exits},
            rows_left=len(message.texts),
        )
        if request.batches:
            self._schedule.add(request)
        else:
            self._reply(request)

    def _advance(self, running: Pass | None, work: tuple[Request[Connection], Batch] | None) -> Pass | None:
        """Start the next pass before taking the last one's results: a GPU computes meanwhile."""
        started = self._start(*work) if work else None
        if running:
            self._finish(running)
        if started and not self._encoder.overlaps:
            self._finish(started)
            return None
        return started

    def _start(self, request: Request[Connection], batch: Batch) -> Pass | None:
        def pause() -> None:
            if request.owner.is_gone:
                raise CancelledError("The client left.")
            while urgent := self._schedule.take_before(request.priority):
                if between := self._start(*urgent):
                    self._finish(between)

        try:
            return Pass(request, batch, self._encoder.begin(batch, tuple(request.vectors), pause))
        except CancelledError:
            self._schedule.drop(request)
        except (MosearchError, RuntimeError, MemoryError) as error:
            self._give_up(request, batch, error)
        self._schedule.done(request, batch)
        return None

    def _finish(self, done: Pass) -> None:
        request = done.request
        try:
            found = done.wait()
        except (MosearchError, RuntimeError, MemoryError) as error:
            self._give_up(request, done.batch, error)
            return
        finally:
            self._schedule.done(request, done.batch)
        for layer, vectors in found.items():
            request.vectors[layer][list(done.batch.rows)] = vectors
        self._texts_done += len(done.batch.rows)
        self._last_used = time.monotonic()
        self._is_tidy = False
        self._watch_memory()
        request.rows_left -= len(done.batch.rows)
        if not request.rows_left:
            self._reply(request)

    def _reply(self, request: Request[Connection]) -> None:
        encoder = self._encoder
        vectors = Vectors.of(request.id, encoder.dim, request.vectors, str(encoder.device), self._trouble)
        request.owner.post(vectors)

    def _give_up(self, request: Request[Connection], batch: Batch, error: Exception) -> None:
        _log.error("a batch of %d texts failed", len(batch.rows), exc_info=error)
        self._schedule.drop(request)
        if not request.is_failed:
            request.is_failed = True
            self._fail(request.owner, request.id, error)

    def _warm_up(self) -> None:
        """Clients connect meanwhile; whoever comes first finds libraries and kernels loaded."""
        try:
            self._encoder.warm_up(self._encoder.deepest_loaded)
        except (MosearchError, RuntimeError) as error:
            _log.error("warming up failed: %s", error)
        memory.settle()

    def _use_leisure(self) -> None:
        """Nobody waits: read the deeper layers, which the next query will want, and tidy up."""
        if self._texts_done and not self._is_deepened:
            self._is_deepened = True
            threading.Thread(target=self._deepen, daemon=True).start()
        if not self._is_tidy and time.monotonic() - self._last_used > _TIDY_SECONDS:
            self._is_tidy = True
            self._encoder.give_back_memory()
            self._watch_memory()

    def _deepen(self) -> None:
        try:
            self._encoder.prepare(self._encoder.info.rerank_exit)
        except (MosearchError, RuntimeError, MemoryError) as error:
            _log.warning("the deeper layers stay on disk: %s", error)

    def _watch_memory(self) -> None:
        if self._memory_mb is None or time.monotonic() - self._memory_seen < _CHECK_SECONDS:
            return
        self._memory_seen = time.monotonic()
        self._memory_trouble = ""
        if resident_mb() > self._memory_mb and self._encoder.device.type == "cpu":
            self._encoder.give_back_memory()
            held = resident_mb()
            if held > self._memory_mb:
                self._memory_trouble = (
                    f"The encoder host holds {held} MB, and `memory_mb` allows {self._memory_mb}. Raise it, "
                    "or choose a smaller model."
                )

    @property
    def _trouble(self) -> str:
        return " ".join(filter(None, (self._encoder.trouble, self._memory_trouble)))

    def _fail(self, connection: Connection, number: int, error: Exception) -> None:
        connection.places.release()
        connection.post(_failure(number, error))

    def _status(self) -> HostStatus:
        return HostStatus(
            pid=os.getpid(),
            threads=self._threads,
            uptime_seconds=time.monotonic() - self._started,
            connections=len(self._connections),
            texts_done=self._texts_done,
            texts_waiting=self._schedule.texts_waiting(),
            device=str(self._encoder.device),
            dtype=_name(self._encoder.dtype),
            memory_mb=resident_mb(),
            trouble=self._trouble,
        )


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _failure(number: int | None, error: Exception) -> Failure:
    if isinstance(error, MosearchError):
        return Failure(number, type(error).__name__, str(error))
    return Failure(
        number, EncoderError.__name__, f"The model failed on this request: {error!r}. Send less at once."
    )
