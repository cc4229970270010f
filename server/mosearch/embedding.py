"""Giving texts their vectors, exit by exit, beside others who do the same.

The cheapest exit covers everything first, deeper ones follow.  Whoever has a vector at an exit has one
at each shallower exit that is in use, too: it falls out of the same forward pass.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from mosearch.connection import Connection
from mosearch.errors import CancelledError, EncoderError, HostError, StoreLockedError
from mosearch.progress import Cancel, Progress
from mosearch.store import MissingText, Store
from mosearch.types import Depth, Priority


@dataclass(frozen=True, slots=True)
class Pass:
    """One exit for every text that lacks it."""

    stage: str
    exit: int
    shallower: tuple[int, ...]
    """Exits in use that are less deep; they are filled in on the way."""
    priority: Priority
    kept: int
    """Texts per write of vectors: a crash repeats at most so many."""
    step: int
    """Texts per round trip to the encoder: whoever cancels waits for at most so many."""


# Before each attempt: a host that died is replaced, but not for ever.
_PAUSES_S = (0.0, 0.5, 2.0)
# So few texts go to the index exit at once: an edit, not a new workspace.
_FEW = 64
# Half a second of work, and a tenth.
_KEPT_OF_TABLE = 4_096
_STEP_OF_TABLE = 512
# Others wait for so much work and one write of vectors; far longer means that somebody hangs.
_TURN_S = 2.0
_TURN_TIMEOUT_S = 60.0
_TURN_POLL_S = 0.1
# Longer than others wait between two looks at the lock: all get their turn.
_GAP_S = 0.01

_CANCELLED = "Indexing was cancelled; what is done so far is kept."


@dataclass(frozen=True, slots=True)
class Embedder:
    """What embeds the texts of one store by one model."""

    store: Store
    encoder: Connection
    fingerprint: str
    first_exit: int
    index_exit: int
    deepest_exit: int
    recent: Sequence[str] = ()
    """Paths of the files whose texts come first; the others follow, those changed last first."""

    def run(self, depth: Depth, progress: Progress, cancel: Cancel) -> tuple[int, str]:
        """Embed what is missing down to `depth`; returns how many texts, and why some are still missing.

        Raises `StoreError`, and `CancelledError` when `cancel` is raised; what is done is kept.
        """
        done: Counter[int] = Counter()
        for pause in _PAUSES_S:
            time.sleep(pause)
            try:
                for which in self._passes(depth):
                    for count in self._pass(which, progress, cancel):
                        done[which.exit] += count
            except HostError as error:  # killed, perhaps while it started: another one may live
                trouble = f"Not every text could be embedded: {error}"
            except CancelledError:
                raise
            except EncoderError as error:
                trouble = f"Not every text could be embedded: {error}"
                break
            else:
                trouble = ""
                break
        return max(done.values(), default=0), trouble

    def _passes(self, depth: Depth) -> Iterator[Pass]:
        first, index, deepest = self.first_exit, self.index_exit, self.deepest_exit
        coverage = self.store.coverage(self.fingerprint)
        missing = coverage.missing(index)
        few = missing <= _FEW
        if depth >= Depth.FIRST and first < index and coverage.missing(first) and not few:
            yield self._sized(Pass("first", first, (), Priority.INDEX, kept=1024, step=512))
        if missing and (depth > Depth.FIRST or (depth is Depth.FIRST and few) or first == index):
            yield self._sized(Pass("embed", index, _below(index, first), Priority.INDEX, kept=256, step=64))
        if depth >= Depth.DEEP and deepest > index and coverage.missing(deepest):
            shallower = _below(deepest, first, index)
            yield Pass("deepen", deepest, shallower, Priority.DEEPEN, kept=128, step=8)

    def _sized(self, which: Pass) -> Pass:
        """What needs no host takes so little time that each write may hold much."""
        if self.encoder.needs_host(which.exit):
            return which
        return replace(which, kept=_KEPT_OF_TABLE, step=_STEP_OF_TABLE)

    def _pass(self, which: Pass, progress: Progress, cancel: Cancel) -> Iterator[int]:
        """Yields how many texts got a vector each time some are kept.

        Several processes may be at the same pass: each takes some texts at a time and passes over what
        others did.
        """
        missing = self.store.missing_texts(self.fingerprint, which.exit, self.recent)
        texts = iter(missing)
        done = 0
        while batch := list(islice(texts, which.kept)):
            progress(which.stage, done, missing.total)
            rest = batch
            while rest:
                with _turn(self.store, which.exit, cancel):
                    new = self._unknown(which.exit, rest)
                    count = self._embed(which, new, cancel) if new else 0
                if count:
                    yield count
                rest = new[count:]
                if rest and cancel.is_set():
                    raise CancelledError(_CANCELLED)
                time.sleep(_GAP_S)
            done += len(batch)
        progress(which.stage, done, missing.total)

    def _embed(self, which: Pass, batch: Sequence[MissingText], cancel: Cancel) -> int:
        """Embed and keep a batch, or as much of it as was done when `cancel` was raised or the turn was over;
        returns how much."""
        exits = (*(exit for exit in which.shallower if self._unknown(exit, batch)), which.exit)
        blocks: dict[int, list[NDArray[np.float16]]] = {exit: [] for exit in exits}
        done, over = 0, time.monotonic() + _TURN_S
        try:
            while done < len(batch) and not cancel.is_set() and (not done or time.monotonic() < over):
                part = batch[done : done + which.step]
                vectors = self.encoder.encode(
                    [item.text for item in part],
                    "code",
                    exits,
                    priority=which.priority,
                    languages=[item.language for item in part],
                )
                for exit in exits:
                    blocks[exit].append(vectors[exit])
                done += len(part)
        finally:
            if done:
                digests = [item.digest for item in batch[:done]]
                for exit in exits:
                    self.store.add_vectors(self.fingerprint, exit, digests, np.concatenate(blocks[exit]))
        return done

    def _unknown(self, exit: int, batch: Sequence[MissingText]) -> list[MissingText]:
        known = self.store.known_digests(self.fingerprint, exit, [item.digest for item in batch])
        return [item for item in batch if item.digest not in known]


def _below(exit: int, *others: int) -> tuple[int, ...]:
    return tuple(sorted({other for other in others if other < exit}))


@contextmanager
def _turn(store: Store, exit: int, cancel: Cancel) -> Iterator[None]:
    """Alone at embedding texts at an exit, among all processes.  Raises `CancelledError`, `StoreError`."""
    deadline = time.monotonic() + _TURN_TIMEOUT_S
    with ExitStack() as turn:
        while True:
            if cancel.is_set():
                raise CancelledError(_CANCELLED)
            try:
                turn.enter_context(store.embedding_turn(exit, _TURN_POLL_S))
                break
            except StoreLockedError:
                if time.monotonic() > deadline:
                    raise
        yield
