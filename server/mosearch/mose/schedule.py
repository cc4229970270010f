"""The host's queue: which batch is computed next.

Requests are cut into small batches.  After every batch the most urgent request with work left goes next,
the oldest of those with equal priority; so a query waits for one batch of bulk work, never for all of it.
On a CPU, where a single text of a large model takes seconds, it is let in between the layers of a pass, too.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from mosearch.mose.inference import Batch
from mosearch.types import Priority

Owner = TypeVar("Owner")


@dataclass(eq=False, slots=True)
class Request(Generic[Owner]):
    """A request of one connection (`owner`) and what has been computed of it."""

    owner: Owner
    id: int
    priority: Priority
    batches: deque[Batch]
    vectors: dict[int, NDArray[np.float16]]
    """float16 [texts, dim] by exit; rows are filled in as batches are done."""
    rows_left: int = 0
    """Texts whose vectors are not there yet, those of a batch that is being computed included."""
    is_failed: bool = False

    @property
    def texts_waiting(self) -> int:
        return sum(len(batch.rows) for batch in self.batches)


@dataclass(slots=True)
class Schedule(Generic[Owner]):
    """Thread-safe."""

    _queues: dict[Priority, deque[Request[Owner]]] = field(
        default_factory=lambda: {priority: deque() for priority in Priority}
    )
    _computing: Counter[Priority] = field(default_factory=Counter)
    """Texts of the batches that were taken and are not done."""
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def add(self, request: Request[Owner]) -> None:
        """`request` must have a batch."""
        with self._changed:
            self._queues[request.priority].append(request)
            self._changed.notify()

    def take(self, timeout: float) -> tuple[Request[Owner], Batch] | None:
        """The next batch and its request; None when nothing came within `timeout` seconds."""
        with self._changed:
            request = self._first()
            if request is None and timeout > 0:
                self._changed.wait(timeout)
                request = self._first()
            return self._next_of(request) if request else None

    def take_before(self, priority: Priority) -> tuple[Request[Owner], Batch] | None:
        """The next batch, if it is more urgent than `priority`."""
        with self._changed:
            request = self._first()
            return self._next_of(request) if request and request.priority < priority else None

    def _next_of(self, request: Request[Owner]) -> tuple[Request[Owner], Batch]:
        batch = request.batches.popleft()
        if not request.batches:
            self._queues[request.priority].popleft()
        self._computing[request.priority] += len(batch.rows)
        return request, batch

    def done(self, request: Request[Owner], batch: Batch) -> None:
        """A batch that was taken has come to its end, good or bad."""
        with self._changed:
            self._computing[request.priority] -= len(batch.rows)

    def drop_all(self, owner: Owner) -> None:
        """Forget the requests of a connection."""
        with self._changed:
            for priority, queue in self._queues.items():
                self._queues[priority] = deque(request for request in queue if request.owner is not owner)

    def drop(self, request: Request[Owner]) -> None:
        with self._changed, suppress(ValueError):
            self._queues[request.priority].remove(request)

    def texts_waiting(self) -> dict[int, int]:
        """`Priority` → texts not yet embedded, for the priorities that have any."""
        with self._changed:
            waiting = Counter({int(priority): count for priority, count in self._computing.items() if count})
            for queue in self._queues.values():
                for request in queue:
                    waiting[int(request.priority)] += request.texts_waiting
        return dict(waiting)

    def _first(self) -> Request[Owner] | None:
        return next((queue[0] for queue in self._queues.values() if queue), None)
