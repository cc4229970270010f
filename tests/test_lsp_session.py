"""A real LSP session over standard input and output, with the real server process."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, cast

import psutil
import pytest
import pytest_lsp
from lsprotocol import types as lsp
from pygls.exceptions import JsonRpcException
from pytest_lsp import ClientServerConfig, LanguageClient

from mosearch.engine import Engine
from mosearch.lsp import wire
from mosearch.lsp.folder import Folder
from mosearch.settings import Settings, load_settings
from mosearch.types import IndexReport

COMMAND = [sys.executable, "-m", "mosearch", "serve", "--stdio"]


@pytest_lsp.fixture(config=ClientServerConfig(server_command=COMMAND))  # type: ignore[untyped-decorator]
async def client(
    lsp_client: LanguageClient,
    root: Path,
    tiny_model: Path,
) -> AsyncIterator[None]:
    await lsp_client.initialize_session(
        _initialize(root, {"model": str(tiny_model), "device": "cpu", "rerank_budget_ms": 30_000})
    )
    await _ready(lsp_client)
    yield
    await lsp_client.shutdown_session()


def _initialize(root: Path, options: dict[str, object]) -> lsp.InitializeParams:
    return lsp.InitializeParams(
        process_id=os.getpid(),
        capabilities=lsp.ClientCapabilities(window=lsp.WindowClientCapabilities(work_done_progress=True)),
        workspace_folders=[lsp.WorkspaceFolder(uri=root.as_uri(), name="work")],
        initialization_options=options,
    )


async def _ready(client: LanguageClient, folders: int = 1) -> None:
    """Wait until that many folders are indexed."""
    deadline = time.monotonic() + 60
    while True:
        found = (await _ask(client, "mosearch/status", None)).folders
        if [folder.state for folder in found] == ["ready"] * folders:
            return
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.02)


async def _ask(client: LanguageClient, method: str, params: object) -> Any:
    return await client.protocol.send_request_async(method, params)  # type: ignore[no-untyped-call]


async def test_progress_begins_and_ends(client: LanguageClient) -> None:
    (values,) = cast("list[list[object]]", list(client.progress_reports.values()))
    assert isinstance(values[0], lsp.WorkDoneProgressBegin)
    assert isinstance(values[-1], lsp.WorkDoneProgressEnd)
    assert "4 files" in str(values[-1].message)
    percentages = [value.percentage for value in values if isinstance(value, lsp.WorkDoneProgressReport)]
    assert percentages == sorted(cast("list[int]", percentages))


async def test_search_gives_locations_that_open(client: LanguageClient, root: Path) -> None:
    answer = await _ask(client, "mosearch/search", {"query": "retry while the server is busy", "limit": 9})
    symbols = {hit.symbol for hit in answer.hits}
    assert {"send", "sendWithRetry"} <= symbols
    hit = next(hit for hit in answer.hits if hit.symbol == "send")
    assert hit.location.uri == (root / "src/net/client.py").as_uri()
    assert (hit.location.range.start.line, hit.location.range.start.character) == (10, 0)
    assert (hit.location.range.end.line, hit.location.range.end.character) == (17, 35)
    assert hit.path == "src/net/client.py"
    assert hit.container == "Client"
    assert hit.kind == lsp.SymbolKind.Method
    assert hit.language == "python"
    assert hit.exit == 2
    assert "def send" in hit.preview


async def test_filters_restrict(client: LanguageClient) -> None:
    request = {"query": "retry", "filters": {"languages": ["JavaScript"], "kinds": [12]}}
    answer = await _ask(client, "mosearch/search", request)
    assert {hit.language for hit in answer.hits} == {"javascript"}


async def test_similar_at_a_position_and_for_a_range(client: LanguageClient, root: Path) -> None:
    document = {"uri": (root / "src/net/client.py").as_uri()}
    at = await _ask(
        client, "mosearch/similar", {"textDocument": document, "position": {"line": 12, "character": 4}}
    )
    assert at.hits
    assert "send" not in {hit.symbol for hit in at.hits}
    assert at.origin.uri == document["uri"]
    assert at.origin.range.start.line == 10
    span = {"start": {"line": 12, "character": 0}, "end": {"line": 15, "character": 0}}
    within = await _ask(client, "mosearch/similar", {"textDocument": document, "range": span})
    assert within.hits


async def test_workspace_symbol_answers_by_meaning(client: LanguageClient) -> None:
    symbols = await client.workspace_symbol_async(lsp.WorkspaceSymbolParams(query="?retry when busy"))
    assert symbols
    assert {"send", "sendWithRetry"} <= {symbol.name for symbol in symbols}
    assert not await client.workspace_symbol_async(lsp.WorkspaceSymbolParams(query="  "))


async def test_execute_command_does_the_same(client: LanguageClient, root: Path) -> None:
    answer = await _command(client, "mosearch.search", {"query": "Checksum"})
    assert answer["hits"][0]["symbol"] == "Checksum"
    document = {"uri": (root / "src/store.go").as_uri()}
    place = {"textDocument": document, "position": {"line": 3, "character": 0}}
    assert (await _command(client, "mosearch.similar", place))["hits"]
    (folder,) = (await _command(client, "mosearch.status"))["folders"]
    assert (folder["files"], folder["pending"]) == (4, 0)


async def _command(client: LanguageClient, name: str, *arguments: object) -> Any:
    params = lsp.ExecuteCommandParams(command=name, arguments=list(arguments))
    return await client.workspace_execute_command_async(params)


_WRONG_REQUESTS: list[tuple[str, object, str]] = [
    ("mosearch/search", {"query": ""}, "empty"),
    ("mosearch/search", {"query": 7}, "must be a string"),
    ("mosearch/search", None, "must be an object"),
    ("mosearch/search", {"query": "x", "limit": 0}, "`limit`"),
    ("mosearch/search", {"query": "x", "filters": {"language": []}}, "`filters` may hold"),
    ("mosearch/search", {"query": "x", "filters": {"languages": ["\ud800"]}}, "half of a character"),
    ("mosearch/similar", {"textDocument": {}}, "textDocument.uri"),
    ("mosearch/similar", {"textDocument": {"uri": "untitled:1"}, "position": {"line": 0}}, "file"),
    (
        "mosearch/similar",
        {"textDocument": {"uri": "file:///nowhere/x.py"}, "position": {"line": 0}},
        "folder",
    ),
]


async def test_a_wrong_request_is_answered_with_what_is_wrong(client: LanguageClient) -> None:
    for method, params, message in _WRONG_REQUESTS:
        with pytest.raises(JsonRpcException, match=message) as caught:
            await _ask(client, method, params)
        assert caught.value.code == -32602, (method, params)


async def test_a_saved_change_is_found(client: LanguageClient, root: Path) -> None:
    path = root / "src/store.go"
    path.write_text(
        path.read_text() + "\n// Zigzag encodes signed numbers.\nfunc Zigzag(n int) int {\n\treturn n\n}\n"
    )
    document = lsp.TextDocumentIdentifier(uri=path.as_uri())
    client.text_document_did_save(lsp.DidSaveTextDocumentParams(text_document=document))
    await _answers(client, "Zigzag", lambda symbols: symbols[:1] == ["Zigzag"])


async def test_a_change_on_disk_is_noticed_without_the_clients_help(
    client: LanguageClient, root: Path
) -> None:
    (root / "src/zigzag.py").write_text("def zigzag_encode(n):\n    m = n * 2\n    return m ^ (n >> 63)\n")
    await _answers(client, "zigzag_encode", lambda symbols: symbols[:1] == ["zigzag_encode"])
    (root / "src").rename(root / "lib")
    await _answers(client, "lib zigzag_encode", lambda symbols: symbols[:1] == ["zigzag_encode"])
    moved = (root / "lib/zigzag.py").as_uri()
    deadline = time.monotonic() + 10
    while (await _ask(client, "mosearch/search", {"query": "zigzag_encode"})).hits[0].location.uri != moved:
        assert time.monotonic() < deadline


async def test_similar_uses_the_text_of_an_open_document(client: LanguageClient, root: Path) -> None:
    path = root / "src/store.go"
    text = "\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n" + path.read_text()
    document = lsp.TextDocumentItem(uri=path.as_uri(), language_id="go", version=1, text=text)
    client.text_document_did_open(lsp.DidOpenTextDocumentParams(text_document=document))
    request = {"textDocument": {"uri": path.as_uri()}, "position": {"line": 24, "character": 0}}
    await _moved(client, "Checksum", 22)
    hits = (await _ask(client, "mosearch/similar", request)).hits
    assert hits
    assert "Checksum" not in {hit.symbol for hit in hits}, "the place itself, moved by unsaved lines"


async def test_a_folder_is_called_what_the_client_calls_it(
    client: LanguageClient, root: Path, tmp_path: Path
) -> None:
    link = tmp_path / "link"
    link.symlink_to(root / "src", target_is_directory=True)
    _add_folder(client, link)
    await _ready(client, folders=2)
    document = {"uri": (link / "store.go").as_uri()}
    request = {"textDocument": document, "position": {"line": 3, "character": 0}, "limit": 50}
    answer = await _ask(client, "mosearch/similar", request)
    assert any(hit.location.uri.startswith(link.as_uri()) for hit in answer.hits)


async def test_a_folder_within_another_gives_each_place_once(client: LanguageClient, root: Path) -> None:
    _add_folder(client, root / "src")
    await _ready(client, folders=2)
    query = "retry while the server is busy"
    places = [_place(hit) for hit in (await _ask(client, "mosearch/search", {"query": query})).hits]
    assert len(set(places)) == len(places)
    symbols = await client.workspace_symbol_async(lsp.WorkspaceSymbolParams(query=query))
    found = [(symbol.location.uri, symbol.name, str(symbol.location)) for symbol in symbols or ()]
    assert len(set(found)) == len(found) > 0
    document = {"uri": (root / "src/store.go").as_uri()}
    request = {"textDocument": document, "position": {"line": 7, "character": 0}, "everything": True}
    answer = await _ask(client, "mosearch/similar", request)
    places = [_place(hit) for hit in answer.hits]
    assert places
    assert (answer.origin.uri, answer.origin.range.start.line) not in places, "not even by the outer folder"


def _place(hit: Any) -> tuple[str, int]:
    return hit.location.uri, hit.location.range.start.line


async def test_a_folder_that_cannot_be_opened_does_not_silence_the_others(
    client: LanguageClient, tmp_path: Path
) -> None:
    _add_folder(client, tmp_path / "nowhere")
    answer = await _ask(client, "mosearch/search", {"query": "retry while the server is busy"})
    assert answer.hits
    assert "nowhere" in answer.warning
    good, bad = (await _command(client, "mosearch.status"))["folders"]
    assert good["files"] == 4
    assert "nowhere" in bad["error"]


def _add_folder(client: LanguageClient, folder: Path) -> None:
    added = lsp.WorkspaceFolder(uri=folder.as_uri(), name=folder.name)
    event = lsp.WorkspaceFoldersChangeEvent(added=[added], removed=[])
    client.workspace_did_change_workspace_folders(lsp.DidChangeWorkspaceFoldersParams(event=event))


def test_what_a_request_leaves_out_is_as_the_settings_say() -> None:
    settings = Settings(rerank=False, limit=7)
    for request in ({"query": "x"}, {"query": "x", "rerank": None, "limit": None}):
        read = wire.read_search(request, settings)
        assert (read.rerank, read.limit) == (False, 7)
    assert wire.read_search({"query": "x", "rerank": True}, settings).rerank


def test_a_range_of_whole_lines_ends_before_the_line_that_it_names() -> None:
    span = {"start": {"line": 4, "character": 0}, "end": {"line": 6, "character": 0}}
    request = {"textDocument": {"uri": "file:///x"}, "range": span}
    read = wire.read_similar(request, Settings())
    assert (read.start_line, read.end_line) == (4, 5)


class _Runs:
    """A listener that keeps what each run ended with."""

    def __init__(self) -> None:
        self.ended: list[IndexReport | None] = []
        self.failed: list[str] = []

    def changed(self, folder: Folder) -> None: ...

    def begin(self, folder: Folder) -> None: ...

    def report(self, folder: Folder, stage: str, done: int, total: int) -> None: ...

    def end(self, folder: Folder, report: IndexReport | None) -> None:  # noqa: ARG002
        self.ended.append(report)

    def complain(self, folder: Folder, message: str) -> None:  # noqa: ARG002
        self.failed.append(message)


def test_a_run_that_had_to_wait_reports_no_counts(root: Path, use_tiny_model: Path) -> None:
    runs = _Runs()
    folder = Folder(root, [], runs, watch=False)
    with Engine(root, load_settings(root)) as other:
        with other.store.writer_lock():
            folder.start()
            _until(lambda: bool(runs.ended), 30)
            assert runs.ended[0] is None
        _until(lambda: runs.ended[-1] is not None, 30)
    folder.stop()
    assert not runs.failed


def test_a_failure_nobody_foresaw_does_not_end_the_folder(
    root: Path, use_tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = _Runs()
    folder = Folder(root, [], runs, watch=False)

    def broken(*_: object, **__: object) -> IndexReport:
        raise ZeroDivisionError("by accident")

    with monkeypatch.context() as patch:
        patch.setattr(Engine, "update", broken)
        folder.start()
        _until(lambda: bool(runs.ended), 30)
    assert "by accident" in runs.failed[0]
    folder.request_update()
    _until(lambda: runs.ended[-1] is not None, 30)
    folder.stop()


def test_a_file_that_cannot_be_read_for_a_moment_is_tried_again_by_itself(
    root: Path, use_tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = _Runs()
    folder = Folder(root, [], runs, watch=False)

    def busy(path: str) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), path)

    with monkeypatch.context() as patch:
        patch.setattr("mosearch.workspace.sources.open_regular", busy)
        folder.start()
        _until(lambda: bool(runs.ended), 30)
    first = runs.ended[0]
    assert first is not None
    assert (first.files, len(first.failed)) == (0, 4)
    _until(lambda: bool(runs.ended[-1] and not runs.ended[-1].failed), 30)
    folder.stop()
    assert not runs.failed


class _Held(_Runs):
    """A listener that keeps a run of indexing from going on."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = threading.Event()
        self.go_on = threading.Event()

    def report(self, folder: Folder, stage: str, done: int, total: int) -> None:  # noqa: ARG002
        self.reached.set()
        self.go_on.wait(30)


