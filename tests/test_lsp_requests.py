"""What clients ask for beyond the first search: pages, cancelling, similar code, positions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lsp_client import Client

_CHOOSES = {"window": {"showDocument": {"support": True}}}


class _User:
    """Answers what the server asks its user: takes the first choice."""

    def __init__(self) -> None:
        self.choices: list[str] = []
        self.opened: list[Any] = []

    def __call__(self, method: str, params: Any) -> Any:
        if method == "window/showMessageRequest":
            self.choices = [action["title"] for action in params["actions"]]
            return params["actions"][0]
        if method == "window/showDocument":
            self.opened.append(params)
            return {"success": True}
        return None


@pytest.fixture(scope="module")
def user() -> _User:
    return _User()


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory, write_sources: Callable[[Path], Path]) -> Path:
    return write_sources(tmp_path_factory.mktemp("work") / "wörk it's ✓")


@pytest.fixture(scope="module")
def client(work: Path, user: _User, server_environment: dict[str, str]) -> Iterator[Client]:
    with Client(server_environment, user) as client:
        client.initialize(work, capabilities=_CHOOSES)
        client.ready()
        yield client


def _pages(client: Client, token: int | str) -> list[Any]:
    """The partial results of a token, in order."""
    return [
        message["params"]["value"]
        for message in client.messages
        if message.get("method") == "$/progress" and message["params"]["token"] == token
    ]


def test_the_first_page_comes_before_re_ranking_and_is_replaced(client: Client) -> None:
    request = {"query": "retry while the server is busy", "partialResultToken": "page"}
    answer = client.ask("mosearch/search", request)
    (page,) = _pages(client, "page")
    assert page["partial"] is True
    assert "partial" not in answer
    assert {hit["exit"] for hit in page["hits"]} == {1}
    assert {hit["exit"] for hit in answer["hits"]} == {2}


def test_similar_code_has_a_first_page_too(client: Client, work: Path) -> None:
    document = {"uri": (work / "src/store.go").as_uri()}
    request = {"textDocument": document, "position": {"line": 3, "character": 0}, "partialResultToken": 7}
    answer = client.ask("mosearch/similar", request)
    assert answer["hits"]
    for page in _pages(client, 7):
        assert page["partial"] is True
        assert {hit["path"] for hit in page["hits"]} == {hit["path"] for hit in answer["hits"]}


def test_pages_of_symbols_add_up_as_lsp_has_it(client: Client) -> None:
    whole = client.ask("workspace/symbol", {"query": "?retry when busy"})
    assert client.ask("workspace/symbol", {"query": "?retry when busy", "partialResultToken": "s"}) == []
    pages = _pages(client, "s")
    assert len(pages) in (1, 2), "one where all is known at the deepest exit already"
    paged = [symbol for page in pages for symbol in page]
    assert sorted(map(str, paged)) == sorted(map(str, whole))


def test_without_re_ranking_there_is_no_page(client: Client) -> None:
    request = {"query": "checksum", "partialResultToken": "none", "rerank": False}
    assert client.ask("mosearch/search", request)["hits"]
    assert not _pages(client, "none")


def test_nothing_old_comes_after_something_newer(client: Client) -> None:
    letters = [
        {"query": f"retry the request number {n}", "channel": "keys", "partialResultToken": f"k{n}"}
        for n in range(40)
    ]
    responses = [client.response(number) for number in client.requests("mosearch/search", letters)]
    assert "result" in responses[-1]
    assert {r["error"]["code"] for r in responses if "error" in r} == {-32800}
    for index, response in enumerate(responses):
        pages = [
            place
            for place, message in enumerate(client.messages)
            if message.get("method") == "$/progress" and message["params"]["token"] == f"k{index}"
        ]
        assert all(place < client.messages.index(response) for place in pages)


def test_a_cancelled_request_is_answered_at_once(client: Client) -> None:
    for method, params in (
        ("mosearch/search", {"query": "a cancelled question"}),
        ("workspace/symbol", {"query": "a cancelled question"}),
        ("workspace/executeCommand", {"command": "mosearch.search", "arguments": [{"query": "cancelled"}]}),
    ):
        number = client.request(method, params)
        client.notify("$/cancelRequest", {"id": number})
        assert client.response(number)["error"]["code"] == -32800, method
    client.notify("$/cancelRequest", {"id": 10**6})
    assert client.ask("mosearch/search", {"query": "checksum"})["hits"]


def _actions(
    client: Client, uri: str, start: tuple[int, int], end: tuple[int, int], **context: Any
) -> list[Any]:
    span = {
        "start": {"line": start[0], "character": start[1]},
        "end": {"line": end[0], "character": end[1]},
    }
    document = {"uri": uri}
    params = {"textDocument": document, "range": span, "context": {"diagnostics": [], **context}}
    actions: list[Any] = client.ask("textDocument/codeAction", params)
    return actions


def test_an_action_finds_similar_code_and_shows_it(client: Client, work: Path, user: _User) -> None:
    path = work / "src/store.go"
    uri = client.open(path, path.read_text(), "go")
    (action,) = _actions(client, uri, (5, 1), (5, 1))
    assert action["title"] == "Find similar code: Checksum"
    locations = client.ask("workspace/executeCommand", action["command"])
    assert {"uri", "range"} == set(locations[0])
    opened = client.until(lambda: user.opened)[-1]
    assert opened["uri"] == locations[0]["uri"]
    assert opened["selection"]["start"] == locations[0]["range"]["start"]
    assert user.choices[0].startswith("1. ")


def test_an_action_is_offered_where_it_makes_sense(client: Client, work: Path) -> None:
    path = work / "src/net/server.js"
    uri = client.open(path, path.read_text(), "javascript")
    assert [action["title"] for action in _actions(client, uri, (3, 0), (5, 0))] == ["Find similar code"]
    assert _actions(client, uri, (4, 3), (4, 3), only=["mosearch.similar"])
    assert _actions(client, uri, (4, 3), (4, 3), only=["mosearch"])
    assert not _actions(client, uri, (4, 3), (4, 3), only=["quickfix"])
    assert not _actions(client, uri, (4, 3), (4, 3), triggerKind=2), "nobody asked"
    assert _actions(client, uri, (3, 0), (5, 0), triggerKind=2)
    assert not _actions(client, uri, (0, 0), (0, 0)), "a blank line"
    assert not _actions(client, uri, (10**6, 0), (10**6, 9))
    assert not _actions(client, (work / "src/net/client.py").as_uri(), (12, 0), (12, 0)), "not open"
    assert not _actions(client, "file:///elsewhere/x.py", (0, 0), (0, 0))


_EVERY_ENCODING = [["utf-8"], ["utf-16"], ["utf-32"], ["utf-32", "utf-8"], None]


@pytest.mark.parametrize("offered", _EVERY_ENCODING, ids=str)
def test_ranges_are_exact_in_every_encoding(
    work: Path, server_environment: dict[str, str], offered: list[str] | None
) -> None:
    general = {} if offered is None else {"general": {"positionEncodings": offered}}
    units = {"utf-8": 1, "utf-16": 2, "utf-32": 4}
    with Client(server_environment) as client:
        result = client.initialize(work, capabilities=general)
        encoding = result["capabilities"]["positionEncoding"]
        assert encoding == (offered[0] if offered else "utf-16")
        size, codec = units[encoding], encoding if encoding == "utf-8" else f"{encoding}-le"
        head = "名前 = '👍🏽 e\u0301 𐍈'\r\n\r\n"
        body = "def quersumme(zahl):  # 漢字 👍\r\n    return sum(map(int, str(zahl)))  # 👩\u200d💻 end"
        uri = client.open(work / "größe.py", head + body)

        # Typed after an emoji on the line of the name, where every encoding counts otherwise.
        column = len("名前 = '👍🏽".encode(codec)) // size
        at = {"line": 0, "character": column}
        change = {"range": {"start": at, "end": at}, "text": " ✓"}
        versioned = {"uri": uri, "version": 2}
        client.notify("textDocument/didChange", {"textDocument": versioned, "contentChanges": [change]})

        def found() -> Any:
            hits = client.ask("mosearch/search", {"query": "quersumme"})["hits"]
            return hits and hits[0]["symbol"] == "quersumme" and hits[0]

        hit = client.until(found)
        span = hit["location"]["range"]
        assert span["start"] == {"line": 2, "character": 0}
        last = body.split("\r\n")[-1]
        assert span["end"] == {"line": 3, "character": len(last.encode(codec)) // size}
        (symbol, *_) = client.ask("workspace/symbol", {"query": "quersumme"})
        assert symbol["location"]["range"] == span


def test_a_part_of_a_long_function_answers_for_all_of_it(client: Client, work: Path) -> None:
    steps = "".join(f"    total_{n} = mixture({n}, total_{n - 1})\n" for n in range(1, 60))
    text = f"LIMIT = 1\n\n\ndef brew(total_0):\n{steps}    return quench_embers(total_59)\n"
    client.open(work / "brew.py", text)

    def found() -> Any:
        hits = client.ask("mosearch/search", {"query": "quench embers"})["hits"]
        return [hit for hit in hits if hit["symbol"] == "brew"]

    (hit,) = client.until(found)
    last = text.count("\n") - 1
    assert hit["location"]["range"]["start"] == {"line": 3, "character": 0}
    assert hit["location"]["range"]["end"]["line"] == hit["part"]["end"]["line"] == last
    assert 3 < hit["part"]["start"]["line"] < last
    assert "quench_embers" in text.split("\n", hit["part"]["start"]["line"])[-1]
    symbols = client.ask("workspace/symbol", {"query": "quench embers"})
    (symbol,) = [symbol for symbol in symbols if symbol["name"] == "brew"]
    assert symbol["location"]["range"] == hit["location"]["range"]


def test_indexing_can_be_cancelled_and_goes_on(tmp_path: Path, server_environment: dict[str, str]) -> None:
    for number in range(40):
        functions = [
            f"def step_{number}_{n}(x):\n    y = x * {number}\n    return y + {n}\n" for n in range(40)
        ]
        (tmp_path / f"steps{number}.py").write_text("\n\n".join(functions))
    with Client(server_environment) as client:
        options = {"statusNotifications": True}
        client.initialize(tmp_path, options=options, capabilities={"window": {"workDoneProgress": True}})
        begin = client.wait(lambda message: _progress(message, "begin"))["params"]
        assert begin["value"]["cancellable"] is True
        client.notify("window/workDoneProgress/cancel", {"token": begin["token"]})
        client.wait(lambda message: _progress(message, "end"))
        (folder,) = client.folders()
        assert folder["state"] == "cancelled"
        client.until(lambda: "cancelled" in _states(client))  # told a moment after it is so
        client.ask("workspace/executeCommand", {"command": "mosearch.update"})
        client.ready()
        (folder,) = client.folders()
        assert (folder["files"], folder["pending"]) == (40, 0)
        client.until(lambda: _states(client)[-1] == "ready")


def _states(client: Client) -> list[str]:
    """Of the first folder, in the order in which the server told of them."""
    return [
        message["params"]["folders"][0]["state"]
        for message in list(client.messages)
        if message.get("method") == "mosearch/statusChanged"
    ]


def _progress(message: dict[str, Any], kind: str) -> bool:
    """Whether it reports work done, of that kind."""
    return message.get("method") == "$/progress" and message["params"]["value"].get("kind") == kind
