"""Commands and the folder that they are asked about: real commands in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mosearch.engine import Engine
from mosearch.errors import StoreFullError
from mosearch.resident import Request
from mosearch.resident.requests import answer
from test_store_failures import end

COMMAND = [sys.executable, "-m", "mosearch"]
HOLDER = """
import sys
from pathlib import Path
from mosearch.store import Store
with Store.open(*map(Path, sys.argv[1:])) as store, store.writer_lock():
    print("held", flush=True)
    sys.stdin.read()
"""


def _run(*arguments: str, cwd: Path) -> tuple[int, dict[str, Any]]:
    done = subprocess.run([*COMMAND, *arguments, "--json"], cwd=cwd, capture_output=True, text=True)
    assert "Traceback" not in done.stderr
    return done.returncode, json.loads(done.stdout)


def test_every_command_takes_a_root_for_the_same_folder(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(root.parent))
    (root / "mosearch.toml").write_text("limit = 'many'\n")
    (root / "a.py").write_text("x = 1\n")
    for command in (["search", "x"], ["similar", "a.py:1"], ["index"], ["status"]):
        code, told = _run(*command, f"--root=~/{root.name}", cwd=tmp_path)
        assert (code, told["error"]["name"]) == (2, "SettingsError"), command
        assert "mosearch.toml" in told["error"]["message"]


@pytest.mark.skipif(os.name == "nt", reason="Windows lets nobody delete a working folder")
def test_folders_that_cannot_be_are_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    gone = tmp_path / "gone"
    gone.mkdir()
    for command in (["search", "x"], ["index"], ["status"]):
        code, told = _run(*command, "--root", "loop", cwd=tmp_path)
        assert (code, told["error"]["name"]) == (2, "RootError"), command
        script = f"rmdir '{gone}'; exec '{sys.executable}' -m mosearch {' '.join(command)} --json"
        gone.mkdir(exist_ok=True)
        done = subprocess.run(["sh", "-c", script], cwd=gone, capture_output=True, text=True)
        assert (done.returncode, json.loads(done.stdout)["error"]["name"]) == (2, "RootError"), done.stderr


def _ask(engine: Engine) -> tuple[float, dict[str, Any]]:
    start = time.monotonic()
    found = answer(engine, Request(query="checksum", limit=5), lambda *_: None, threading.Event())
    return time.monotonic() - start, found


def test_a_question_does_not_wait_for_whoever_writes(
    root: Path, open_engine: Callable[[Path], Engine]
) -> None:
    engine = open_engine(root)
    engine.update()
    folders = map(str, (engine.index_dir, engine._vectors_dir))
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, *folders], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        seconds, found = _ask(engine)
    finally:
        end(holder)
    assert seconds < 5
    assert found["hits"]
    assert "may miss the latest changes" in found["index"]["warning"]


def test_an_index_that_cannot_be_written_still_answers(
    root: Path, open_engine: Callable[[Path], Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = open_engine(root)

    def full(*_: object, **__: object) -> None:
        raise StoreFullError("no room is left")

    with monkeypatch.context() as patched:
        patched.setattr(engine, "update", full)
        with pytest.raises(StoreFullError):
            _ask(engine)
    engine.update()
    monkeypatch.setattr(engine, "update", full)
    _, found = _ask(engine)
    assert found["hits"]
    assert "no room is left" in found["index"]["warning"]


def test_paths_are_whole_in_a_pipe_and_nothing_similar_says_what_to_do(
    root: Path, tmp_path: Path, use_tiny_model: Path
) -> None:
    def told(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [*COMMAND, *arguments, "--root", str(deep)]
        return subprocess.run(command, capture_output=True, text=True, check=True)

    deep = tmp_path / "a rather long name of a folder" / "and another one within it" / "to be copied whole"
    deep.mkdir(parents=True)
    (deep / "alone.py").write_text("def alone(a):\n    return a + 1\n")
    assert any(line.split(maxsplit=1)[1] == str(deep) for line in told("status").stdout.splitlines())
    found = told("similar", "alone.py:1")
    assert (found.stdout, found.stderr) == ("", "Nothing is similar; --all shows the nearest code.\n")
    assert told("search", "alone", "--lang", "go").stderr == "Nothing found.\n"
