"""Noticing that files change, for clients that do not tell."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from watchdog.events import (
    EVENT_TYPE_CLOSED_NO_WRITE,
    EVENT_TYPE_MODIFIED,
    EVENT_TYPE_OPENED,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer

from mosearch.workspace.ignore import MARKER_NAMES, METADATA_NAMES, IgnoreRules
from mosearch.workspace.inotify import Event, FolderWatch

_log = logging.getLogger(__name__)

_READ_ONLY = (EVENT_TYPE_OPENED, EVENT_TYPE_CLOSED_NO_WRITE)

POLL_SECONDS = 30.0
"""How often a look is suggested where the system has no events to give."""
_STOP_S = 1.0
# Changes that another machine makes have no events here.
_REMOTE = ("9p", "afs", "ceph", "cifs", "drvfs", "fuse.", "nfs", "prl_fs", "smb", "vboxsf", "virtiofs")


class Watcher:
    """Calls `changed`, from a thread of its own, when files that are not ignored may have changed.

    It does not say which: the caller compares with what it knows, so nothing is lost if events are.
    Where the system refuses events (no more inotify watches, a file system without them, a root that
    has vanished), `changed` is called every `poll_seconds` instead, and `is_polling` is true.  On Linux,
    ignored folders take no watches.
    """

    def __init__(self, root: Path, changed: Callable[[], None], poll_seconds: float = POLL_SECONDS) -> None:
        self.is_polling = False
        self._root = root
        self._changed = changed
        self._poll_seconds = poll_seconds
        self._stopping = threading.Event()
        self._stop: Callable[[], None] = _nothing

    def start(self) -> None:
        """Begin; returns when changes made from now on are noticed."""
        try:
            if sys.platform == "linux":
                self._start_inotify()
            else:
                self._start_watchdog()
        except OSError as error:
            _log.warning(
                "no change events for %s (%s): looking every %g s", self._root, error, self._poll_seconds
            )
            self._start_polling()
            return
        if is_remote(self._root):
            self._start_polling()

    def stop(self) -> None:
        self._stopping.set()
        self._stop()

    def _start_polling(self) -> None:
        self.is_polling = True
        threading.Thread(target=self._poll, name="mosearch-poll", daemon=True).start()

    def _poll(self) -> None:
        while not self._stopping.wait(self._poll_seconds):
            self._changed()

    def _start_watchdog(self) -> None:
        observer = Observer()
        handler = _Handler(Concern(self._root), self._changed, self._root)
        observer.schedule(handler, str(self._root), recursive=True)
        observer.start()

        def stop() -> None:
            observer.stop()
            observer.join(_STOP_S)

        self._stop = stop

    def _start_inotify(self) -> None:
        concern = Concern(self._root)
        watch = self._folder_watch(concern)
        thread = threading.Thread(
            target=self._follow, args=(watch, concern), name="mosearch-inotify", daemon=True
        )
        thread.start()
        self._stop = watch.wake

    def _folder_watch(self, concern: Concern) -> FolderWatch:
        return FolderWatch(os.fspath(self._root), lambda folder: concern.is_ours(folder, True))

    def _follow(self, watch: FolderWatch | None, concern: Concern) -> None:
        while watch is not None and not self._stopping.is_set():
            try:
                self._follow_events(watch, concern)
            except OSError as error:
                _log.warning(
                    "no more change events for %s (%s): looking every %g s",
                    self._root,
                    error,
                    self._poll_seconds,
                )
            finally:
                self._stop = _nothing
                watch.close()
            if not self._stopping.is_set():
                watch = self._wait_for_root(concern)

    def _follow_events(self, watch: FolderWatch, concern: Concern) -> None:
        """Until stopped.  Raises `OSError` when there are no events any more."""
        while not self._stopping.is_set():
            events = watch.wait(self._poll_seconds)
            ours = [event for event in events if concern.take(event.path, event.is_dir)]
            # Folders that are new take watches before the caller looks: nothing is missed between.
            if any(_moves_watches(event) for event in ours):
                watch.sync()
            if ours:
                self._changed()

    def _wait_for_root(self, concern: Concern) -> FolderWatch | None:
        """Poll; events are back when a root that had vanished is.  None when stopped."""
        self.is_polling = True
        was_there = self._root.is_dir()
        self._changed()
        while not self._stopping.wait(self._poll_seconds):
            is_there = self._root.is_dir()
            if is_there and not was_there:
                with suppress(OSError):
                    watch = self._folder_watch(concern)
                    self._stop = watch.wake
                    self.is_polling = False
                    self._changed()
                    return watch
            was_there = is_there
            self._changed()
        return None


def _moves_watches(event: Event) -> bool:
    return event.is_dir or event.is_lost or event.path.rpartition("/")[2] in MARKER_NAMES


def _nothing() -> None:
    pass


class Concern:
    """Which changes concern an index; follows the ignore files as they change."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._rules = IgnoreRules.load(root)

    def take(self, path: str, is_directory: bool) -> bool:
        """As `is_ours`, for something that has just changed."""
        if path.rpartition("/")[2] in MARKER_NAMES:
            self._rules = IgnoreRules.load(self._root)
            return True
        return self.is_ours(path, is_directory)

    def is_ours(self, path: str, is_directory: bool) -> bool:
        """Whether a scan would see what is at `path`, relative to the root; the root itself is ours."""
        if METADATA_NAMES.intersection(path.split("/")):
            return False
        return not self._rules.is_ignored(path, is_directory)


class _Handler(FileSystemEventHandler):
    def __init__(self, concern: Concern, changed: Callable[[], None], root: Path) -> None:
        self._concern = concern
        self._changed = changed
        self._root = root

    def on_any_event(self, event: FileSystemEvent) -> None:
        # A folder is "modified" whenever something in it changes, which has an event of its own.
        is_echo = event.is_directory and event.event_type == EVENT_TYPE_MODIFIED
        if is_echo or event.event_type in _READ_ONLY:
            return
        paths = [os.fsdecode(path) for path in (event.src_path, event.dest_path) if path]
        relative = [os.path.relpath(path, self._root).replace(os.sep, "/") for path in paths]
        ours = [path for path in relative if path != "." and self._concern.take(path, event.is_directory)]
        if ours:
            self._changed()


def is_remote(root: Path, mounts: Path = Path("/proc/mounts")) -> bool:
    """Whether a folder lies on a file system that others may change without an event here (Linux)."""
    try:
        lines = mounts.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return False
    best, kind = "", ""
    for line in lines:
        fields = line.split(" ")
        point = fields[1].replace("\\040", " ") if len(fields) > 2 else ""
        if len(point) >= len(best) and point and root.is_relative_to(point):
            best, kind = point, fields[2]
    return kind.startswith(_REMOTE)
