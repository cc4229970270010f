"""What an index holds at one moment, for every face to show, and telling those who listen of changes."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mosearch.errors import MosearchError
from mosearch.store import StoreStats
from mosearch.types import ModelInfo

_log = logging.getLogger(__name__)

_LEAST_PAUSE_S = 0.25
"""Between two reports: a status bar that changes four times a second looks alive."""
_LEAST_PAUSE_SHARE = 10.0
"""The pause is so many times as long as counting took: a tenth of a core at most goes into counting."""
_MOST_PAUSE_S = 5.0
_CLOSE_S = 1.0


@dataclass(frozen=True, slots=True)
class Activity:
    """What an engine is doing just now."""

    stage: str = "idle"
    """`idle`, `scan`, `parse`, `first`, `embed`, `deepen` (embedding at the cheapest exit in use, at the
    index exit, at the deepest exit), or `paused` (deepening waits)."""
    done: int = 0
    total: int = 0
    """Files in stage `parse`, texts in the others; 0 where nobody knows yet."""
    reason: str = ""
    """Why deepening waits: `battery`, `load` or `in use`."""


class Activities:
    """What the threads of one engine are doing; the most urgent of it counts."""

    _ORDER = ("scan", "parse", "first", "embed", "deepen", "paused", "idle")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_thread: dict[int, Activity] = {}

    def note(self, activity: Activity) -> None:
        """What the calling thread is doing from now on."""
        with self._lock:
            if activity.stage == "idle":
                self._by_thread.pop(threading.get_ident(), None)
            else:
                self._by_thread[threading.get_ident()] = activity

    @property
    def current(self) -> Activity:
        with self._lock:
            activities = list(self._by_thread.values())
        return self.most_urgent(*activities)

    @classmethod
    def most_urgent(cls, *activities: Activity) -> Activity:
        """The first in order of urgency; idle where there is none."""
        return min(activities, key=lambda one: cls._ORDER.index(one.stage), default=Activity())


@dataclass(frozen=True, slots=True)
class Status:
    """What the index holds at this moment, read from the store itself."""

    root: Path
    index_dir: Path
    files: int
    pending_files: int
    """Changed files that were found and not yet read."""
    chunks: int
    texts: int
    """Distinct texts of all chunks: what gets one vector each at an exit."""
    vectors: Mapping[int, int]
    """Exit → how many of these texts have a vector there."""
    pending: int
    """Texts that have no vector yet at the index exit."""
    skipped: Mapping[str, int]
    failed: Mapping[str, str]
    """Path → why it could not be read when the index was last brought up to date."""
    activity: Activity
    last_sync: float | None
    """When the index was last seen to equal the files on disk, in seconds since the epoch; None: never."""
    model: ModelInfo
    first_exit: int
    index_exit: int
    rerank_exit: int
    in_process: tuple[int, ...]
    """Exits that are embedded in this process, from a table, without the encoder host."""
    device: str
    """Where the running encoder host computes; empty while none runs."""
    trouble: str
    """Why there are no vectors to be had just now; empty as far as is known."""
    stats: StoreStats

    def to_json(self) -> dict[str, object]:
        return {
            "root": str(self.root),
            "index_dir": str(self.index_dir),
            "files": self.files,
            "pending_files": self.pending_files,
            "chunks": self.chunks,
            "texts": self.texts,
            "vectors": {str(exit): count for exit, count in self.vectors.items()},
            "pending": self.pending,
            "queue": {str(exit): self.texts - count for exit, count in self.vectors.items()},
            "skipped": dict(self.skipped),
            "failed": dict(self.failed),
            "failed_by_reason": dict(Counter(self.failed.values())),
            "activity": {
                "stage": self.activity.stage,
                "done": self.activity.done,
                "total": self.activity.total,
                "reason": self.activity.reason,
            },
            "last_sync": self.last_sync,
            "model": self.model.name,
            "fingerprint": self.model.fingerprint,
            "first_exit": self.first_exit,
            "index_exit": self.index_exit,
            "rerank_exit": self.rerank_exit,
            "in_process": list(self.in_process),
            "device": self.device,
            "trouble": self.trouble,
            "bytes": self.stats.index_bytes + self.stats.vectors_bytes,
            "last_commit": self.stats.last_commit,
        }


class StatusFeed:
    """Calls listeners with the status after it changed: at once, then at most four times a second.

    The last state is always told.  Listeners are called from a thread of the feed's own, one after the
    other; one that raises is logged.
    """

    def __init__(self, read: Callable[[], Status]) -> None:
        self._read = read
        self._lock = threading.Lock()
        self._listeners: list[Callable[[Status], None]] = []
        self._changed = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def subscribe(self, listener: Callable[[Status], None]) -> Callable[[], None]:
        """From now on, and once at once; what is returned ends it."""
        with self._lock:
            self._listeners.append(listener)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="mosearch-status", daemon=True)
                self._thread.start()
        self._changed.set()
        return lambda: self._unsubscribe(listener)

    def changed(self) -> None:
        """Something that a status shows is different now; costs nothing."""
        self._changed.set()

    def close(self) -> None:
        """End the feed, waiting for a report that is under way.  May be called again."""
        self._stopping.set()
        self._changed.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(_CLOSE_S)

    def _unsubscribe(self, listener: Callable[[Status], None]) -> None:
        with self._lock:
            if listener in self._listeners:
                self._listeners.remove(listener)

    def _run(self) -> None:
        while True:
            self._changed.wait()
            if self._stopping.is_set():
                return
            self._changed.clear()
            with self._lock:
                listeners = list(self._listeners)
            start = time.thread_time()
            try:
                self._tell(listeners)
            except MosearchError as error:
                _log.warning("no status: %s", error)
            except Exception:
                _log.exception("no status")
            pause = _LEAST_PAUSE_SHARE * (time.thread_time() - start)
            self._stopping.wait(min(max(_LEAST_PAUSE_S, pause), _MOST_PAUSE_S))

    def _tell(self, listeners: list[Callable[[Status], None]]) -> None:
        if listeners:
            status = self._read()
            for listener in listeners:
                _tell_one(listener, status)


def _tell_one(listener: Callable[[Status], None], status: Status) -> None:
    try:
        listener(status)
    except Exception:  # the others are to hear of it all the same
        _log.exception("a listener to the status failed")
