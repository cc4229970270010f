"""The client of an encoder host."""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from types import TracebackType
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mosearch import errors
from mosearch.encoder.config import MAX_TEXT_CHARACTERS
from mosearch.encoder.launch import HostSpec, check_alive, open_link
from mosearch.encoder.link import Link
from mosearch.encoder.models import describe, find_model, load_config
from mosearch.encoder.protocol import (
    Encode,
    Failure,
    HostStatus,
    Message,
    StatusQuestion,
    Vectors,
)
from mosearch.errors import (
    CancelledError,
    EncoderError,
    HostError,
    MosearchError,
    ProtocolError,
    UsageError,
)
from mosearch.types import ModelInfo, Priority, TextKind

_FRAME_TEXTS = 256
_FRAME_CHARACTERS = 1 << 18
"""At most 1 MiB of UTF-8."""
_FRAMES_AHEAD = 3
"""Frames sent and not yet answered: enough for the host to find work whenever it finishes a frame."""
_CANCEL_POLL_SECONDS = 0.005
_SILENCE_SECONDS = 3.0
"""After so long without an answer a host is asked for a sign of life, which a busy one gives."""
_RESTART_PAUSE_SECONDS = 0.2
_MAX_REST_SECONDS = 60.0
_SPARE_LINKS = 4

_Answer = TypeVar("_Answer", Vectors, HostStatus)


