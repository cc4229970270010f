"""The process that keeps an index open between commands: real commands, a real process, a real index."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from mosearch import ipc
from mosearch.engine import Engine
from mosearch.errors import QueryError
from mosearch.lsp.folder import Folder
from mosearch.resident import Request, ask, start
from mosearch.resident.client import address_file
from mosearch.resident.lines import MAX_ANSWER_BYTES, Lines
from mosearch.resident.server import claim, take_over
from mosearch.settings import load_settings
from silent import Silent

_WAIT_S = 60.0


@pytest.fixture
def resident(private_runtime: Path, use_tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MOSEARCH_RESIDENT", "true")
    return private_runtime


@pytest.fixture
def served(resident: Path, root: Path) -> Path:
    """A workspace whose resident process is there already."""
    start(root.resolve(), load_settings(root))
    _address(root)
    return root


def _search(root: Path, *arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "mosearch", "search", *arguments, "--root", str(root), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_WAIT_S, check=False)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _quiet(_stage: str, _done: int, _total: int) -> None:
    pass


def _until(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + _WAIT_S
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError("waited in vain")


def _residents(runtime: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if "mosearch.resident" in command and any(str(runtime) in part for part in command):
            found.append(process)
    return found


def _address(root: Path) -> ipc.Address:
    file = address_file(root.resolve(), load_settings(root))
    found: ipc.Address = _until(lambda: ipc.read_address(file))
    return found


def test_the_first_command_leaves_one_behind_that_answers_the_same(resident: Path, root: Path) -> None:
    # Without re-ranking, which keeps deeper vectors that change the order of later answers.
    first = _search(root, "Checksum", "--no-rerank")
    _address(root)
    assert len(_residents(resident)) == 1
    second = _search(root, "Checksum", "--no-rerank")
    assert len(_residents(resident)) == 1
    assert [hit["symbol"] for hit in second["hits"]] == [hit["symbol"] for hit in first["hits"]]
    assert second["index"]["changed_files"] == 0


def test_it_sees_what_changed_since(served: Path) -> None:
    (served / "new.py").write_text("def quaternion_product(a, b):\n    return a * b\n")
    assert _search(served, "quaternion_product")["hits"][0]["symbol"] == "quaternion_product"
    (served / "new.py").unlink()
    found = _search(served, "quaternion_product")
    assert all(hit["path"] != "new.py" for hit in found["hits"])


def test_errors_and_filters_are_those_of_a_command_of_its_own(served: Path) -> None:
    assert _search(served, "  ")["error"]["name"] == "QueryError"
    assert _search(served, "x", "--lang", "klingon")["error"]["name"] == "UsageError"
    hits = _search(served, "sum up", "--lang", "go", "--path", "src/**")["hits"]
    assert {hit["language"] for hit in hits} == {"go"}
    with pytest.raises(QueryError):
        ask(served.resolve(), load_settings(served), Request(path="nowhere.py", line=3, limit=5), _quiet)


def test_settings_that_bear_on_answers_are_answered_by_another(
    served: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, request = load_settings(served), Request(query="the", limit=5)
    for same in (
        {"limit": 1, "log_level": "debug"},
        {"code_lens": True, "duplicate_hints": True, "duplicate_threshold": 0.5},
    ):
        assert ask(served.resolve(), replace(settings, **same), request, _quiet)
    assert ask(served.resolve(), replace(settings, rerank_budget_ms=7), request, _quiet) is None
    monkeypatch.setenv("MOSEARCH_LIMIT", "1")
    assert len(_search(served, "the")["hits"]) == 1


def test_a_killed_one_is_replaced(served: Path, resident: Path) -> None:
    for process in _residents(resident):
        process.kill()
        process.wait()
    settings, request = load_settings(served), Request(query="Checksum", limit=5)
    assert ask(served.resolve(), settings, request, _quiet) is None
    # The dead one's address is still there: the next start takes its place.
    start(served.resolve(), settings)
    assert _until(lambda: ask(served.resolve(), settings, request, _quiet))["hits"]


def test_ten_starts_give_one(resident: Path, root: Path) -> None:
    file = address_file(root.resolve(), load_settings(root))
    command = [sys.executable, "-m", "mosearch.resident", "--root", str(root), "--address", str(file)]
    started = [subprocess.Popen(command, cwd=resident, stderr=subprocess.DEVNULL) for _ in range(5)]
    _address(root)
    _until(lambda: sum(process.poll() is None for process in started) == 1)
    assert all(process.poll() in (None, 0) for process in started)
    for process in started:
        process.kill()
        process.wait()


def test_nobody_without_the_token_is_answered(served: Path) -> None:
    address = _address(served)
    if address.path:
        assert Path(address.path).stat().st_mode & 0o077 == 0
    for greeting in ({"request": {"query": "x"}}, {"token": "", "request": {}}, {"token": "guessed"}):
        lines = Lines(address.dial(5.0), MAX_ANSWER_BYTES)
        lines.set_timeout(10.0)
        lines.send(greeting)
        with pytest.raises(ConnectionError):
            lines.receive()
        lines.close()


def test_nonsense_hurts_nobody(served: Path) -> None:
    address = _address(served)
    for noise in (b"\n", b"[1]\n", b"{" * 70_000 + b"\n", b"\xff\xfe\n", os.urandom(4096) + b"\n"):
        connection = address.dial(5.0)
        connection.sendall(noise)
        connection.close()
    lines = Lines(address.dial(5.0), MAX_ANSWER_BYTES)
    lines.send({"token": address.token, "request": {"query": 5, "unheard": "of"}})
    lines.set_timeout(10.0)
    assert lines.receive()["error"]["name"] == "UsageError"
    lines.close()
    assert ask(served.resolve(), load_settings(served), Request(query="Checksum", limit=5), _quiet)


def test_it_leaves_when_nobody_asks(resident: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOSEARCH_IDLE_SECONDS", "1")
    start(root.resolve(), load_settings(root))
    _address(root)
    _until(lambda: not _residents(resident))
    assert not list(resident.glob("resident-*.json"))
    assert not list(resident.glob("resident-*.sock"))


def test_an_editor_answers_commands_and_its_unsaved_buffers_count(served: Path, resident: Path) -> None:
    folder = Folder(served.resolve(), [], Silent(), watch=False)
    folder.start()
    folder.buffers.put("unsaved.py", _Unsaved("def quaternion_product(a, b):\n    return a * b\n"))
    try:
        _until(lambda: not _residents(resident))
        _until(lambda: _finds(served, "quaternion_product", "unsaved.py"))
        second = claim(address_file(served.resolve(), load_settings(served)), timeout=0.5)
        assert second is None, "an editor does not give way to another"
        assert _finds(served, "quaternion_product", "unsaved.py")
        # Commands with the settings that the editor has from now on find it, those with the former do not.
        (served / "mosearch.toml").write_text("rerank_budget_ms = 7\n")
        folder.configure([])
        _until(lambda: _finds(served, "quaternion_product", "unsaved.py"))
        former = replace(load_settings(served), rerank_budget_ms=100)
        assert ask(served.resolve(), former, Request(query="x", limit=5), _quiet) is None
    finally:
        folder.stop()
    _until(lambda: ask(served.resolve(), load_settings(served), Request(query="x", limit=5), _quiet) is None)


def test_who_no_longer_answers_lets_go_of_the_index(resident: Path, root: Path) -> None:
    engine = Engine(root, load_settings(root))
    door = take_over(engine)
    assert door is not None
    assert ask(root.resolve(), load_settings(root), Request(query="x", limit=5), _quiet) is not None
    time.sleep(0.2)  # its thread waits for the next one
    door.close()
    engine.close()
    held = weakref.ref(engine)
    del engine, door
    _until(lambda: gc.collect() >= 0 and held() is None)


@dataclass
class _Unsaved:
    source: str


def _finds(root: Path, query: str, path: str) -> bool:
    answer = ask(root.resolve(), load_settings(root), Request(query=query, limit=5), _quiet)
    return answer is not None and any(hit["path"] == path for hit in answer["hits"])
