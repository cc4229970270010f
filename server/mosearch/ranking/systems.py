"""Which operating systems a file is for, by the words of its path: `win/tty.c`, `epoll_linux.go`."""

from __future__ import annotations

import re
import sys
from collections.abc import Collection
from pathlib import PurePosixPath

_BSD = frozenset({"freebsd", "openbsd", "netbsd", "dragonfly"})
_OTHER_UNIX = frozenset(
    {"aix", "sunos", "solaris", "illumos", "hpux", "haiku", "hurd", "qnx", "os390", "ibmi"}
)
_UNIX = _BSD | _OTHER_UNIX | {"linux", "darwin"}
_SYSTEMS: dict[str, frozenset[str]] = {
    **{name: frozenset({name}) for name in _UNIX | {"windows"}},
    **dict.fromkeys(("win", "win32", "win64", "winapi", "mingw"), frozenset({"windows"})),
    **dict.fromkeys(("macos", "osx"), frozenset({"darwin"})),
    "bsd": _BSD | {"darwin"},
    "unix": _UNIX,
    "posix": _UNIX,
}
"""A word of a path → the systems that it names."""
_SHORT = frozenset({"win"})
"""These say so only as a whole name, or at its end: a `win_rate` is no system."""
_NAMES = {"win32": "windows", "cygwin": "windows"}
_WORDS = re.compile(r"[A-Za-z0-9]+")

HERE = _NAMES.get(sys.platform, sys.platform.rstrip("0123456789"))
"""The system that this runs on."""
WORDS = frozenset(_SYSTEMS)
"""What names a system."""


def is_foreign(path: str, system: str = HERE) -> bool:
    """Whether a file is for other systems only."""
    named = [_SYSTEMS[word] for part in PurePosixPath(path).parts for word in _named(part)]
    return bool(named) and not any(system in systems for systems in named)


def _named(part: str) -> Collection[str]:
    words = [word.lower() for word in _WORDS.findall(part.partition(".")[0])]
    return [
        word
        for place, word in enumerate(words, 1)
        if word in WORDS and (word not in _SHORT or place == len(words))
    ]
