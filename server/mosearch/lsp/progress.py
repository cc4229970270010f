"""Work-done progress of indexing, shown by any client that offers it."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from lsprotocol import types as lsp
from pygls.lsp.server import LanguageServer

from mosearch.lsp.folder import Folder
from mosearch.progress import Meter
from mosearch.types import IndexReport

_log = logging.getLogger(__name__)

# A client redraws for every report: a few a second look smooth.
_REPORT_EVERY_S = 0.1
# A run that is over sooner, as after most saves, shows nothing.
_SHOWN_AFTER_S = 0.3

_STAGES = {
    "scan": "looking for changes",
    "parse": "reading files",
    "first": "embedding",
    "embed": "embedding",
    "deepen": "embedding deeper",
}

_Event = lsp.WorkDoneProgressReport | lsp.WorkDoneProgressEnd


@dataclass(slots=True, eq=False)
class _Run:
    """One run of indexing.  `shown` is set by the folder's thread alone."""

    began: float
    is_first: bool
    shown: bool = False
    last_report: float = 0.0
    meter: Meter = field(default_factory=Meter)
    events: asyncio.Queue[_Event] = field(default_factory=asyncio.Queue)


class ProgressBars:
    """Turns what folders' threads say into `$/progress` on the event loop."""

    def __init__(self, server: LanguageServer, loop: asyncio.AbstractEventLoop) -> None:
        self._server = server
        self._loop = loop
        self._runs: dict[Folder, _Run] = {}
        self._seen: set[Folder] = set()
        self._tokens: dict[str | int, Folder] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, folder: Folder) -> None:
        self._runs[folder] = _Run(time.monotonic(), folder not in self._seen)
        self._seen.add(folder)

    def report(self, folder: Folder, stage: str, done: int, total: int) -> None:
        run, now = self._runs.get(folder), time.monotonic()
        if run is None:
            return
        share = run.meter.update(stage, done, total)
        if not total or now - run.last_report < _REPORT_EVERY_S:
            return
        if not run.shown:
            if not run.is_first and now - run.began < _SHOWN_AFTER_S:
                return
            run.shown = True
            self._call(lambda: self._open(folder, run))
        run.last_report = now
        message = f"{_STAGES[stage]} {done:,} / {total:,}"
        event = lsp.WorkDoneProgressReport(message=message, percentage=int(100 * share), cancellable=True)
        self._call(lambda: run.events.put_nowait(event))

    def end(self, folder: Folder, report: IndexReport | None) -> None:
        run = self._runs.pop(folder, None)
        if run is None or not run.shown:
            return
        message = f"{report.files:,} files, {report.chunks:,} chunks" if report is not None else None
        self._call(lambda: run.events.put_nowait(lsp.WorkDoneProgressEnd(message=message)))

    def cancel(self, token: str | int) -> None:
        """The user stopped the work that a token shows."""
        folder = self._tokens.get(token)
        if folder is not None:
            folder.cancel()

    def _call(self, function: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the loop is closed: there is no client any more
            self._loop.call_soon_threadsafe(function)

    def _open(self, folder: Folder, run: _Run) -> None:
        window = self._server.client_capabilities.window
        if window is not None and window.work_done_progress:
            task = self._loop.create_task(self._show(folder, run))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _show(self, folder: Folder, run: _Run) -> None:
        """Relay one run's events in order.  A token is never used twice: clients refuse that."""
        token = str(uuid.uuid4())
        progress = self._server.work_done_progress
        try:
            await progress.create_async(token)
        except Exception as error:  # whatever the client answers, indexing goes on without a bar
            _log.info("the client refused a progress token: %s", error)
            return
        self._tokens[token] = folder
        title = f"MoSEarch: indexing {folder.root.name}"
        progress.begin(token, lsp.WorkDoneProgressBegin(title=title, cancellable=True, percentage=0))
        while True:
            event = await run.events.get()
            if isinstance(event, lsp.WorkDoneProgressEnd):
                progress.end(token, event)
                del self._tokens[token], progress.tokens[token]
                return
            progress.report(token, event)
