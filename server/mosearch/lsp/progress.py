"""Work-done progress of indexing, shown by any client that offers it."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Callable
from contextlib import suppress

from lsprotocol import types as lsp
from pygls.lsp.server import LanguageServer

from mosearch.lsp.folder import Folder
from mosearch.types import IndexReport

_log = logging.getLogger(__name__)

# A client redraws for every report: a few a second look smooth.
_REPORT_EVERY_S = 0.1

_STAGES = {
    "scan": "looking for changes",
    "parse": "reading files",
    "first": "embedding",
    "embed": "embedding",
    "deepen": "embedding deeper",
}

_Event = lsp.WorkDoneProgressReport | lsp.WorkDoneProgressEnd


class ProgressReporter:
    """A `Listener` that turns what a folder's thread says into `$/progress` on the event loop."""

    def __init__(self, server: LanguageServer, loop: asyncio.AbstractEventLoop) -> None:
        self._server = server
        self._loop = loop
        self._events: dict[Folder, asyncio.Queue[_Event]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._last_report = 0.0

    def begin(self, folder: Folder) -> None:
        self._call(lambda: self._begin(folder))

    def report(self, folder: Folder, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._last_report < _REPORT_EVERY_S:
            return
        self._last_report = now
        message = _STAGES[stage] + (f" {done:,} / {total:,}" if total else "")
        percentage = min(100, 100 * done // total) if total else 0
        event = lsp.WorkDoneProgressReport(message=message, percentage=percentage)
        self._call(lambda: self._tell(folder, event))

    def end(self, folder: Folder, report: IndexReport | None) -> None:
        message = f"{report.files:,} files, {report.chunks:,} chunks" if report is not None else None
        event = lsp.WorkDoneProgressEnd(message=message)
        self._call(lambda: self._tell(folder, event))
        if report is not None and report.warning:
            self.fail(folder, report.warning)

    def fail(self, folder: Folder, message: str) -> None:
        _log.warning("%s: %s", folder.root, message)
        params = lsp.ShowMessageParams(type=lsp.MessageType.Warning, message=f"MoSEarch: {message}")
        self._call(lambda: self._server.window_show_message(params))

    def _call(self, function: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the loop is closed: there is no client any more
            self._loop.call_soon_threadsafe(function)

    def _begin(self, folder: Folder) -> None:
        window = self._server.client_capabilities.window
        if window is None or not window.work_done_progress:
            return
        events = self._events[folder] = asyncio.Queue()
        task = self._loop.create_task(self._show(events))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _tell(self, folder: Folder, event: _Event) -> None:
        if folder in self._events:
            self._events[folder].put_nowait(event)

    async def _show(self, events: asyncio.Queue[_Event]) -> None:
        """Relay one run's events in order.  A token is never used twice: clients refuse that."""
        token = str(uuid.uuid4())
        progress = self._server.work_done_progress
        try:
            await progress.create_async(token)
        except Exception as error:  # whatever the client answers, indexing goes on without a bar
            _log.info("the client refused a progress token: %s", error)
            return
        progress.begin(token, lsp.WorkDoneProgressBegin(title="MoSEarch", message=_STAGES["scan"]))
        while True:
            event = await events.get()
            if isinstance(event, lsp.WorkDoneProgressEnd):
                progress.end(token, event)
                return
            progress.report(token, event)
