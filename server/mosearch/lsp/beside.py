"""Work that goes on beside a folder's updates, which do not wait for it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from mosearch.errors import CancelledError, MosearchError

_log = logging.getLogger(__name__)


class Beside:
    """One kind of work in a thread of its own.  What is asked for while it is at work is done after that:
    of several such wishes the newest, as each does all that is to be done."""

    def __init__(self, name: str, stopping: threading.Event) -> None:
        """`name` is for logs.  After `stopping` nothing is begun; the work ends itself early."""
        self._name = name
        self._stopping = stopping
        self._lock = threading.Lock()
        self._next: Callable[[], object] | None = None
        self._thread: threading.Thread | None = None

    def want(self, work: Callable[[], object]) -> None:
        """Have it done, soon.  What it raises is logged."""
        with self._lock:
            self._next = work
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=f"mosearch-{self._name}", daemon=True)
                self._thread.start()

    def join(self) -> None:
        """Wait for its end."""
        thread = self._thread
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        while (work := self._taken()) is not None:
            self._do(work)

    def _do(self, work: Callable[[], object]) -> None:
        try:
            work()
        except CancelledError:
            pass
        except MosearchError as error:
            _log.warning("%s failed: %s", self._name, error)
        except Exception:
            _log.exception("%s failed", self._name)

    def _taken(self) -> Callable[[], object] | None:
        """What is wanted; None, and the thread is none any more, if that is nothing."""
        with self._lock:
            work, self._next = self._next, None
            if work is None or self._stopping.is_set():
                self._thread = None
                return None
            return work
