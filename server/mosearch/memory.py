"""Memory: what the C library keeps after it was freed, and what Python's collector need not look at.

Of C libraries only glibc, which keeps a pool for each of many threads, has to be told.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_ARENA_MAX = -8
"""`M_ARENA_MAX` of malloc.h."""
_POOLS = 2


def keep_few_pools() -> None:
    """From now on threads share pools.  To be called before there are many of them."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # another C library
            ctypes.CDLL(None).mallopt(_ARENA_MAX, _POOLS)


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
