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
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
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
from mosearch.errors import MosearchError, QueryError, UsageError
from mosearch.lsp import wire
from mosearch.lsp.folder import Folder
from mosearch.lsp.progress import ProgressReporter
from mosearch.settings import Settings
from mosearch.types import Filters, Hit, SearchResult

if TYPE_CHECKING:
    from mosearch.engine import Engine

_log = logging.getLogger(__name__)
_Result = TypeVar("_Result")

REQUEST_FAILED = -32803
"""LSP 3.17 `RequestFailed`: the request was right, but could not be served."""

_PARENT_POLL_S = 2.0
_SYMBOL_LIMIT = 50
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

    def folder_of(self, path: Path) -> Folder:
        """The innermost open folder that holds `path`.  Raises `QueryError`."""
        holding = [root for root in list(self.folders) if path.is_relative_to(root)]
        if not holding:
            raise QueryError(f"{path} lies in no open workspace folder.")
        return self.folders[max(holding, key=lambda root: len(root.parts))]


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
    return await _in_thread(lambda: search(ls, params))


@server.feature("mosearch/similar")
async def _similar(ls: Server, params: Any) -> dict[str, Any]:
    return await _in_thread(lambda: similar(ls, params))


@server.feature("mosearch/status")
async def _status(ls: Server, _params: Any) -> dict[str, Any]:
    return await _in_thread(lambda: status(ls))


@server.command("mosearch.search")
async def _search_command(ls: Server, params: Any = None) -> dict[str, Any]:
    return await _in_thread(lambda: search(ls, params))


@server.command("mosearch.similar")
async def _similar_command(ls: Server, params: Any = None) -> dict[str, Any]:
    return await _in_thread(lambda: similar(ls, params))


@server.command("mosearch.status")
async def _status_command(ls: Server) -> dict[str, Any]:
    return await _in_thread(lambda: status(ls))


@server.command("mosearch.update")
def _update_command(ls: Server) -> None:
    for folder in ls.folders.values():
        folder.request_update()


@server.feature(lsp.WORKSPACE_SYMBOL)
async def _workspace_symbol(ls: Server, params: lsp.WorkspaceSymbolParams) -> list[lsp.WorkspaceSymbol]:
    if not params.query.strip():
        return []
    return await _in_thread(lambda: symbols(ls, params.query))


@server.feature(lsp.SHUTDOWN)
async def _shutdown(ls: Server, _params: None) -> None:
    folders = list(ls.folders.values())
    ls.folders.clear()
    await asyncio.gather(*(asyncio.to_thread(folder.stop) for folder in folders))


def search(ls: Server, params: object) -> dict[str, Any]:
    """`mosearch/search`: the best hits over all workspace folders."""
    engines, troubles = _engines(ls)
    request = wire.read_search(params, _defaults(engines))
    found = [
        (root, engine.search(request.query, request.limit, request.filters, rerank=request.rerank))
        for root, engine in engines
    ]
    return _merge(found, request.limit, troubles)


def similar(ls: Server, params: object) -> dict[str, Any]:
    """`mosearch/similar`: code like that at a position or in a range, over all workspace folders.

    An open document is read as the editor shows it, saved or not.
    """
    engines, troubles = _engines(ls)
    request = wire.read_similar(params, _defaults(engines))
    path = wire.to_path(request.uri)
    folder = ls.folder_of(path)
    home = folder.engine()
    document = _open_document(ls, request.uri)
    place = home.place(
        path.relative_to(folder.root).as_posix(),
        request.start_line,
        request.end_line if request.is_range else None,
        document.source if document is not None else None,
    )
    found = [
        (root, engine.similar(place, engine is home, request.limit, request.filters, rerank=request.rerank))
        for root, engine in engines
    ]
    return _merge(found, request.limit, troubles)


def status(ls: Server) -> dict[str, Any]:
    """`mosearch/status`: what each folder's index holds, or why it is not open."""
    return {"folders": [_folder_status(folder) for folder in list(ls.folders.values())]}


def _folder_status(folder: Folder) -> dict[str, Any]:
    try:
        return folder.engine().status().to_json()
    except MosearchError as error:
        return {"root": str(folder.root), "error": str(error)}


def symbols(ls: Server, query: str) -> list[lsp.WorkspaceSymbol]:
    """`workspace/symbol`, answered by meaning as well as by name."""
    found: list[tuple[float, Path, Hit]] = []
    for root, engine in _engines(ls)[0]:
        rerank = engine.settings.rerank
        result = engine.search(query.removeprefix("?"), _SYMBOL_LIMIT, Filters(), rerank=rerank)
        found.extend((hit.score, root, hit) for hit in result.hits)
    found.sort(key=lambda item: -item[0])
    return [wire.hit_to_symbol(root, hit) for _, root, hit in found[:_SYMBOL_LIMIT]]


def _engines(ls: Server) -> tuple[list[tuple[Path, Engine]], list[str]]:
    """Each open folder, named as the client names it, and what is wrong with the others.

    Raises `QueryError` if there is no folder, and what is wrong with the first if none could be opened.
    """
    engines: list[tuple[Path, Engine]] = []
    troubles: list[MosearchError] = []
    for folder in list(ls.folders.values()):
        try:
            engines.append((folder.root, folder.engine()))
        except MosearchError as error:  # noqa: PERF203
            troubles.append(error)
    if not engines:
        raise (
            troubles[0]
            if troubles
            else QueryError("No workspace folder is open, so there is nothing to search.")
        )
    return engines, [str(error) for error in troubles]


def _defaults(engines: list[tuple[Path, Engine]]) -> Settings:
    return engines[0][1].settings


def _merge(found: list[tuple[Path, SearchResult]], limit: int, troubles: list[str]) -> dict[str, Any]:
    hits = [(hit.score, root, hit) for root, result in found for hit in result.hits]
    if len(found) > 1:
        hits.sort(key=lambda item: -item[0])
    timing = {"total": sum(result.timing_ms["total"] for _, result in found)}
    warnings = troubles + [result.warning for _, result in found if result.warning]
    answer: dict[str, Any] = {
        "hits": [wire.hit_to_json(root, hit) for _, root, hit in hits[:limit]],
        "timing_ms": dict(found[0][1].timing_ms) if len(found) == 1 else timing,
    }
    if warnings:
        answer["warning"] = " ".join(warnings)
    return answer


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
