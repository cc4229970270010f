"""Locks between processes and threads, each a file beside the tables."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from mosearch.errors import StoreLockedError
from mosearch.store._failures import translated

TIMEOUT = 10.0
"""How long one waits for others to finish writing, in seconds, unless told otherwise."""

_POLL_SECONDS = 0.005


class ProcessLock:
    """Mutual exclusion among all threads of all processes; a thread may enter it repeatedly.

    The operating system frees it when its holder dies.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pid_path = path.with_suffix(".pid")
        # One object per path: else a thread that holds the lock would wait for itself.
        self._lock = FileLock(path, is_singleton=True)

    @contextmanager
    def held(self, timeout: float) -> Iterator[None]:
        """Waits up to `timeout` seconds; raises StoreLockedError, naming the holder, after that."""
        with translated("lock the index", self._path.parent):
            self._acquire(timeout)
        try:
            yield
        finally:
            self._lock.release()

    def _acquire(self, timeout: float) -> None:
        entered = self._lock.is_locked
        try:
            self._lock.acquire(timeout=timeout, poll_interval=_POLL_SECONDS)
        except Timeout:
            raise StoreLockedError(
                f"{self._holder()} is writing to {self._path.parent} and did not finish within "
                f"{timeout:g} s. Wait for it, or end it if it hangs."
            ) from None
        if not entered:
            with suppress(OSError):
                self._pid_path.write_text(str(os.getpid()), "ascii")

    def _holder(self) -> str:
        try:
            return f"Process {int(self._pid_path.read_text('ascii'))}"
        except (OSError, ValueError):
            return "Another process"
