"""What folders' threads say, brought to the client on the event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from lsprotocol import types as lsp
from pygls.lsp.server import LanguageServer

from mosearch.lsp.folder import Folder
from mosearch.lsp.progress import ProgressBars
from mosearch.lsp.status import brief
from mosearch.types import IndexReport

_log = logging.getLogger(__name__)

STATUS_CHANGED = "mosearch/statusChanged"
_NOTIFY_EVERY_S = 0.25


class Reporter:
    """A folder's `Listener`: progress bars, messages, and, where wanted, `mosearch/statusChanged`."""

    def __init__(
        self,
        server: LanguageServer,
        loop: asyncio.AbstractEventLoop,
        folders: Callable[[], list[Folder]],
        changed: Callable[[Folder], None],
        *,
        notifies: bool,
    ) -> None:
        """`changed` is called on the event loop after a folder's state or settings changed."""
        self.bars = ProgressBars(server, loop)
        self._server = server
        self._loop = loop
        self._folders = folders
        self._changed = changed
        self._notifies = notifies
        self._told: dict[Path, set[str]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._is_stale = False

    def changed(self, folder: Folder) -> None:
        self._call(lambda: self._note(folder))

    def begin(self, folder: Folder) -> None:
        self.bars.begin(folder)

    def report(self, folder: Folder, stage: str, done: int, total: int) -> None:
        self.bars.report(folder, stage, done, total)

    def end(self, folder: Folder, report: IndexReport | None) -> None:
        self.bars.end(folder, report)

    def complain(self, folder: Folder, message: str) -> None:
        self._call(lambda: self._complain(folder, message))

    def _call(self, function: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the loop is closed: there is no client any more
            self._loop.call_soon_threadsafe(function)

    def _complain(self, folder: Folder, message: str) -> None:
        told = self._told.setdefault(folder.root, set())
        if message in told:
            return
        told.add(message)
        _log.warning("%s: %s", folder.root, message)
        params = lsp.ShowMessageParams(type=lsp.MessageType.Warning, message=f"MoSEarch: {message}")
        self._server.window_show_message(params)

    def _note(self, folder: Folder) -> None:
        state = folder.state
        if state.name == "ready" and not (state.warning or folder.settings_problem):
            self._told.pop(folder.root, None)  # if it comes back, it is news again
        self._changed(folder)
        if self._notifies:
            self._is_stale = True
            self._notify()

    def _notify(self) -> None:
        """At once, then at most every so often; the last state is always told."""
        if self._timer is not None or not self._is_stale:
            return
        self._is_stale = False
        folders = [brief(folder) for folder in self._folders()]
        self._server.protocol.notify(STATUS_CHANGED, {"folders": folders})
        self._timer = self._loop.call_later(_NOTIFY_EVERY_S, self._again)

    def _again(self) -> None:
        self._timer = None
        self._notify()
