"""The pygls server: its handlers, each short enough to read whole."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote

import cattrs
import psutil
from lsprotocol import types as lsp
from pygls import uris
from pygls.exceptions import JsonRpcException, JsonRpcInvalidParams
from pygls.lsp.server import LanguageServer
from pygls.protocol import default_converter
from pygls.protocol.json_rpc import JsonRPCNotification, JsonRPCRequestMessage
from pygls.workspace import TextDocument

from mosearch import __version__
from mosearch.errors import MosearchError, UsageError
from mosearch.lsp import answers, wire
from mosearch.lsp.folder import Folder
from mosearch.lsp.progress import ProgressReporter

_log = logging.getLogger(__name__)
_Result = TypeVar("_Result")

REQUEST_FAILED = -32803
"""LSP 3.17 `RequestFailed`: the request was right, but could not be served."""

_PARENT_POLL_S = 2.0
_WATCHER_ID = "mosearch-files"


class Server(LanguageServer):
    """State of one connection: the workspace folders and where progress goes."""

    def __init__(self) -> None:
        super().__init__(
            "mosearch",
            __version__,
            text_document_sync_kind=lsp.TextDocumentSyncKind.Incremental,
            converter_factory=_converter,
        )
        self.folders: dict[Path, Folder] = {}
        self.options: dict[str, object] = {}
        self.token = ""
        """What a TCP client must give as `initializationOptions.token`; empty over stdio."""
        self.admitted = False
        """Whether the client gave the token.  Until then no folder is opened, so nothing can be asked."""
        self._reporter: ProgressReporter | None = None

    def open_folder(self, root: Path) -> None:
        if not self.admitted or root in self.folders:
            return
        if self._reporter is None:
            self._reporter = ProgressReporter(self, asyncio.get_running_loop())
        folder = self.folders[root] = Folder(
            root, self.options, self._reporter, watch=not _client_watches(self)
        )
        folder.start()
        for uri in list(self.workspace.text_documents):
            _show(self, uri)

    def close_folder(self, root: Path) -> None:
        folder = self.folders.pop(root, None)
        if folder is not None:
            threading.Thread(target=folder.stop, name="mosearch-stop").start()


def _converter() -> cattrs.Converter:
    """pygls turns parameters of unknown methods into named tuples; ours stay plain JSON objects."""
    converter: cattrs.Converter = default_converter()  # type: ignore[no-untyped-call]
    for message in (JsonRPCRequestMessage, JsonRPCNotification):
        converter.register_structure_hook(message, lambda values, cls: cls(**values))
    return converter


server = Server()


@server.feature(lsp.INITIALIZE)
def _initialize(ls: Server, params: lsp.InitializeParams) -> None:
    options = params.initialization_options or {}
    if not isinstance(options, dict):
        raise JsonRpcInvalidParams(f"initializationOptions must be an object, not {options!r}.")
    options = dict(options)
    if not secrets.compare_digest(str(options.pop("token", "")).encode(), ls.token.encode()):
        raise JsonRpcInvalidParams("initializationOptions.token is not the token that the server printed.")
    ls.admitted = True
    ls.options = options
    if params.process_id is not None:
        _leave_with(params.process_id)


@server.feature(lsp.INITIALIZED)
async def _initialized(ls: Server, _params: lsp.InitializedParams) -> None:
    for folder in ls.workspace.folders.values():
        ls.open_folder(wire.to_path(folder.uri))
    if not ls.workspace.folders and ls.workspace.root_path is not None:
        ls.open_folder(Path(ls.workspace.root_path))
    await _watch_files(ls)


def _client_watches(ls: Server) -> bool:
    """Whether the client tells of changed files when it is asked to."""
    workspace = ls.client_capabilities.workspace
    watching = workspace.did_change_watched_files if workspace is not None else None
    return watching is not None and bool(watching.dynamic_registration)


async def _watch_files(ls: Server) -> None:
    if not _client_watches(ls):
        return
    options = lsp.DidChangeWatchedFilesRegistrationOptions(
        watchers=[lsp.FileSystemWatcher(glob_pattern="**/*")]
    )
    registration = lsp.Registration(_WATCHER_ID, lsp.WORKSPACE_DID_CHANGE_WATCHED_FILES, options)
    await ls.client_register_capability_async(lsp.RegistrationParams([registration]))


@server.feature(lsp.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS)
def _folders_changed(ls: Server, params: lsp.DidChangeWorkspaceFoldersParams) -> None:
    for gone in params.event.removed:
        ls.close_folder(wire.to_path(gone.uri))
    for added in params.event.added:
        ls.open_folder(wire.to_path(added.uri))


@server.feature(lsp.WORKSPACE_DID_CHANGE_WATCHED_FILES)
def _files_changed(ls: Server, params: lsp.DidChangeWatchedFilesParams) -> None:
    _request_updates(ls, (change.uri for change in params.changes))


@server.feature(lsp.TEXT_DOCUMENT_DID_OPEN)
def _opened(ls: Server, params: lsp.DidOpenTextDocumentParams) -> None:
    _show(ls, params.text_document.uri)


@server.feature(lsp.TEXT_DOCUMENT_DID_CHANGE)
def _changed(ls: Server, params: lsp.DidChangeTextDocumentParams) -> None:
    _show(ls, params.text_document.uri)


@server.feature(lsp.TEXT_DOCUMENT_DID_CLOSE)
def _closed(ls: Server, params: lsp.DidCloseTextDocumentParams) -> None:
    _show(ls, params.text_document.uri)


def _show(ls: Server, uri: str) -> None:
    """Tell the folder what a document holds now; one that is no file, or in no folder, is not ours."""
    path = uris.to_fs_path(uri)
    for root, folder in ls.folders.items():
        if path is not None and Path(path).is_relative_to(root):
            relative = Path(path).relative_to(root).as_posix()
            folder.buffers.put(relative, _open_document(ls, uri))


@server.feature(lsp.TEXT_DOCUMENT_DID_SAVE)
def _saved(ls: Server, params: lsp.DidSaveTextDocumentParams) -> None:
    _request_updates(ls, [params.text_document.uri])


def _request_updates(ls: Server, document_uris: Iterable[str]) -> None:
    """Documents that are no files, or lie outside the workspace, are not ours."""
    paths = [Path(path) for uri in document_uris if (path := uris.to_fs_path(uri)) is not None]
    for root, folder in ls.folders.items():
        if any(path.is_relative_to(root) for path in paths):
            folder.request_update()


@server.feature("mosearch/search")
async def _search(ls: Server, params: Any) -> dict[str, Any]:
    return await _in_thread(lambda: answers.search(ls.folders, params))


@server.feature("mosearch/similar")
async def _similar(ls: Server, params: Any) -> dict[str, Any]:
    return await _in_thread(lambda: answers.similar(ls.folders, params, partial(_open_text, ls)))


@server.feature("mosearch/status")
async def _status(ls: Server, _params: Any) -> dict[str, Any]:
    return await _in_thread(lambda: answers.status(ls.folders))


@server.command("mosearch.search")
async def _search_command(ls: Server, params: Any = None) -> dict[str, Any]:
    return await _in_thread(lambda: answers.search(ls.folders, params))


@server.command("mosearch.similar")
async def _similar_command(ls: Server, params: Any = None) -> dict[str, Any]:
    return await _in_thread(lambda: answers.similar(ls.folders, params, partial(_open_text, ls)))


@server.command("mosearch.status")
async def _status_command(ls: Server) -> dict[str, Any]:
    return await _in_thread(lambda: answers.status(ls.folders))


@server.command("mosearch.update")
def _update_command(ls: Server) -> None:
    for folder in ls.folders.values():
        folder.request_update()


@server.feature(lsp.WORKSPACE_SYMBOL)
async def _workspace_symbol(ls: Server, params: lsp.WorkspaceSymbolParams) -> list[lsp.WorkspaceSymbol]:
    if not params.query.strip():
        return []
    return await _in_thread(lambda: answers.symbols(ls.folders, params.query))


@server.feature(lsp.SHUTDOWN)
async def _shutdown(ls: Server, _params: None) -> None:
    folders = list(ls.folders.values())
    ls.folders.clear()
    await asyncio.gather(*(asyncio.to_thread(folder.stop) for folder in folders))


def _open_text(ls: Server, uri: str) -> str | None:
    document = _open_document(ls, uri)
    return document.source if document is not None else None


def _open_document(ls: Server, uri: str) -> TextDocument | None:
    documents: dict[str, TextDocument] = ls.workspace.text_documents
    return documents.get(unquote(uri))  # pygls keeps them under unquoted names


async def _in_thread(function: Callable[[], _Result]) -> _Result:
    """Run off the event loop, so that no request waits for another; errors become JSON-RPC errors."""
    try:
        return await asyncio.to_thread(function)
    except UsageError as error:
        raise JsonRpcInvalidParams(str(error)) from error
    except MosearchError as error:
        raise JsonRpcException(str(error), REQUEST_FAILED) from error


def serve_stdio() -> None:
    """Serve one client over standard input and output until it leaves."""
    server.start_io()
    _end_folders()


def serve_tcp(port: int) -> None:
    """Serve one client, the first to connect to a loopback port, until it leaves.

    Other users of this machine can connect, too, so the client must show the token that is printed to
    standard error, as `initializationOptions.token`; one that does not is served nothing.
    Raises `UsageError` for a port that cannot be had.
    """
    try:
        listener = socket.create_server(("127.0.0.1", port))
    except OSError as error:
        raise UsageError(
            f"Cannot listen on 127.0.0.1:{port}: {error.strerror}. Give another port."
        ) from error
    server.token = secrets.token_urlsafe(24)
    print(f"mosearch: serving on 127.0.0.1:{port}, token {server.token}", file=sys.stderr, flush=True)  # noqa: T201
    with listener:
        connection, _ = listener.accept()
    with connection, connection.makefile("rb") as reader, connection.makefile("wb") as writer:
        server.start_io(reader, writer)
    _end_folders()


def _end_folders() -> None:
    """For clients that close the connection without `shutdown`."""
    for folder in list(server.folders.values()):
        folder.stop()


def _leave_with(process_id: int) -> None:
    """End this process when the client's process is gone: its end of the pipe may be held open by others."""

    def poll() -> None:
        while psutil.pid_exists(process_id):
            time.sleep(_PARENT_POLL_S)
        _log.warning("the client (process %d) is gone: leaving", process_id)
        _end_folders()
        os._exit(0)

    threading.Thread(target=poll, name="mosearch-parent", daemon=True).start()
