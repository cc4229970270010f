"""Opening a file safely: never through a symbolic link, never something that is no regular file."""

from __future__ import annotations

import errno
import os
import stat

from mosearch.types import SkippedFile, SkipReason

_FLAGS = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
# Opening a FIFO would wait for a writer.
_NO_WAIT = getattr(os, "O_NONBLOCK", 0)
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_LASTING = frozenset(
    {errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG}
)
_IN_USE = (32, 33)
"""Windows: another program has the file, or a part of it, for itself."""


class NotRegularError(OSError):
    """The path leads to a folder, a device, a FIFO or a socket."""


def open_regular(path: str, *, follow: bool = False) -> int:
    """A descriptor of the regular file at `path`.  Raises `OSError`, also for a symbolic link.

    `follow` allows a symbolic link, as for files that the user's own settings name.
    """
    descriptor = os.open(path, _FLAGS | _NO_WAIT | (0 if follow else _NO_FOLLOW))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NotRegularError(f"{path} is not a regular file")
    return descriptor


def unreadable(path: str, error: OSError) -> SkippedFile:
    """What to say of a file or folder that could not be read."""
    passing = error.errno not in _LASTING or getattr(error, "winerror", None) in _IN_USE
    return SkippedFile(path, SkipReason.UNREADABLE, error.strerror or str(error), passing=passing)


def changed_ns(status: os.stat_result) -> int:
    """When a file was last written, renamed or given another time, in nanoseconds since the epoch.

    The time of change that a file shows can be set by anybody, and is kept when it is moved or unpacked:
    two files that trade places would look unchanged.  The inode's own cannot be set.
    """
    return max(status.st_mtime_ns, status.st_ctime_ns)


def is_unchanged(path: str, size: int, when_ns: int) -> bool:
    """Whether a regular file has this size and was last changed then; 0 is a time that is not known."""
    try:
        status = os.lstat(path)
    except (OSError, ValueError):
        return False
    same = stat.S_ISREG(status.st_mode) and status.st_size == size
    return same and when_ns in (0, changed_ns(status))


def read_up_to(descriptor: int, limit: int) -> bytes:
    """At most `limit` bytes from the start of an open file."""
    os.lseek(descriptor, 0, os.SEEK_SET)
    parts = []
    while limit > 0 and (part := os.read(descriptor, limit)):
        parts.append(part)
        limit -= len(part)
    return b"".join(parts)


def read_small(path: str, limit: int, *, follow: bool = False) -> bytes:
    """The first `limit` bytes of a regular file; empty if it cannot be read."""
    try:
        descriptor = open_regular(path, follow=follow)
    except (OSError, ValueError):
        return b""
    try:
        return read_up_to(descriptor, limit)
    except OSError:
        return b""
    finally:
        os.close(descriptor)