def test_settings_count_while_a_folder_is_indexed(root: Path, use_tiny_model: Path) -> None:
    held = _Held()
    folder = Folder(root, [("the editor", {"limit": 3})], held, watch=False)
    folder.start()
    assert held.reached.wait(30)
    assert folder.engine().settings.limit == 3
    folder.configure([("the editor", {"limit": 4, "rerank_exit": 1})])
    assert folder.engine().settings.limit == 4
    folder.configure([("the editor", {"limit": "many", "rerank_exit": 1})])
    assert folder.engine().settings.limit == 4
    folder.configure([("the editor", {"limit": 5, "rerank_exit": 1})])
    held.go_on.set()
    _until(lambda: folder.engine().settings.rerank_exit == 1, 30)
    assert folder.engine().settings.limit == 5
    folder.stop()


class _RawClient:
    """The bytes of the protocol over TCP."""

    def __init__(self, port: int) -> None:
        self.connection = socket.create_connection(("127.0.0.1", port), 30)
        self._file = self.connection.makefile("rwb")

    def close(self) -> None:
        self._file.close()
        self.connection.close()

    def send(self, method: str, params: object, number: int | None = None) -> None:
        message = {"jsonrpc": "2.0", "method": method, "params": params}
        body = json.dumps(message if number is None else {**message, "id": number}).encode()
        self._file.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self._file.flush()

    def ask(self, method: str, params: object, number: int) -> dict[str, Any]:
        self.send(method, params, number)
        while True:
            length = 0
            while header := self._file.readline().strip():
                name, _, value = header.partition(b":")
                length = int(value) if name == b"Content-Length" else length
            answer: dict[str, Any] = json.loads(self._file.read(length))
            if answer.get("id") == number and "method" not in answer:
                return answer


