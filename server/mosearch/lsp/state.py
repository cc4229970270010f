"""What the server knows of its one client: the folders, the settings, the requests that are running."""

from __future__ import annotations

import asyncio
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cattrs
from lsprotocol import types as lsp
from pygls.lsp.server import LanguageServer
from pygls.protocol import default_converter

from mosearch import __version__
from mosearch.lsp import logs
from mosearch.lsp.addresses import file_path
from mosearch.lsp.configuration import CLIENT_SOURCE, OPTIONS_SOURCE, Options
from mosearch.lsp.folder import Folder, Sources
from mosearch.lsp.likeness import Watch
from mosearch.lsp.outlines import Outlines
from mosearch.lsp.protocol import Protocol
from mosearch.lsp.ranges import Ranges
from mosearch.lsp.reporter import Reporter

_log = logging.getLogger(__name__)

_QUESTIONS_AT_ONCE = 4
_ANSWERS_FROM_MEMORY_AT_ONCE = 2


class Server(LanguageServer):
    """State of one connection.  Everything here is touched by the event loop's thread only."""

    protocol: Protocol

    def __init__(self) -> None:
        super().__init__(
            "mosearch",
            __version__,
            text_document_sync_kind=lsp.TextDocumentSyncKind.Incremental,
            protocol_cls=Protocol,
            converter_factory=_converter,
        )
        self.folders: dict[Path, Folder] = {}
        self.options = Options()
        self.client_settings: dict[Path | None, dict[str, Any]] = {}
        """What the client's configuration says for a folder; under None: for all that it says nothing of."""
        self.token = ""
        """What a TCP client must give as `initializationOptions.token`; empty over stdio."""
        self.admitted = False
        """Whether the client gave the token.  Until then no folder is opened, so nothing can be asked."""
        self.started = asyncio.Event()
        """Set when the folders that the client began with are being opened."""
        self.outlines = Outlines()
        self.channels: dict[str, asyncio.Task[Any]] = {}
        self.background: set[asyncio.Task[Any]] = set()
        # Questions may wait for the encoder; what is answered from memory does not queue behind them.
        self.questions = ThreadPoolExecutor(_QUESTIONS_AT_ONCE, "mosearch-question")
        self.memory = ThreadPoolExecutor(_ANSWERS_FROM_MEMORY_AT_ONCE, "mosearch-memory")
        self.protocol.on_document = self.show
        self.likeness = Watch(self, self.protocol.document, self.holders, self.ranges)
        self._holders: dict[str, list[tuple[Folder, str]]] = {}
        """What `holders` found, for documents that are open; asked for at every key."""
        self._reporter: Reporter | None = None

    @property
    def reporter(self) -> Reporter:
        if self._reporter is None:
            self._reporter = Reporter(
                self,
                asyncio.get_running_loop(),
                lambda: list(self.folders.values()),
                self._folder_changed,
                notifies=self.options.status_notifications,
            )
        return self._reporter

    def open_folder(self, root: Path, uri: str, *, watch: bool) -> None:
        if not self.admitted or root in self.folders:
            return
        folder = Folder(root, self.sources(root), self.reporter, watch=watch, uri=uri)
        self.folders[root] = folder
        self._holders.clear()
        folder.start()
        for document in list(self.protocol.documents.values()):
            self.show(document.uri)

    def close_folder(self, root: Path) -> None:
        folder = self.folders.pop(root, None)
        self._holders.clear()
        if folder is not None:
            threading.Thread(target=folder.stop, name="mosearch-stop").start()
            for document in list(self.protocol.documents.values()):
                self.likeness.look_at(document.uri)

    def sources(self, root: Path) -> Sources:
        """What the client sets for a folder, weakest first."""
        client = self.client_settings.get(root, self.client_settings.get(None, {}))
        return [(OPTIONS_SOURCE, self.options.settings), (CLIENT_SOURCE, client)]

    def ranges(self) -> Ranges:
        return Ranges(self.protocol.document, self.protocol.encoding)

    def show(self, uri: str) -> None:
        """Tell the folders what a document holds now; one that is no file, or in no folder, is not ours."""
        document = self.protocol.document(uri)
        if document is None:
            self.outlines.forget(uri)
        for folder, path in self.holders(uri):
            folder.buffers.put(path, document)
        self.likeness.look_at(uri)
        if document is None:
            self._holders.pop(uri, None)

    def holders(self, uri: str) -> list[tuple[Folder, str]]:
        """The folders that a document lies in, innermost first, and its path there."""
        known = self._holders.get(uri)
        if known is None:
            path = file_path(uri)
            found = [] if path is None else [f for f in self.folders.values() if path.is_relative_to(f.root)]
            found.sort(key=lambda folder: -len(folder.root.parts))
            known = [(f, path.relative_to(f.root).as_posix()) for f in found] if path is not None else []
            self._holders[uri] = known
        return known

    def start(self, work: Any) -> None:
        """Run a coroutine beside everything else; what goes wrong in it is logged."""
        task = asyncio.get_running_loop().create_task(work)
        self.background.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self.background.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.warning("%s: %s", type(error).__name__, error)

    def _folder_changed(self, folder: Folder) -> None:
        logs.set_level(folder.settings.log_level)
        if folder.state.name == "ready":
            for document in self.protocol.documents.values():
                self.likeness.look_at(document.uri)

    def report_server_error(self, error: Exception, source: Any) -> None:
        """Into the log, not before the user's eyes: whoever asked has got an answer."""
        _log.info("%s: %s", getattr(source, "__name__", source), error)


def _converter() -> cattrs.Converter:
    converter: cattrs.Converter = default_converter()  # type: ignore[no-untyped-call]
    return converter
