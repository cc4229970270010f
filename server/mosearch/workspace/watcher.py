"""Noticing that files change, for clients that do not tell."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
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

_log = logging.getLogger(__name__)

_READ_ONLY = (EVENT_TYPE_OPENED, EVENT_TYPE_CLOSED_NO_WRITE)

POLL_SECONDS = 30.0
"""How often a look is suggested where the system has no events to give."""


class Watcher:
    """Calls `changed`, from a thread of its own, when files that are not ignored may have changed.

    It does not say which: the caller compares with what it knows, so nothing is lost if events are.
    Where the system refuses events (no more inotify watches, a file system without them), `changed`
    is called every `poll_seconds` instead, and `is_polling` is true.
    """

    def __init__(self, root: Path, changed: Callable[[], None], poll_seconds: float = POLL_SECONDS) -> None:
        self.is_polling = False
        self._root = root
        self._changed = changed
        self._poll_seconds = poll_seconds
        self._observer = Observer()
        self._stopping = threading.Event()

    def start(self) -> None:
        """Begin; returns when changes made from now on are noticed."""
        try:
            self._observer.schedule(_Handler(self._root, self._changed), str(self._root), recursive=True)
            self._observer.start()
        except OSError as error:
            _log.warning(
                "no change events for %s (%s): looking every %g s", self._root, error, self._poll_seconds
            )
            self.is_polling = True
            threading.Thread(target=self._poll, name="mosearch-poll", daemon=True).start()

    def stop(self) -> None:
        self._stopping.set()
        if self._observer.is_alive():
            self._observer.stop()
            self._observer.join(1.0)

    def _poll(self) -> None:
        while not self._stopping.wait(self._poll_seconds):
            self._changed()


class _Handler(FileSystemEventHandler):
    def __init__(self, root: Path, changed: Callable[[], None]) -> None:
        self._root = root
        self._changed = changed
        self._rules = IgnoreRules.load(root)

    def on_any_event(self, event: FileSystemEvent) -> None:
        # A folder is "modified" whenever something in it changes, which has an event of its own.
        is_echo = event.is_directory and event.event_type == EVENT_TYPE_MODIFIED
        if is_echo or event.event_type in _READ_ONLY:
            return
        paths = [os.fsdecode(path) for path in (event.src_path, event.dest_path) if path]
        if any(Path(path).name in MARKER_NAMES for path in paths):
            self._rules = IgnoreRules.load(self._root)
            self._changed()
        elif any(self._concerns_us(path, event.is_directory) for path in paths):
            self._changed()

    def _concerns_us(self, path: str, is_directory: bool) -> bool:
        relative = os.path.relpath(path, self._root).replace(os.sep, "/")
        if relative == "." or METADATA_NAMES.intersection(relative.split("/")):
            return False
        return not self._rules.is_ignored(relative, is_directory)