class EncoderClient:
    """Embeds texts in a host process.  Every method may be called from several threads at once.

    Each call has a connection of its own for as long as it runs; connections are kept for later calls.
    A cancelled call closes its connection, upon which the host drops what it had not embedded yet.
    """

    def __init__(self, spec: HostSpec, info: ModelInfo) -> None:
        """Connects; raises HostError when that is not possible."""
        self.info = info
        self._spec = spec
        self._lock = threading.Lock()
        self._spare: list[Link] = []
        self._busy: set[Link] = set()
        self._closed = False
        self._texts_sent = 0
        self._trouble = ""
        self._deaths = 0
        self._rest_until = 0.0
        link, self._welcome = open_link(spec)
        self._device = self._welcome.device
        self._spare.append(link)

    @property
    def device(self) -> str:
        """Where the host computes: `cpu`, `cuda:0`, …"""
        return self._device

    @property
    def trouble(self) -> str:
        """What the user should know of the host, as of its last answer: e.g. that its GPU was lost."""
        return self._trouble

    @property
    def dtype(self) -> str:
        """The number format of the host's matrix products: `float32`, `bfloat16`, …"""
        return self._welcome.dtype

    @property
    def texts_sent(self) -> int:
        """Texts sent to the host so far, by all calls; a text sent again after a restart counts again."""
        return self._texts_sent

    def encode(
        self,
        texts: Sequence[str],
        kind: TextKind = "code",
        exits: Collection[int] | None = None,
        *,
        priority: Priority,
        languages: Sequence[str] | None = None,
        cancel: threading.Event | None = None,
        on_progress: Callable[[int], None] | None = None,
    ) -> dict[int, NDArray[np.float16]]:
        """L2-normalised float16 [len(texts), dim] by exit, in the order of `texts`; None asks for all exits.

        `languages`, one per text, matters only to models with an instruction prefix.  `on_progress` gets
        the number of texts done so far.  If the host dies it is started again, once per call, and sent
        what it had not answered.  Raises UsageError for an unknown exit, CancelledError, HostError, and
        whatever EncoderError the host reports.
        """
        wanted = self._checked(texts, exits, languages)
        result = {layer: np.empty((len(texts), self.info.dim), np.float16) for layer in wanted}
        waiting = deque(_slices(texts))
        done = 0

        def accept(rows: slice, arrays: dict[int, NDArray[np.float16]]) -> None:
            nonlocal done
            for layer in wanted:
                result[layer][rows] = arrays[layer]
            done += rows.stop - rows.start
            if on_progress:
                on_progress(done)

        def frame(number: int, rows: slice) -> Encode:
            named = list(languages[rows]) if languages else None
            clipped = [text[:MAX_TEXT_CHARACTERS] for text in texts[rows]]
            return Encode(number, clipped, kind, list(wanted), int(priority), named)

        self._with_restart(lambda link: self._exchange(link, waiting, frame, accept, cancel), cancel)
        return result

    def status(self) -> HostStatus:
        """What the host is doing.  Raises HostError when it cannot be reached."""
        answer: list[HostStatus] = []

        def ask(link: Link) -> None:
            link.send(StatusQuestion())
            if not link.is_readable(_SILENCE_SECONDS):
                raise TimeoutError("the host did not say what it is doing")
            answer.append(_expect(link.receive(), HostStatus))

        self._with_restart(ask, None)
        self._device, self._trouble = answer[0].device, answer[0].trouble
        return answer[0]

    def is_connected(self) -> bool:
        """Whether the host is still there, as far as can be seen without asking it."""
        with self._lock:
            return bool(self._busy) or any(not link.is_readable(0) for link in self._spare)

    def reconnect(self) -> None:
        """Have a connection to a host, which is started again if it left.  Raises HostError."""
        self._give_back(self._borrow())

    def close(self) -> None:
        """Drop all connections; calls that are running fail with HostError.  The host lives on for others."""
        with self._lock:
            self._closed = True
            links = [*self._spare, *self._busy]
            self._spare.clear()
        for link in links:
            link.close()

    def __enter__(self) -> EncoderClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _checked(
        self, texts: Sequence[str], exits: Collection[int] | None, languages: Sequence[str] | None
    ) -> tuple[int, ...]:
        if languages is not None and len(languages) != len(texts):
            raise UsageError(
                f"There are {len(texts)} texts but {len(languages)} languages. Give one per text."
            )
        wanted = self.info.exits if exits is None else tuple(sorted(set(exits)))
        unknown = [layer for layer in wanted if layer not in self.info.exits]
        if unknown or not wanted:
            known = list(self.info.exits)
            raise UsageError(f"Model {self.info.name} has no exits {unknown}. Ask for some of {known}.")
        return wanted

    def _exchange(
        self,
        link: Link,
        waiting: deque[slice],
        frame: Callable[[int, slice], Encode],
        accept: Callable[[slice, dict[int, NDArray[np.float16]]], None],
        cancel: threading.Event | None,
    ) -> None:
        """Send what `waiting` holds and take the answers.

        However this ends, `waiting` holds the slices that were not answered.
        """
        sent: dict[int, slice] = {}
        numbers = itertools.count()
        try:
            while waiting or sent:
                while waiting and len(sent) < _FRAMES_AHEAD:
                    number, rows = next(numbers), waiting.popleft()
                    sent[number] = rows
                    with self._lock:
                        self._texts_sent += rows.stop - rows.start
                    link.send(frame(number, rows))
                self._await(link, cancel)
                answer = _expect(link.receive(), Vectors)
                if answer.id not in sent:
                    raise ProtocolError(f"The host answered a request ({answer.id}) that was not made.")
                self._device, self._trouble = answer.device, answer.trouble
                arrays = answer.arrays()
                if not all(np.isfinite(array).all() for array in arrays.values()):
                    raise ProtocolError("The host answered with vectors that are no numbers.")
                accept(sent.pop(answer.id), arrays)
        finally:
            waiting.extendleft(reversed(sent.values()))

    def _await(self, link: Link, cancel: threading.Event | None) -> None:
        """Until there is an answer.  Raises CancelledError, and OSError when the host hangs."""
        poll = _SILENCE_SECONDS if cancel is None else _CANCEL_POLL_SECONDS
        asked = time.monotonic()
        while cancel is None or not cancel.is_set():
            if link.is_readable(poll):
                return
            if time.monotonic() - asked >= _SILENCE_SECONDS:
                check_alive(self._spec, link.pid)
                asked = time.monotonic()
        raise CancelledError("The request was cancelled.")

    def _with_restart(self, talk: Callable[[Link], None], cancel: threading.Event | None) -> None:
        """Run `talk`, again if the host dies; a host that keeps dying is left alone for longer and longer."""
        rest = self._rest_until - time.monotonic()
        if rest > 0:
            raise HostError(f"The encoder host keeps dying; it is started again in {rest:.0f} s.")
        try:
            self._talk(talk)
        except OSError:
            if self._closed:
                raise HostError("The client was closed while a request was running.") from None
            if cancel is not None and cancel.wait(_RESTART_PAUSE_SECONDS):
                raise CancelledError("The request was cancelled.") from None
            if cancel is None:
                time.sleep(_RESTART_PAUSE_SECONDS)
            try:
                self._talk(talk)
            except OSError as error:
                # The first failure costs a second: the request may have been to blame.
                self._rest_until = time.monotonic() + min(2.0**self._deaths, _MAX_REST_SECONDS)
                self._deaths += 1
                raise HostError(
                    f"The encoder host died twice during one request ({error}). "
                    "Its log is in the cache folder; a smaller request may succeed."
                ) from error
        self._deaths = 0

    def _talk(self, talk: Callable[[Link], None]) -> None:
        """Run `talk` on a connection, which is kept only if that ends well."""
        link = self._borrow()
        try:
            talk(link)
        except BaseException as error:
            self._busy.discard(link)
            link.close()
            if isinstance(error, OSError):
                self._drop_spare(link.pid)
            raise
        self._give_back(link)

    def _borrow(self) -> Link:
        while True:
            with self._lock:
                if self._closed:
                    raise HostError("The client is closed. Connect again.")
                if not self._spare:
                    break
                link = self._spare.pop()
                # Nobody has asked anything on this connection: what can be read is its end.
                if not link.is_readable(0):
                    self._busy.add(link)
                    return link
            link.close()
        link, welcome = open_link(self._spec)
        with self._lock:
            self._welcome = welcome
            self._device = welcome.device
            self._busy.add(link)
        return link

    def _drop_spare(self, pid: int) -> None:
        """Connections to a host that died or hangs are of no use to the next attempt."""
        with self._lock:
            useless = [link for link in self._spare if link.pid == pid]
            self._spare = [link for link in self._spare if link.pid != pid]
        for link in useless:
            link.close()

    def _give_back(self, link: Link) -> None:
        with self._lock:
            self._busy.discard(link)
            if not self._closed and len(self._spare) < _SPARE_LINKS:
                self._spare.append(link)
                return
        link.close()


