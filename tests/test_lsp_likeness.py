"""Code lenses and hints: off unless asked for, there a moment after the last key, gone with what they say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lsp_client import Client

_TWIN = "def clamp(value, low, high):\n    return max(low, min(value, high))\n"
_REFRESHED = {"workspace": {"codeLens": {"refreshSupport": True}}}


def _lenses(client: Client, uri: str) -> list[Any]:
    lenses: list[Any] = client.ask("textDocument/codeLens", {"textDocument": {"uri": uri}})
    return lenses


def _hints(client: Client, after: int) -> Any:
    return client.wait_for("textDocument/publishDiagnostics", after)["diagnostics"]


def test_lenses_and_hints_follow_the_code(root: Path, server_environment: dict[str, str]) -> None:
    (root / "one.py").write_text(f"import math\n\n\n{_TWIN}")
    (root / "two.py").write_text(_TWIN)
    settings: dict[str, Any] = {"similar_threshold": 0.999, "duplicate_threshold": 0.999}
    with Client(server_environment) as client:
        client.initialize(root, options=settings, capabilities=_REFRESHED)
        client.ready()
        uri = client.open(root / "one.py", f"import math\n\n\n{_TWIN}")
        assert _lenses(client, uri) == [], "nobody turned them on"

        settings |= {"code_lens": True, "duplicate_hints": True}
        client.notify("workspace/didChangeConfiguration", {"settings": {"mosearch": settings}})
        (hint,) = _hints(client, 0)
        assert hint["range"] == {"start": {"line": 3, "character": 0}, "end": {"line": 3, "character": 28}}
        assert (hint["severity"], hint["source"], hint["code"]) == (4, "mosearch", "near-duplicate")
        assert "clamp (two.py:1" in hint["message"]
        (related,) = hint["relatedInformation"]
        assert related["location"]["uri"] == (root / "two.py").as_uri()
        client.wait_for("workspace/codeLens/refresh")
        (lens,) = _lenses(client, uri)
        assert lens["command"]["title"] == "1 similar"
        (place,) = [
            each
            for each in client.ask("workspace/executeCommand", lens["command"])
            if each["uri"] == (root / "two.py").as_uri()
        ]
        assert place["range"]["start"] == {"line": 0, "character": 0}

        seen = len(client.messages)
        start = {"line": 4, "character": 4}
        change = {
            "range": {"start": start, "end": {"line": 4, "character": 99}},
            "text": "return math.hypot(value, low) if high else math.nan",
        }
        versioned = {"uri": uri, "version": 2}
        client.notify("textDocument/didChange", {"textDocument": versioned, "contentChanges": [change]})
        assert _hints(client, seen) == []
        assert _lenses(client, uri) == []

        seen = len(client.messages)
        client.notify("textDocument/didClose", {"textDocument": {"uri": uri}})
        client.open(root / "one.py", _TWIN)
        assert _hints(client, seen)
        seen = len(client.messages)
        settings["duplicate_hints"] = settings["code_lens"] = False
        client.notify("workspace/didChangeConfiguration", {"settings": {"mosearch": settings}})
        assert _hints(client, seen) == []
        assert _lenses(client, uri) == []
