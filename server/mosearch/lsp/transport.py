"""Frames in and out: threads do the waiting, so that the event loop never does.

One thread reads and decodes, one writes.  A client that is slow to read, or that sends thousands of edits
at once, holds up neither the other requests nor the server's own work.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import queue
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, BinaryIO

_log = logging.getLogger(__name__)

_LARGEST_FRAME = 256 * 2**20
"""In bytes; what announces more is no editor."""
_AHEAD = 64
"""Messages read and not yet handled: enough to never wait for the reader, few enough to be through soon."""
_TURN_S = 0.005
_FLUSH_S = 2.0


class FrameError(Exception):
    """What comes in is not the protocol at all."""


class Undecodable:
    """Stands for a frame whose body is no JSON, and says why."""

    def __init__(self, why: str) -> None:
        self.why = why


class Writer:
    """Writes frames from a thread of its own, in order."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._queue: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="mosearch-writer", daemon=True)
        self._thread.start()

    def write(self, data: bytes) -> None:
        self._queue.put(data)

    def close(self) -> None:
        """Wait a moment for what is still to be written."""
        self._queue.put(None)
        self._thread.join(_FLUSH_S)

    def _run(self) -> None:
        try:
            while (data := self._queue.get()) is not None:
                self._out.write(data)
                self._out.flush()
        except (OSError, ValueError) as error:
            _log.info("the client does not read any more: %s", error)


async def serve(reader: BinaryIO, handle: Callable[[Any], None]) -> None:
    """Give each message that comes in to `handle`, on this event loop, until there are no more."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    slots = threading.Semaphore(_AHEAD)
    waiting: deque[Any] = deque()

    def deliver() -> None:
        """What waits, for a moment; then others have their turn."""
        until = time.perf_counter() + _TURN_S
        while waiting and time.perf_counter() < until:
            slots.release()
            handle(waiting.popleft())
        if waiting:
            loop.call_soon(deliver)

    def end() -> None:
        if waiting:
            loop.call_soon(end)
        else:
            ended.set()

    def read() -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits for more
            try:
                for body in frames(reader):
                    message = decode(body)
                    slots.acquire()
                    waiting.append(message)
                    if len(waiting) == 1:  # otherwise `deliver` is under way
                        loop.call_soon_threadsafe(deliver)
            except (OSError, ValueError, FrameError) as error:
                _log.warning("the connection is given up: %s", error)
            loop.call_soon_threadsafe(end)

    threading.Thread(target=read, name="mosearch-reader", daemon=True).start()
    await ended.wait()


def frames(reader: BinaryIO) -> Iterator[bytes]:
    """The bodies of frames, until the end of input.  Raises `FrameError` for what cannot be one."""
    while True:
        length = None
        while (line := reader.readline(1024)) not in (b"\r\n", b"\n"):
            if not line:
                return
            name, _, value = line.partition(b":")
            if name.strip().lower() == b"content-length":
                if not value.strip().isdigit():
                    raise FrameError(f"Content-Length is {value!r}")
                length = int(value)
        if length is None:
            continue
        if length > _LARGEST_FRAME:
            raise FrameError(f"a message of {length} bytes")
        body = reader.read(length)
        if len(body) < length:
            return
        yield body


def decode(body: bytes) -> Any:
    """A frame's body as JSON, or an `Undecodable`."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        return Undecodable(str(error))


def own_stdio() -> tuple[BinaryIO, BinaryIO]:
    """Standard input and output for the protocol alone.

    Whatever else is printed goes to standard error from now on.  The streams are new ones: at exit Python
    takes the lock of `sys.stdin`, and would wait for the thread that reads from it.
    """
    incoming = os.fdopen(os.dup(sys.stdin.fileno()), "rb")
    outgoing = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return incoming, outgoing