def connect(
    model: str | None = None,
    *,
    device: str = "auto",
    threads: int | None = None,
    idle_seconds: float = 600,
    linger_seconds: float | None = None,
    start: bool = True,
    memory_mb: int | None = None,
    niceness: int = 0,
) -> EncoderClient:
    """A client of the one host of this user, model and device, which is started if none is running.

    `device`, `threads` (None: half the cores), `idle_seconds` (after which an unused host leaves),
    `memory_mb` (None: no limit) and `niceness` hold for a host that this call starts.  `linger_seconds`
    (None: `idle_seconds`) is how long the host is asked to stay after this client has left.  Raises
    ModelError for a model that is missing or damaged, HostError when there is no host: with `start` false
    because none is running, otherwise because none could start.
    """
    folder = find_model(model)
    info = describe(folder, load_config(folder))
    linger = float(idle_seconds if linger_seconds is None else linger_seconds)
    spec = HostSpec(
        folder, info.fingerprint, device, threads, idle_seconds, linger, start, memory_mb, niceness
    )
    return EncoderClient(spec, info)


def _slices(texts: Sequence[str]) -> Iterator[slice]:
    """Cut a request into frames, each within both limits (a single text may exceed that of characters)."""
    start = characters = 0
    for row, text in enumerate(texts):
        length = min(len(text), MAX_TEXT_CHARACTERS)
        full = row - start == _FRAME_TEXTS or characters + length > _FRAME_CHARACTERS
        if full and row > start:
            yield slice(start, row)
            start, characters = row, 0
        characters += length
    if start < len(texts):
        yield slice(start, len(texts))


def _expect(message: Message, kind: type[_Answer]) -> _Answer:
    if isinstance(message, kind):
        return message
    if isinstance(message, Failure):
        raise _error_of(message)
    raise ProtocolError(f"The host answered with {message.OP!r} where {kind.OP!r} was due.")


def _error_of(failure: Failure) -> MosearchError:
    kind = getattr(errors, failure.error, EncoderError)
    if not (isinstance(kind, type) and issubclass(kind, MosearchError)):
        kind = EncoderError
    return kind(failure.message)
