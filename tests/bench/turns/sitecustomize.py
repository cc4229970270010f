"""The longest turns of a server's event loop, by its own time of the processor: other processes do not count.

    LOOP_TURNS=FILE PYTHONPATH=tests/bench/turns pytest -s -n0 tests/test_lsp_conformance.py

Each process appends turns of more than 3 ms to `FILE.<its number>`: own milliseconds, milliseconds by the
clock, what ran.
"""

from __future__ import annotations

import os
import time
from asyncio import events
from pathlib import Path

_LEAST_MS = 3.0


def _watch(prefix: str) -> None:
    run = events.Handle._run

    def watched(self: events.Handle) -> None:
        own, clock = time.thread_time(), time.perf_counter()
        run(self)
        milliseconds = 1000 * (time.thread_time() - own)
        if milliseconds > _LEAST_MS:
            elapsed = 1000 * (time.perf_counter() - clock)
            with Path(f"{prefix}.{os.getpid()}").open("a") as file:
                file.write(f"{milliseconds:.1f} {elapsed:.1f} {self!r:.120}\n")

    events.Handle._run = watched  # type: ignore[method-assign]


if "LOOP_TURNS" in os.environ:
    _watch(os.environ["LOOP_TURNS"])
