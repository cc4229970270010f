"""No edit is lost: what an editor shows is found by its meaning, whatever the encoder or the disk is at."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from mosearch.engine import Engine
from mosearch.evaluation.session import Session
from mosearch.lsp.buffers import Buffers

ZIGZAG = "def zigzag_encode(number):\n    doubled = number * 2\n    return doubled ^ (number >> 63)\n"
QUESTION = "number doubled for zigzag"


class _Document:
    def __init__(self, source: str) -> None:
        self.source = source


@pytest.fixture
def engine(root: Path, open_engine: Callable[[Path], Engine]) -> Engine:
    engine = open_engine(root)
    engine.update()
    return engine


@pytest.fixture
def buffers(engine: Engine) -> Iterator[Buffers]:
    buffers = Buffers("work", lambda: engine)
    buffers.start()
    yield buffers
    buffers.stop()


def _exits(engine: Engine, path: str) -> set[int | None]:
    return {hit.exit for hit in engine.search(QUESTION, 20, rerank=False).hits if hit.path == path}


def _until(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.02)


def test_an_edit_is_found_by_its_meaning_where_deeper_vectors_cover_all_the_rest(
    root: Path, open_engine: Callable[[Path], Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOSEARCH_DEEPEN_LOAD", "100000")
    monkeypatch.setenv("MOSEARCH_RERANK_BUDGET_MS", "0")
    engine = open_engine(root)
    engine.update()
    engine.go_on()
    words_of_no_file = "frobnicate the quux"
    assert {hit.exit for hit in engine.search(words_of_no_file, 20).hits} == {engine.rerank_exit}
    engine.show("src/zigzag.py", ZIGZAG)
    engine.embed_shown()
    found = {hit.path: hit.exit for hit in engine.search(words_of_no_file, 20).hits}
    assert found.pop("src/zigzag.py") == engine.index_exit
    assert set(found.values()) == {engine.rerank_exit}


def test_what_could_not_be_embedded_is_tried_again_without_another_key(
    root: Path, open_engine: Callable[[Path], Engine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = os.environ["MOSEARCH_RUNTIME_DIR"]
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where the runtime folder should be")
    monkeypatch.setenv("MOSEARCH_RUNTIME_DIR", str(blocked))
    engine = open_engine(root)
    engine.update()
    buffers = Buffers("work", lambda: engine)
    buffers.start()
    buffers.put("src/zigzag.py", _Document(ZIGZAG))
    _until(lambda: _exits(engine, "src/zigzag.py") == {None})
    monkeypatch.setenv("MOSEARCH_RUNTIME_DIR", runtime)
    _until(lambda: _exits(engine, "src/zigzag.py") == {engine.index_exit})
    buffers.stop()


def test_words_of_an_edit_do_not_wait_for_an_encoder_that_hangs(
    engine: Engine, buffers: Buffers, private_runtime: Path
) -> None:
    host = psutil.Process(engine._encoder.client().status().pid)
    host.suspend()
    try:
        buffers.put("src/one.py", _Document(ZIGZAG))
        _until(lambda: "src/one.py" in engine.overlay.contents(), 2)
        buffers.put("src/other.py", _Document(ZIGZAG.replace("zigzag", "plain")))
        _until(lambda: "src/other.py" in engine.overlay.contents(), 2)
    finally:
        host.resume()


def test_an_older_text_never_follows_a_newer_one(engine: Engine) -> None:
    """Questions and keys both have documents taken in, from several threads."""
    reading, go_on = threading.Event(), threading.Event()

    class Slow:
        @property
        def source(self) -> str:
            reading.set()
            assert go_on.wait(10)
            return ZIGZAG

    buffers = Buffers("work", lambda: engine)
    buffers.put("src/zigzag.py", Slow())
    first = threading.Thread(target=buffers.settle, args=("src/zigzag.py",))
    first.start()
    assert reading.wait(10)
    buffers.put("src/zigzag.py", None)
    second = threading.Thread(target=buffers.settle, args=("src/zigzag.py",))
    second.start()
    second.join(0.2)
    go_on.set()
    first.join(10)
    second.join(10)
    assert engine.overlay.contents() == {}, "it was closed last"


def test_what_could_not_be_written_or_embedded_is_indexed_later_by_itself(
    root: Path, use_tiny_model: Path, tmp_path: Path, private_runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No further change is needed, and no restart."""
    cache, runtime = tmp_path / "taken", private_runtime / "r"
    for name, folder in (("MOSEARCH_CACHE_DIR", cache), ("MOSEARCH_RUNTIME_DIR", runtime)):
        folder.write_text("a file where a folder should be")
        monkeypatch.setenv(name, str(folder))
    with Session(root) as session:
        _until(lambda: session.status()["state"] == "failed")
        cache.unlink()
        _until(lambda: session.status()["state"] == "ready" and bool(session.status()["pending"]))
        assert session.search("checksum", limit=1)[0]["symbol"] == "Checksum"
        runtime.unlink()
        _until(lambda: session.status()["pending"] == 0)
