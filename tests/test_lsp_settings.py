"""Settings of a running server: their sources, what the user hears of wrong ones, and correcting them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lsp_client import Client
from mosearch.lsp.configuration import pushed_section, read_options, read_values

_ASKED = {
    "workspace": {
        "configuration": True,
        "didChangeConfiguration": {"dynamicRegistration": True},
    }
}


def _messages(client: Client) -> list[str]:
    return [
        message["params"]["message"]
        for message in client.messages
        if message.get("method") == "window/showMessage"
    ]


def _limit(client: Client) -> int:
    """How many hits an answer has when the request does not say."""
    return len(client.ask("mosearch/search", {"query": "retry request"})["hits"])


def test_the_clients_names_become_ours() -> None:
    assert read_values({"rerankBudgetMs": 5, "limit": None, "server": {"command": "x"}, "trace": {}}) == {
        "rerank_budget_ms": 5
    }
    assert read_values({"limit": {"of": 5}}) == {"limit": {"of": 5}}, "an error to be told, no section"
    assert pushed_section({"mosearch": {"limit": 3}, "python": {"limit": 9}}) == {"limit": 3}
    assert pushed_section({"limit": 3}) is None
    assert pushed_section(None) is None
    options = read_options({"token": "x", "limit": 4, "mosearch": {"rerank": False}})
    assert (options.token, options.settings) == ("x", {"limit": 4, "rerank": False})


def test_wrong_settings_are_told_once_and_corrected_ones_open_the_folder(
    root: Path, server_environment: dict[str, str]
) -> None:
    with Client(server_environment) as client:
        client.initialize(root, options={"limitt": 3, "statusNotifications": True})
        (folder,) = client.until(lambda: [each for each in client.folders() if each["state"] == "failed"])
        assert "initializationOptions: there is no setting `limitt`" in folder["error"]
        assert client.error("mosearch/search", {"query": "retry"})["code"] == -32602
        (root / "new.py").write_text("def new():\n    return 'another try with the same settings'\n")
        client.notify(
            "workspace/didChangeWatchedFiles",
            {"changes": [{"uri": (root / "new.py").as_uri(), "type": 1}]},
        )
        client.notify("workspace/didChangeConfiguration", {"settings": {"mosearch": {"device": "gpu"}}})
        assert client.ask("mosearch/status", None)["problems"] == [folder["error"]]
        assert [text for text in _messages(client) if "limitt" in text] == [f"MoSEarch: {folder['error']}"]

    (root / "mosearch.toml").write_text("limit = 'three'\n")
    with Client(server_environment) as client:
        client.initialize(root, options={"statusNotifications": True})
        (folder,) = client.until(lambda: [each for each in client.folders() if each["state"] == "failed"])
        assert "mosearch.toml" in folder["error"]
        (root / "mosearch.toml").write_text("limit = 2\n")
        client.ready()
        assert _limit(client) == 2
        states = [
            each["state"]
            for message in client.messages
            if message.get("method") == "mosearch/statusChanged"
            for each in message["params"]["folders"]
        ]
        assert states[0] in ("opening", "failed")
        assert "failed" in states
        client.until(lambda: client.messages and client.wait_for("mosearch/statusChanged"))

        # While it is open, what is wrong changes nothing but is told, once, and so is its end.
        seen = len(_messages(client))
        for _ in range(2):
            client.notify("workspace/didChangeConfiguration", {"settings": {"mosearch": {"limit": -1}}})
        client.until(lambda: client.ask("mosearch/status", None)["problems"])
        assert _limit(client) == 2
        client.notify("workspace/didChangeConfiguration", {"settings": {"mosearch": {"limit": 1}}})
        client.until(lambda: not client.ask("mosearch/status", None)["problems"])
        assert _limit(client) == 1
        assert len(_messages(client)) == seen + 1


def test_what_the_client_says_for_a_folder_overrides_its_options(
    root: Path, server_environment: dict[str, str]
) -> None:
    section: dict[str, Any] = {"limit": 3, "server": {"command": "the client's own"}}
    asked: list[Any] = []

    def answer(method: str, params: Any) -> Any:
        asked.append((method, params))
        return [section] if method == "workspace/configuration" else None

    with Client(server_environment | {"MOSEARCH_LIMIT": "1"}, answer) as client:
        client.initialize(root, options={"limit": 2}, capabilities=_ASKED)
        client.ready()
        assert _limit(client) == 3
        items = [params["items"] for method, params in asked if method == "workspace/configuration"]
        assert items == [[{"scopeUri": root.as_uri(), "section": "mosearch"}]]
        registered = [params for method, params in asked if method == "client/registerCapability"]
        methods = [each["method"] for params in registered for each in params["registrations"]]
        assert methods == ["workspace/didChangeConfiguration"]

        section["limit"] = None
        client.notify("workspace/didChangeConfiguration", {"settings": None})
        client.until(lambda: _limit(client) == 2)
        # One that needs another engine: the folder is opened again, and the buffers are still known.
        client.open(root / "typed.py", "def zigzag_decode(n):\n    return (n >> 1) ^ -(n & 1)\n")
        section["max_file_bytes"], section["index_exit"] = 5000, 2
        client.notify("workspace/didChangeConfiguration", {"settings": None})
        client.until(lambda: client.folders()[0].get("index_exit") == 2)

        def finds_buffer() -> bool:
            hits = client.ask("mosearch/search", {"query": "zigzag_decode"})["hits"]
            return bool(hits and hits[0]["symbol"] == "zigzag_decode")

        client.until(finds_buffer)


def test_the_log_and_traces_reach_the_client(root: Path, server_environment: dict[str, str]) -> None:
    with Client(server_environment) as client:
        client.initialize(root, options={"log_level": "debug"})
        client.ready()
        client.ask("mosearch/search", {"query": "retry"})
        assert not [message for message in client.messages if message.get("method") == "$/logTrace"]
        client.notify("$/setTrace", {"value": "verbose"})
        client.ask("mosearch/search", {"query": "retry"})
        trace = client.wait_for("$/logTrace")
        assert trace["message"].startswith("mosearch/search: answered after ")
        assert trace["verbose"] == '{"query": "retry"}'
        client.notify("textDocument/didChange", {"textDocument": {"uri": "file:///x", "version": 1}})
        assert "is ignored" in client.wait_for("window/logMessage")["message"]
