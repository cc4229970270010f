"""How long work reports how far it is, and is told to stop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

Progress = Callable[[str, int, int], None]
"""Called with (stage, done, total); stages are those of `STAGES`, in this order, some left out."""

STAGES = {
    "scan": (0.0, 0.02),
    "parse": (0.02, 0.25),
    "first": (0.25, 0.4),
    "embed": (0.4, 1.0),
    "deepen": (0.4, 1.0),
}
"""Stage → the part of the whole, in [0, 1], that it goes from and to."""


def no_progress(stage: str, done: int, total: int) -> None:
    """For callers that show nothing."""


class Meter:
    """One share of the whole, in [0, 1], that never falls, from what the stages report."""

    def __init__(self) -> None:
        self.share = 0.0

    def update(self, stage: str, done: int, total: int) -> float:
        start, end = STAGES[stage]
        self.share = max(self.share, start + (end - start) * (done / total if total else 0.0))
        return self.share


class Cancel(Protocol):
    """A flag that another thread may raise; `threading.Event` is one."""

    def is_set(self) -> bool: ...


class Either:
    """Raised when one of some flags is."""

    def __init__(self, *flags: Cancel) -> None:
        self._flags = flags

    def is_set(self) -> bool:
        return any(flag.is_set() for flag in self._flags)


@dataclass(frozen=True, slots=True)
class When:
    """Raised as long as something holds."""

    is_set: Callable[[], bool]
