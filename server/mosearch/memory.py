"""Memory that the C library keeps after it was freed: how much of it, and giving it back.

Only glibc, which keeps a pool for each of many threads, has to be told.
"""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress

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
