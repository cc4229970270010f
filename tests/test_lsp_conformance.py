"""Random messages, right and wrong: each request is answered, and the server neither dies nor blocks.

`TEST_LSP_EXAMPLES` sets how many random messages are sent (default 80) and `TEST_LSP_BLOCK_MS`
how long a trivial request may take meanwhile (default 2000, because other tests run beside; on a quiet
machine 50 holds).
"""

from __future__ import annotations

import gc
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lsprotocol import types as lsp

from lsp_client import Client

EXAMPLES = int(os.environ.get("TEST_LSP_EXAMPLES", "80"))
BLOCK_MS = float(os.environ.get("TEST_LSP_BLOCK_MS", "2000"))

FLOOD = 5000

random_messages = settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)

_LEAVES_THE_SERVER = {"shutdown", "exit", "initialize", "initialized"}
_OWN_REQUESTS = ["mosearch/search", "mosearch/similar", "mosearch/status", "mosearch/unknown", ""]
_COMMANDS = [
    "mosearch.search",
    "mosearch.similar",
    "mosearch.findSimilar",
    "mosearch.status",
    "mosearch.update",
]


def _methods(suffix: str) -> list[str]:
    """The methods that LSP lets clients send, by whether they want an answer."""
    found = {
        method
        for method, (kind, *_) in lsp.METHOD_TO_TYPES.items()
        if kind.__name__.endswith(suffix) and lsp.message_direction(method) in ("clientToServer", "both")
    }
    return sorted(found - _LEAVES_THE_SERVER)


REQUESTS = _methods("Request")
NOTIFICATIONS = _methods("Notification")

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**40), 2**40)
    | st.floats(allow_nan=False)
    | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory, write_sources: Callable[[Path], Path]) -> Path:
    return write_sources(tmp_path_factory.mktemp("conformance") / "work")


@pytest.fixture(scope="module")
def client(work: Path, server_environment: dict[str, str]) -> Iterator[Client]:
    with Client(server_environment) as client:
        client.initialize(work)
        client.ready()
        client.open(work / "src/store.go", (work / "src/store.go").read_text(), "go")
        yield client


@pytest.fixture(scope="module")
def uris(work: Path) -> st.SearchStrategy[Any]:
    known = [(work / name).as_uri() for name in ("src/store.go", "src/net/client.py", "nowhere.py")]
    odd = [
        "",
        "file://[",
        "untitled:1",
        "file:///",
        "http://x/y",
        "file:///a\0b",
        "%",
        "file:///%ff%fe",
        work.as_uri(),
    ]
    return st.sampled_from(known + odd) | json_values


