"""Updates of very many files: by a real process beside the one that answers."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil
import pytest

from conftest import hosts_in
from lsp_client import Client
from mosearch import bulk, workspace
from mosearch.engine import Engine
from mosearch.errors import StoreLockedError
from mosearch.progress import Cancel, Progress
from mosearch.settings import cache_dir, load_settings
from mosearch.types import Depth, FileStat, SkippedFile, SkipReason

_FILES = 250


@pytest.fixture
def large(tmp_path: Path, use_tiny_model: Path) -> Path:
    root = tmp_path / "large"
    root.mkdir()
    for number in range(_FILES):
        _write(root, number, "total")
    return root


def _write(root: Path, number: int, name: str) -> None:
    text = f"def {name}_{number}(values):\n    result = {number}\n    return result + sum(values)\n"
    (root / f"m{number}.py").write_text(text)


def test_the_other_process_leaves_nothing_to_do(large: Path, open_engine: Callable[[Path], Engine]) -> None:
    engine = open_engine(large)
    told: list[str] = []
    bulk.update(large, load_settings(large), lambda stage, *_: told.append(stage), threading.Event())
    assert told
    assert set(told) <= {"scan", "parse", "first", "embed"}
    report = engine.update(depth=Depth.FIRST)
    assert (report.files, report.changed_files, report.embedded) == (_FILES, 0, 0)


def test_only_very_many_changes_are_worth_it(large: Path, open_engine: Callable[[Path], Engine]) -> None:
    asked: list[Path] = []

    def apart(progress: Progress, cancel: Cancel) -> None:
        asked.append(large)
        bulk.update(large, load_settings(large), progress, cancel)

    engine = open_engine(large)
    newest = max(path.stat().st_ctime for path in large.iterdir())
    while time.time() <= newest + 1:  # what was written just now would be looked at once more
        time.sleep(0.05)
    assert engine.update(apart=apart).chunks == _FILES
    assert len(asked) == 1
    _write(large, 3, "product")
    assert engine.update(apart=apart).changed_files == 1
    assert len(asked) == 1
    assert engine.search("product_3", 1).hits[0].path == "m3.py"


def test_what_it_fails_to_do_is_done_here(
    large: Path, open_engine: Callable[[Path], Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    apart = partial(bulk.update, large, load_settings(large))
    assert open_engine(large).update(apart=apart).changed_files == _FILES


@pytest.mark.parametrize("is_cancelled", [False, True])
def test_it_is_not_waited_for_when_it_hangs(
    large: Path, open_engine: Callable[[Path], Engine], monkeypatch: pytest.MonkeyPatch, is_cancelled: bool
) -> None:
    monkeypatch.setattr(bulk, "_LAST_S", 0.2)
    if not is_cancelled:
        monkeypatch.setattr(bulk, "_SILENCE_S", 1.0)
    engine = open_engine(large)
    cancel = threading.Event()

    def stop(*_: object) -> None:
        for process in _processes():
            process.suspend()
        if is_cancelled:
            threading.Timer(0.5, cancel.set).start()  # when all that it said has been read

    apart = partial(bulk.update, large, load_settings(large), stop)
    work = threading.Thread(target=apart, args=(cancel,), daemon=True)
    work.start()
    work.join(20)
    assert not work.is_alive()
    assert not _processes()
    assert engine.update().chunks == _FILES


def test_files_that_cannot_be_read_are_tried_again_here(
    large: Path, open_engine: Callable[[Path], Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_root: Path, stat: FileStat, **_: object) -> SkippedFile:
        return SkippedFile(stat.path, SkipReason.UNREADABLE, "Permission denied")

    asked: list[Cancel] = []
    monkeypatch.setattr(workspace, "read_source", refuse)
    engine = open_engine(large)
    for _ in range(2):
        assert len(engine.update(apart=lambda _, cancel: asked.append(cancel)).failed) == _FILES
    assert len(asked) == 1


def test_who_updates_meanwhile_does_not_wait_for_it(
    large: Path, open_engine: Callable[[Path], Engine]
) -> None:
    engine = open_engine(large)
    is_asked, may_end = threading.Event(), threading.Event()

    def apart(*_: object) -> None:
        is_asked.set()
        may_end.wait(60)

    updating = threading.Thread(target=engine.update, kwargs={"apart": apart})
    updating.start()
    assert is_asked.wait(60)
    too_late = threading.Timer(10, may_end.set)
    too_late.start()
    try:
        with pytest.raises(StoreLockedError, match="is being brought up to date"):
            engine.update(lock_timeout=0.1)
    finally:
        too_late.cancel()
        may_end.set()
        updating.join()


def test_the_host_that_it_began_leaves_soon(
    large: Path, open_engine: Callable[[Path], Engine], private_runtime: Path
) -> None:
    open_engine(large)
    settings = load_settings(large, {"first_exit": 1})
    bulk.update(large, settings, lambda *_: None, threading.Event())
    assert hosts_in(private_runtime)
    _wait(lambda: not hosts_in(private_runtime), 20)


@pytest.mark.parametrize("end", ["cancelled", "killed"])
def test_ended_early_it_leaves_an_index_that_can_go_on(
    large: Path, open_engine: Callable[[Path], Engine], end: str
) -> None:
    engine = open_engine(large)
    cancel = threading.Event()
    ended: list[str] = []

    def watch(*_: object) -> None:
        ended.append(end)
        if end == "cancelled":
            cancel.set()
        for process in _processes():
            if end == "killed":
                process.kill()

    bulk.update(large, load_settings(large), watch, cancel)
    assert ended
    assert not _processes()
    assert engine.update().changed_files > 0
    assert set(engine.store.files()) == {f"m{number}.py" for number in range(_FILES)}
    assert engine.report().chunks == _FILES


def test_it_ends_with_the_process_that_began_it(large: Path) -> None:
    for number in range(_FILES, 4 * _FILES):
        _write(large, number, "total")
    with Client(os.environ) as client:
        client.initialize(large)
        _wait(lambda: bool(_processes()))
        client.process.kill()
        client.process.wait()
        _wait(lambda: not _processes())


def _processes() -> list[psutil.Process]:
    """Those of this test: other tests that run at the same time have their own cache folders."""
    return [
        each
        for each in psutil.process_iter(["cmdline", "cwd"])
        if "mosearch.bulk" in (each.info["cmdline"] or []) and each.info["cwd"] == str(cache_dir().resolve())
    ]


def _wait(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
