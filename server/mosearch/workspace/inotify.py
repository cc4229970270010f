# Strings, not Path objects: these functions are asked for every entry of a tree.
# ruff: noqa: PTH118
"""Change events of Linux, for the folders of a tree that one chooses.

Every folder takes a watch of its own, of which a user has some ten thousand.  A recursive watch, which
is all that libraries offer, spends them on `node_modules` and the like.
"""

from __future__ import annotations

import ctypes
import os
import select
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

_MODIFY, _ATTRIB, _CLOSE_WRITE = 0x2, 0x4, 0x8
_MOVED_FROM, _MOVED_TO, _CREATE, _DELETE = 0x40, 0x80, 0x100, 0x200
_DELETE_SELF, _MOVE_SELF = 0x400, 0x800
_UNMOUNT, _OVERFLOW, _IGNORED = 0x2000, 0x4000, 0x8000
_ONLYDIR, _DONT_FOLLOW, _ISDIR = 0x1000000, 0x2000000, 0x40000000
_MASK = (
    (_MODIFY | _ATTRIB | _CLOSE_WRITE | _CREATE | _DELETE)
    | (_MOVED_FROM | _MOVED_TO | _DELETE_SELF | _MOVE_SELF)
    | (_ONLYDIR | _DONT_FOLLOW)
)
_FLAGS = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
_HEAD = struct.Struct("iIII")
_BUFFER = 1 << 16


@dataclass(frozen=True, slots=True)
class Event:
    path: str
    """Relative to the root, separated by `/`; empty for the root and where the kernel does not say."""
    is_dir: bool
    is_lost: bool
    """Whether events were lost, or the whole tree was unmounted, moved or deleted."""


class FolderWatch:
    """Watches folders below `root`, those that `is_wanted` (given a path relative to it) accepts.

    Only `wake` may be called from another thread.
    """

    def __init__(self, root: str, is_wanted: Callable[[str], bool]) -> None:
        """Raises `OSError` where there are no events or no more watches."""
        self._root = root
        self._is_wanted = is_wanted
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._waker, self._wake = os.pipe()
        try:
            self._descriptor = self._checked(self._libc.inotify_init1(_FLAGS))
        except OSError:
            os.close(self._waker)
            os.close(self._wake)
            raise
        self._folders: dict[int, str] = {}
        self._closing = threading.Lock()
        self._is_closed = False
        self._poll = select.poll()
        for descriptor in (self._descriptor, self._waker):
            self._poll.register(descriptor, select.POLLIN)
        try:
            self.sync()
        except OSError:
            self.close()
            raise

    def sync(self) -> None:
        """Watch the wanted folders that there are now, and no others.  Raises `OSError`."""
        folders = {self._add(folder): folder for folder in self._walk()}
        for watch in self._folders.keys() - folders.keys():
            self._libc.inotify_rm_watch(self._descriptor, watch)
        folders.pop(-1, None)
        self._folders = folders

    def wait(self, timeout: float) -> list[Event]:
        """What happened, waiting up to `timeout` seconds for something; empty also when woken."""
        ready = {descriptor for descriptor, _ in self._poll.poll(timeout * 1000)}
        return list(self._events(os.read(self._descriptor, _BUFFER))) if self._descriptor in ready else []

    def wake(self) -> None:
        """End a `wait`; does nothing after `close`."""
        with self._closing:
            if not self._is_closed:
                os.write(self._wake, b"\0")

    def close(self) -> None:
        with self._closing:
            self._is_closed = True
            for descriptor in (self._descriptor, self._waker, self._wake):
                os.close(descriptor)

    def _walk(self) -> Iterator[str]:
        """The root as an empty string, first, and the wanted folders below it."""
        waiting = [""]
        while waiting:
            folder = waiting.pop()
            yield folder
            try:
                with os.scandir(os.path.join(self._root, folder)) as entries:
                    below = [f"{folder}/{entry.name}".lstrip("/") for entry in entries if _is_folder(entry)]
            except OSError:
                continue
            waiting.extend(path for path in below if self._is_wanted(path))

    def _add(self, folder: str) -> int:
        """The watch of a folder; -1 for one that went, or may not be read.  Raises `OSError` otherwise."""
        path = os.fsencode(os.path.join(self._root, folder))
        watch: int = self._libc.inotify_add_watch(self._descriptor, path, _MASK)
        if watch < 0 and (not folder or os.access(path, os.R_OK)):
            return self._checked(watch)
        return watch

    def _events(self, data: bytes) -> Iterator[Event]:
        start = 0
        while start < len(data):
            watch, mask, _, length = _HEAD.unpack_from(data, start)
            start += _HEAD.size + length
            name = os.fsdecode(data[start - length : start].rstrip(b"\0"))
            folder = self._folders.get(watch)
            is_root_gone = folder == "" and bool(mask & (_DELETE_SELF | _MOVE_SELF | _UNMOUNT | _IGNORED))
            if mask & _OVERFLOW or is_root_gone:
                yield Event("", True, True)
            elif folder is not None and name:
                yield Event(f"{folder}/{name}".lstrip("/"), bool(mask & _ISDIR), False)

    def _checked(self, result: int) -> int:
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return result


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False