@pytest.mark.parametrize("knows_token", [False, True])
def test_over_tcp_only_the_client_that_knows_the_token_is_served(
    root: Path, use_tiny_model: Path, private_runtime: Path, knows_token: bool
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = subprocess.Popen([*COMMAND[:-1], "--tcp", str(port)], stderr=subprocess.PIPE, text=True)
    with server:
        try:
            assert server.stderr is not None
            token = server.stderr.readline().split()[-1]
            client = _RawClient(port)
            folders = [{"uri": root.as_uri(), "name": "work"}]
            params: dict[str, object] = {
                "processId": None,
                "rootUri": None,
                "capabilities": {},
                "workspaceFolders": folders,
            }
            if knows_token:
                params["initializationOptions"] = {"token": token}
            assert ("result" in client.ask("initialize", params, 1)) is knows_token
            client.send("initialized", {})
            client.send("workspace/didChangeWorkspaceFolders", {"event": {"added": folders, "removed": []}})
            assert ("result" in client.ask("mosearch/search", {"query": "retry"}, 2)) is knows_token
            with pytest.raises(ConnectionRefusedError):
                _RawClient(port)
            client.close()
            assert server.wait(20) == 0
        finally:
            server.kill()


def test_a_port_that_is_taken_is_named(use_tiny_model: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = subprocess.run([*COMMAND[:-1], "--tcp", port], capture_output=True, timeout=60, check=False)
    assert done.returncode == 2
    assert port in done.stderr.decode()
    assert "Traceback" not in done.stderr.decode()


async def _answers(client: LanguageClient, query: str, condition: Callable[[list[str]], bool]) -> None:
    """Wait until the symbols found meet a condition: an edit becomes searchable within moments."""
    deadline = time.monotonic() + 10
    while True:
        symbols = [hit.symbol for hit in (await _ask(client, "mosearch/search", {"query": query})).hits]
        if condition(symbols):
            return
        assert time.monotonic() < deadline, symbols
        await asyncio.sleep(0.02)


async def _moved(client: LanguageClient, symbol: str, line: int) -> None:
    """Wait until a function is where the buffer, not the disk, has it."""
    deadline = time.monotonic() + 10
    while True:
        hits = (await _ask(client, "mosearch/search", {"query": symbol})).hits
        lines = [hit.location.range.start.line for hit in hits if hit.symbol == symbol]
        if lines == [line]:
            return
        assert time.monotonic() < deadline, lines
        await asyncio.sleep(0.02)


async def test_what_is_typed_is_found_before_it_is_saved(client: LanguageClient, root: Path) -> None:
    uri = (root / "src/store.go").as_uri()
    text = (root / "src/store.go").read_text()
    document = lsp.TextDocumentItem(uri=uri, language_id="go", version=1, text=text)
    client.text_document_did_open(lsp.DidOpenTextDocumentParams(text_document=document))
    typed = "// Zigzag encodes signed numbers.\nfunc Zigzag(n int) int {\n\tm := n * 2\n\treturn m\n}\n"
    at_start = lsp.Range(lsp.Position(2, 0), lsp.Position(2, 0))
    change = lsp.TextDocumentContentChangePartial(range=at_start, text=typed)
    versioned = lsp.VersionedTextDocumentIdentifier(uri=uri, version=2)
    client.text_document_did_change(lsp.DidChangeTextDocumentParams(versioned, [change]))
    await _answers(client, "Zigzag", lambda symbols: symbols[:1] == ["Zigzag"])
    hit = (await _ask(client, "mosearch/search", {"query": "Checksum"})).hits[0]
    assert hit.location.range.start.line == 7, "positions are those of the buffer"
    closed = lsp.DidCloseTextDocumentParams(lsp.TextDocumentIdentifier(uri))
    client.text_document_did_close(closed)
    await _answers(client, "Zigzag", lambda symbols: "Zigzag" not in symbols)


_CLIENT_THAT_DIES = """
    import json, os, subprocess, sys, time
    root, command = sys.argv[1], sys.argv[2:]
    server = subprocess.Popen(command, stdin=subprocess.PIPE)
    def send(message):
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        server.stdin.write(b"Content-Length: %d\\r\\n\\r\\n" % len(body) + body)
        server.stdin.flush()
    folders = [{"uri": root, "name": "work"}]
    params = {"processId": os.getpid(), "rootUri": root, "capabilities": {}, "workspaceFolders": folders}
    send({"id": 1, "method": "initialize", "params": params})
    send({"method": "initialized", "params": {}})
    print(server.pid, flush=True)
    time.sleep(600)
"""


def test_no_process_outlives_a_client_that_dies(
    root: Path,
    use_tiny_model: Path,
    private_runtime: Path,
) -> None:
    script = textwrap.dedent(_CLIENT_THAT_DIES)
    client = subprocess.Popen(
        [sys.executable, "-c", script, root.as_uri(), *COMMAND],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    with client:
        assert client.stdout is not None
        server = psutil.Process(int(client.stdout.readline()))
        _until(lambda: bool(_hosts(private_runtime)), 60)
        client.kill()
    _until(lambda: not _alive(server), 10)
    # The host may be so young that the server had not reached it: it waits ten seconds for its first client.
    _until(lambda: not _hosts(private_runtime), 15)


def _hosts(runtime: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        command = process.info["cmdline"] or []
        if "mosearch.mose" in command and any(str(runtime) in part for part in command) and _alive(process):
            found.append(process)
    return found


def _alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _until(condition: Any, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.1)
