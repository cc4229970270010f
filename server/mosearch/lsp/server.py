"""The pygls server: its handlers, each short enough to read whole."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

from lsprotocol import types as lsp
from pygls.exceptions import JsonRpcInvalidParams

from mosearch.errors import SettingsError
from mosearch.lsp import actions, answers, asking, configuration, logs, settings, status, wire
from mosearch.lsp.addresses import file_path
from mosearch.lsp.folder import Folder
from mosearch.lsp.process import leave_with
from mosearch.lsp.state import Server

_log = logging.getLogger(__name__)

_WATCHER_ID = "mosearch-files"

server = Server()


@server.feature(lsp.INITIALIZE)
def _initialize(ls: Server, params: lsp.InitializeParams) -> None:
    try:
        options = configuration.read_options(params.initialization_options)
    except SettingsError as error:
        raise JsonRpcInvalidParams(str(error)) from error
    if not secrets.compare_digest(options.token.encode(), ls.token.encode()):
        raise JsonRpcInvalidParams("initializationOptions.token is not the token that the server printed.")
    ls.admitted = True
    ls.options = options
    ls.protocol.trace = params.trace or lsp.TraceValue.Off
    if params.process_id is not None:
        leave_with(ls, params.process_id)


@server.feature(lsp.INITIALIZED)
async def _initialized(ls: Server, _params: lsp.InitializedParams) -> None:
    logs.to_client(ls, asyncio.get_running_loop())
    folders = _on_disk(ls.workspace.folders.values())
    if not folders and ls.workspace.root_path is not None:
        folders = {Path(ls.workspace.root_path): Path(ls.workspace.root_path).as_uri()}
    await settings.pull(ls, folders)
    for root, uri in folders.items():
        if not ls.workspace.folders or _is_open(ls, uri):  # it may have been closed meanwhile
            ls.open_folder(root, uri, watch=not _client_watches(ls))
    ls.started.set()
    await _register(ls)


def _on_disk(folders: Iterable[lsp.WorkspaceFolder]) -> dict[Path, str]:
    """The folders that are on this machine, with the URIs that the client has for them."""
    paths = {folder.uri: file_path(folder.uri) for folder in folders}
    for uri in (uri for uri, path in paths.items() if path is None):
        _log.warning("%s is not on this machine and is left out", uri)
    return {path: uri for uri, path in paths.items() if path is not None}


def _is_open(ls: Server, uri: str) -> bool:
    return any(folder.uri == uri for folder in ls.workspace.folders.values())


def _client_watches(ls: Server) -> bool:
    """Whether the client tells of changed files when it is asked to."""
    workspace = ls.client_capabilities.workspace
    watching = workspace.did_change_watched_files if workspace is not None else None
    return watching is not None and bool(watching.dynamic_registration)


async def _register(ls: Server) -> None:
    """Ask to be told of changed files and settings, where the client wants to be asked."""
    registrations = settings.registrations(ls)
    if _client_watches(ls):
        options = lsp.DidChangeWatchedFilesRegistrationOptions(
            watchers=[lsp.FileSystemWatcher(glob_pattern="**/*")]
        )
        registrations.append(lsp.Registration(_WATCHER_ID, lsp.WORKSPACE_DID_CHANGE_WATCHED_FILES, options))
    if registrations:
        await ls.client_register_capability_async(lsp.RegistrationParams(registrations))


@server.feature(lsp.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS)
async def _folders_changed(ls: Server, params: lsp.DidChangeWorkspaceFoldersParams) -> None:
    for root in _on_disk(params.event.removed):
        ls.close_folder(root)
    added = _on_disk(params.event.added)
    await settings.pull(ls, added)
    for root, uri in added.items():
        if _is_open(ls, uri):  # it may have been closed meanwhile
            ls.open_folder(root, uri, watch=not _client_watches(ls))


@server.feature(lsp.WORKSPACE_DID_CHANGE_CONFIGURATION)
async def _configuration_changed(ls: Server, params: lsp.DidChangeConfigurationParams) -> None:
    await settings.changed(ls, params.settings)


@server.feature(lsp.WORKSPACE_DID_CHANGE_WATCHED_FILES)
def _files_changed(ls: Server, params: lsp.DidChangeWatchedFilesParams) -> None:
    _request_updates(ls, (change.uri for change in params.changes))


@server.feature(lsp.TEXT_DOCUMENT_DID_SAVE)
def _saved(ls: Server, params: lsp.DidSaveTextDocumentParams) -> None:
    _request_updates(ls, [params.text_document.uri])


def _request_updates(ls: Server, document_uris: Iterable[str]) -> None:
    """Documents that are no files, or lie outside the workspace, are not ours."""
    paths = [path for uri in document_uris if (path := file_path(uri)) is not None]
    for root, folder in ls.folders.items():
        if any(path.is_relative_to(root) for path in paths):
            folder.request_update()


@server.feature("mosearch/search")
async def _search(ls: Server, params: Any) -> dict[str, Any]:
    return await asking.ask(ls, "mosearch/search", params, answers.search)


@server.feature("mosearch/similar")
async def _similar(ls: Server, params: Any) -> dict[str, Any]:
    return await asking.ask(ls, "mosearch/similar", params, answers.similar)


@server.feature("mosearch/status")
async def _status(ls: Server, _params: Any) -> dict[str, Any]:
    folders: list[Folder] = list(ls.folders.values())
    return await asking.from_memory(ls, partial(status.full, folders, ls.protocol.encoding))


@server.command("mosearch.search")
async def _search_command(ls: Server, params: Any = None) -> dict[str, Any]:
    return await asking.ask(ls, "mosearch.search", params, answers.search)


@server.command("mosearch.similar")
async def _similar_command(ls: Server, params: Any = None) -> dict[str, Any]:
    return await asking.ask(ls, "mosearch.similar", params, answers.similar)


@server.command(actions.COMMAND)
async def _find_similar_command(ls: Server, params: Any = None) -> list[dict[str, Any]]:
    answer = await asking.ask(ls, actions.COMMAND, params, answers.similar)
    if wire.read_delivery(params).show:
        ls.start(actions.show(ls, answer["hits"]))
    return actions.locations(answer)


@server.command("mosearch.status")
async def _status_command(ls: Server, _params: Any = None) -> dict[str, Any]:
    return await _status(ls, None)


@server.command("mosearch.update")
def _update_command(ls: Server, _params: Any = None) -> None:
    for folder in ls.folders.values():
        folder.request_update()


@server.feature(lsp.WORKSPACE_SYMBOL)
async def _workspace_symbol(ls: Server, params: lsp.WorkspaceSymbolParams) -> list[lsp.WorkspaceSymbol]:
    if not params.query.strip(" ?"):
        return []
    token = params.partial_result_token
    values = {"query": params.query, "partialResultToken": token}
    symbols = await asking.ask(ls, lsp.WORKSPACE_SYMBOL, values, answers.symbols)
    if token is None:
        return symbols
    ls.protocol.notify(lsp.PROGRESS, lsp.ProgressParams(token, symbols))
    return []


@server.feature(lsp.TEXT_DOCUMENT_CODE_ACTION, lsp.CodeActionOptions(code_action_kinds=[actions.KIND]))
async def _code_action(ls: Server, params: lsp.CodeActionParams) -> list[lsp.CodeAction]:
    document = ls.protocol.document(params.text_document.uri)
    holders = ls.holders(params.text_document.uri) if document is not None else []
    if document is None or not holders:
        return []
    show = ls.options.similar_results == "server"
    offer = partial(actions.offer, params, holders[0][1], document, ls.outlines, show=show)
    return await asking.from_memory(ls, offer)


@server.feature(lsp.TEXT_DOCUMENT_CODE_LENS)
def _code_lens(ls: Server, params: lsp.CodeLensParams) -> list[lsp.CodeLens]:
    return ls.likeness.lenses(params.text_document.uri)


@server.feature(lsp.WINDOW_WORK_DONE_PROGRESS_CANCEL)
def _cancel_progress(ls: Server, params: lsp.WorkDoneProgressCancelParams) -> None:
    ls.reporter.bars.cancel(params.token)


@server.feature(lsp.SHUTDOWN)
async def _shutdown(ls: Server, _params: None) -> None:
    folders = list(ls.folders.values())
    ls.folders.clear()
    await asyncio.gather(*(asyncio.to_thread(folder.stop) for folder in folders))