def _values(uris: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Parameters that look like LSP's, with a wrong value here and there."""
    number = st.integers(0, 30) | st.sampled_from([-1, 2**31 - 1, 2**31, 2**40]) | json_values
    position = st.fixed_dictionaries({"line": number, "character": number}) | json_values
    span = st.fixed_dictionaries({"start": position, "end": position}) | json_values
    document = st.fixed_dictionaries({"uri": uris}, optional={"version": number}) | json_values
    change = st.fixed_dictionaries({"text": st.text(max_size=9) | json_values}, optional={"range": span})
    query = st.sampled_from(["retry", "?checksum", "", " ", "x" * 30_000]) | st.text(max_size=9) | json_values
    token = st.integers(0, 99) | st.text(max_size=5) | json_values
    item = st.fixed_dictionaries({"uri": uris, "languageId": st.just("go"), "version": number, "text": query})
    return st.fixed_dictionaries(
        {},
        optional={
            "textDocument": document | item,
            "position": position,
            "range": span,
            "contentChanges": st.lists(change, max_size=3) | json_values,
            "context": st.fixed_dictionaries({"diagnostics": st.just([])}, optional={"only": json_values})
            | json_values,
            "query": query,
            "limit": number,
            "filters": st.dictionaries(
                st.sampled_from(["languages", "paths", "kinds", "x"]), json_values, max_size=3
            ),
            "rerank": json_values,
            "all": json_values,
            "channel": json_values,
            "partialResultToken": token,
            "workDoneToken": token,
            "token": token,
            "id": token,
            "value": st.sampled_from(["off", "messages", "verbose"]) | json_values,
            "settings": st.dictionaries(st.sampled_from(["mosearch", "x"]), json_values) | json_values,
            "changes": st.lists(st.fixed_dictionaries({"uri": uris, "type": number}), max_size=2)
            | json_values,
            "command": st.sampled_from(_COMMANDS) | json_values,
            "arguments": st.lists(json_values | st.fixed_dictionaries({"query": query}), max_size=2)
            | json_values,
        },
    )


class Probe:
    """Asks something trivial again and again, and keeps how long that took."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.milliseconds: list[float] = []

    def _run(self) -> None:
        while not self._stopping.wait(0.005):
            number = self._client.request("workspace/symbol", {"query": ""})
            started = time.perf_counter()  # it is in the pipe, behind whatever is there
            assert self._client.response(number)["result"] == []
            self.milliseconds.append((self._client.arrived[number] - started) * 1000)

    def __enter__(self) -> Probe:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()


@contextmanager
def _responsive(client: Client, what: str) -> Iterator[None]:
    with _without_own_pauses(), Probe(client) as probe:
        yield
    _judge(what, probe.milliseconds)


@contextmanager
def _without_own_pauses() -> Iterator[None]:
    """Those of this process's collector of garbage would be taken for the server's."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _judge(what: str, milliseconds: list[float]) -> None:
    times = sorted(milliseconds)
    print(f"{what}: {len(times)} probes, p50 {times[len(times) // 2]:.1f} ms, max {times[-1]:.1f} ms")  # noqa: T201
    assert times[-1] <= BLOCK_MS


def _is_proper(response: dict[str, Any]) -> bool:
    if "error" in response:
        error = response["error"]
        return (
            isinstance(error["code"], int) and isinstance(error["message"], str) and "result" not in response
        )
    return "result" in response


def test_every_request_is_answered(client: Client, uris: st.SearchStrategy[Any]) -> None:
    @random_messages
    @given(st.sampled_from(REQUESTS + _OWN_REQUESTS * 4), _values(uris) | json_values, st.booleans())
    def exchange(method: str, params: Any, cancelled: bool) -> None:
        number = client.request(method, params)
        if cancelled:
            client.notify("$/cancelRequest", {"id": number})
        assert _is_proper(client.response(number)), (method, params)

    with _responsive(client, "requests"):
        exchange()
    assert client.process.poll() is None


def test_no_notification_hurts(client: Client, work: Path, uris: st.SearchStrategy[Any]) -> None:
    @random_messages
    @given(st.sampled_from([*NOTIFICATIONS, "$/unknown", "unknown"]), _values(uris) | json_values)
    def tell(method: str, params: Any) -> None:
        client.notify(method, params)

    with _responsive(client, "notifications"):
        tell()
        assert client.ask("mosearch/search", {"query": "checksum"})["hits"]
    uri = client.open(work / "src/store.go", "package store\n", "go")
    assert uri
    assert client.process.poll() is None


_NO_MESSAGES = [
    b"",
    b"{",
    b"[]",
    b"7",
    b"null",
    b'"x"',
    b"\xff\xfe",
    b"{}",
    b"[" * 100_000,
    b'{"jsonrpc": "2.0"}',
]


@pytest.mark.parametrize("body", _NO_MESSAGES, ids=lambda body: repr(body[:20]))
def test_what_is_no_message_is_refused(client: Client, body: bytes) -> None:
    seen = len(client.messages)
    client.raw(body)
    refusal = client.wait(lambda message: "error" in message, after=seen)
    assert refusal["id"] is None
    assert refusal["error"]["code"] in (-32700, -32600)


@given(st.one_of(st.none(), st.booleans(), st.floats(allow_nan=False), st.lists(st.integers()), st.just({})))
@settings(max_examples=10, deadline=None)
def test_an_id_is_a_number_or_a_string(client: Client, number: Any) -> None:
    seen = len(client.messages)
    client.send({"jsonrpc": "2.0", "id": number, "method": "mosearch/status"})
    refusal = client.wait(lambda message: "error" in message, after=seen)
    assert (refusal["id"], refusal["error"]["code"]) == (None, -32600)


def test_answers_that_nobody_asked_for_are_ignored(client: Client) -> None:
    for answer in ({"result": 1}, {"error": {"code": 1, "message": "no"}}, {"result": 1, "error": 2}, {}):
        client.send({"jsonrpc": "2.0", "id": "unheard of", **answer})
    assert client.ask("mosearch/search", {"query": "checksum"})["hits"]


@pytest.mark.parametrize("lines", [100, 5_000])
def test_a_flood_of_edits_blocks_nobody(client: Client, work: Path, lines: int) -> None:
    text = "".join(f"def function_{number}(x):\n    return x * {number}\n\n" for number in range(lines // 3))
    uri = client.open(work / f"flood{lines}.py", text)
    at = {"line": 1, "character": 4}
    edits = [
        json.dumps(
            {
                "jsonrpc": "2.0",
                "method": "textDocument/didChange",
                "params": {
                    "textDocument": {"uri": uri, "version": number + 2},
                    "contentChanges": [{"range": {"start": at, "end": at}, "text": "zigzag"[number % 6]}],
                },
            }
        ).encode()
        for number in range(FLOOD)
    ]
    sent = {}
    started = time.perf_counter()
    with _without_own_pauses():
        for number, edit in enumerate(edits):
            client.raw(edit)
            if number % 20 == 0:
                sent[client.request("workspace/symbol", {"query": ""})] = time.perf_counter()
        for number in sent:
            client.response(number)
    print(f"{FLOOD} edits taken in {time.perf_counter() - started:.2f} s")  # noqa: T201
    _judge(
        f"{FLOOD} edits of {lines} lines", [(client.arrived[number] - sent[number]) * 1000 for number in sent]
    )
    client.notify("textDocument/didClose", {"textDocument": {"uri": uri}})


def test_before_and_after_the_conversation(work: Path, server_environment: dict[str, str]) -> None:
    with Client(server_environment) as client:
        assert client.error("mosearch/status", None)["code"] == -32002
        client.notify("textDocument/didOpen", {})
        assert client.error("initialize", {"capabilities": 7})["code"] == -32602
        client.initialize(work)
        assert (
            client.error("initialize", {"processId": None, "rootUri": None, "capabilities": {}})["code"]
            == -32600
        )
        pending = client.request(
            "workspace/executeCommand", {"command": "mosearch.search", "arguments": [{"query": "x"}]}
        )
        assert client.ask("shutdown", None) is None
        assert _is_proper(client.response(pending))
        assert client.error("mosearch/status", None)["code"] == -32600
        client.notify("exit", None)
        assert client.process.wait(20) == 0


def test_a_folder_that_is_on_no_disk_is_left_out(server_environment: dict[str, str]) -> None:
    with Client(server_environment) as client:
        folders = [{"uri": "vscode-vfs://github/x", "name": "x"}]
        client.ask("initialize", {"processId": None, "capabilities": {}, "workspaceFolders": folders})
        client.notify("initialized", {})
        assert client.error("mosearch/search", {"query": "x"})["code"] == -32602
        assert client.folders() == []


def test_leaving_without_shutdown_is_an_error(server_environment: dict[str, str]) -> None:
    with Client(server_environment) as client:
        client.initialize()
        client.notify("exit", None)
        assert client.process.wait(20) == 1
