"""Memory: what the C library keeps after it was freed, and what Python's collector need not look at.

Of C libraries only glibc, which keeps a pool for each of many threads, has to be told.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
"""Options of malloc.h."""
_POOLS = 2
_LARGE_BYTES = 4 << 20
_MOST_BYTES = 2**31 - 1


def keep_little() -> None:
    """From now on threads share pools, and what is large goes back to the system as soon as it is freed.

    To be called before there are many threads.
    """
    _set({_ARENA_MAX: _POOLS, _MMAP_THRESHOLD: _LARGE_BYTES, _TRIM_THRESHOLD: _LARGE_BYTES})


def keep_much() -> None:
    """From now on what is freed stays, for a process that makes the same large arrays again and again.

    Else the system clears their pages each time: a seventh of a training step of 128 pairs, half of one of
    512.
    """
    _set({_MMAP_THRESHOLD: _MOST_BYTES, _TRIM_THRESHOLD: _MOST_BYTES})


def _set(options: Mapping[int, int]) -> None:
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # another C library
            library = ctypes.CDLL(None)
            for option, value in options.items():
                library.mallopt(option, value)


def give_back() -> None:
    """What is free in the pools goes back to the system; some milliseconds, so worthwhile after work."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)


@contextmanager
def loading() -> Iterator[None]:
    """For imports and the like: the collector of garbage, a tenth of their time, waits until they are done.

    Afterwards as `settle`.
    """
    gc.disable()
    try:
        yield
    finally:
        settle()
        gc.enable()


def settle() -> None:
    """What is there by now stays: full collections pass it over, which took 20 to 90 ms each.

    Nothing is collected first, as that would be such a pause itself.  So to be called seldom: garbage in
    cycles that is there now stays, too.
    """
    gc.freeze()
