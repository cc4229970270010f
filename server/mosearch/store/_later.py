"""Vectors that are known already but written a moment later, when nobody waits for an answer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from mosearch.errors import StoreError

Vectors = dict[str, NDArray[np.float16]]
"""By digest."""
Write = Callable[[str, int, Vectors], None]
"""Given a model's fingerprint, an exit and vectors."""

_GATHERED_S = 2.0
"""Each write leaves a fragment and takes time from the next question: questions that follow one another share
one."""


class Later:
    """Writes in a thread of its own.  For several threads at once."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._mutex = threading.Lock()
        self._waiting: dict[tuple[str, int], Vectors] = {}
        self._writer = ThreadPoolExecutor(1, "mosearch-later")
        self._closing = threading.Event()

    def add(self, fingerprint: str, exit: int, vectors: Mapping[str, NDArray[np.float16]]) -> None:
        """What cannot be written is lost: it is embedded again when it is needed."""
        with self._mutex:
            self._waiting.setdefault((fingerprint, exit), {}).update(vectors)
        with suppress(RuntimeError):  # closed meanwhile
            self._writer.submit(self._write_one, fingerprint, exit)

    def get(self, fingerprint: str, exit: int, digests: Collection[str]) -> Vectors:
        """Those of `digests` that wait."""
        with self._mutex:
            waiting = self._waiting.get((fingerprint, exit), {})
            return {digest: waiting[digest] for digest in digests if digest in waiting}

    def close(self) -> None:
        """Write what waits."""
        self._closing.set()
        self._writer.shutdown(wait=True)

    def _write_one(self, fingerprint: str, exit: int) -> None:
        if not self._waiting.get((fingerprint, exit)):
            return  # written together with what came before
        self._closing.wait(_GATHERED_S)
        with self._mutex:
            vectors = dict(self._waiting.get((fingerprint, exit), {}))
        try:
            if vectors:
                with suppress(StoreError):
                    self._write(fingerprint, exit, vectors)
        finally:
            with self._mutex:
                left = self._waiting.get((fingerprint, exit), {})
                for digest in vectors:
                    left.pop(digest, None)
