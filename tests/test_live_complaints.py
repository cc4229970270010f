"""What users of other indexers complain of, again and again; here each complaint is a test.

`LIVE_CHUNKS=n` makes the large workspace hold n functions instead of a few thousand.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from mosearch.connection import Connection
from mosearch.engine import Engine
from mosearch.errors import CancelledError
from mosearch.lsp.buffers import Buffers
from mosearch.settings import load_settings
from mosearch.types import Filters

COMMAND = [sys.executable, "-m", "mosearch"]
LARGE = int(os.environ.get("LIVE_CHUNKS", "2500"))


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every text of code that is sent to the encoder from here on."""
    texts_sent: list[str] = []
    encode = Connection.encode

    def noted(client: Connection, texts: Sequence[str], kind: Any = "code", *rest: Any, **named: Any) -> Any:
        if kind == "code":
            texts_sent.extend(texts)
        return encode(client, texts, kind, *rest, **named)

    monkeypatch.setattr(Connection, "encode", noted)
    return texts_sent


def _function(name: str, number: int = 1) -> str:
    return f'def {name}(x):\n    """Does {name}."""\n    y = x + {number}\n    return y\n'


def _module(*names: str) -> str:
    return "\n\n".join(_function(name) for name in names)


def _git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "protocol.file.allow=always")
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def _paths(engine: Engine, query: str) -> set[str]:
    return {hit.path for hit in engine.search(query, 100).hits}


def _places(engine: Engine) -> list[tuple[str, str, int]]:
    return sorted(
        (path, item.chunk.digest, item.chunk.start_line)
        for path in engine.store.files()
        for item in engine.store.chunks_of(path)
    )


# 1. Re-indexing everything on restart or reopen; vectors of deleted files stay.


def test_reopening_restoring_and_touching_embed_nothing(
    root: Path, open_engine: Callable[[Path], Engine], sent: list[str]
) -> None:
    engine = open_engine(root)
    engine.update()
    engine.close()
    sent.clear()
    assert open_engine(root).update().changed_files == 0
    for path in root.rglob("*.*"):  # as a restored backup, a new checkout or another machine's clock would
        os.utime(path, (1, 1))
    again = open_engine(root)
    assert again.update().changed_files == 0
    status = again.status()
    assert (status.pending, sent) == (0, [])


def test_deleted_files_are_found_no_more_in_any_way(
    root: Path, open_engine: Callable[[Path], Engine]
) -> None:
    engine = open_engine(root)
    (root / "gone.py").write_text(_module("zigzag", "balloon"))
    engine.update()
    place = engine.place("gone.py", 1)
    (root / "gone.py").unlink()
    engine.update()
    assert "gone.py" not in _paths(engine, "zigzag")
    assert "gone.py" not in {hit.path for hit in engine.similar(place, False, 50).hits}
    assert not engine.store.symbols(["zigzag", "balloon"], 9)


def test_files_that_trade_places_are_noticed_although_size_and_time_stay(
    tmp_path: Path, open_engine: Callable[[Path], Engine]
) -> None:
    root = tmp_path / "work"
    root.mkdir()
    for name in ("first", "other"):
        (root / f"{name}.py").write_text(_function(f"{name}_one"))
        os.utime(root / f"{name}.py", ns=(10**18, 10**18))
    engine = open_engine(root)
    deadline = time.monotonic() + 10
    while engine.update() and any(record.mtime_ns == 0 for record in engine.store.files().values()):
        assert time.monotonic() < deadline, "a file that was just written is looked at again"
        time.sleep(0.1)
    (root / "first.py").rename(root / "spare")
    (root / "other.py").rename(root / "first.py")
    (root / "spare").rename(root / "other.py")
    engine.update()
    assert {hit.chunk.symbol for hit in engine.search("one", 9).hits if hit.path == "first.py"} == {
        "other_one"
    }


# 2. `.gitignore` half-honoured, above all after "clear index".


def test_ignore_rules_hold_after_the_index_is_cleared(
    tmp_path: Path, open_engine: Callable[[Path], Engine]
) -> None:
    root = tmp_path / "work"
    files = ("a.py", "build/b.py", "src/c.py", "src/gen/d.py", "src/gen/keep.py", "src/e.py", "private/f.py")
    for name in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(_function("zigzag"))
    _git(tmp_path, "init", "-q", "work")
    (root / ".gitignore").write_text("/build\n*.tmp.py\n")
    (root / "src/.gitignore").write_text("gen/*\n!gen/keep.py\n")
    (root / ".git/info/exclude").write_text("private\n")
    (root / ".mosearchignore").write_text("/src/e.py\n")
    expected = {"a.py", "src/c.py", "src/gen/keep.py"}

    engine = open_engine(root)
    for _ in range(2):
        engine.update()
        assert {path for path in engine.store.files() if path.endswith(".py")} == expected
        assert {path for path in _paths(engine, "zigzag") if path.endswith(".py")} <= expected
        engine.close()
        shutil.rmtree(Path(os.environ["MOSEARCH_CACHE_DIR"]))
        engine = open_engine(root)


def test_an_index_that_is_deleted_under_an_open_engine_is_built_again(
    root: Path, open_engine: Callable[[Path], Engine]
) -> None:
    engine = open_engine(root)
    engine.update()
    before = _places(engine)
    shutil.rmtree(Path(os.environ["MOSEARCH_CACHE_DIR"]))
    report = engine.update()
    assert not report.warning
    assert _places(engine) == before
    assert engine.status().pending == 0
    assert engine.search("checksum", 1).hits[0].chunk.symbol == "Checksum"


# 3. Stuck, frozen or lying status; state that disagrees with the store and never heals.


def test_status_is_true_at_every_moment_of_a_run(root: Path, open_engine: Callable[[Path], Engine]) -> None:
    for number in range(30):
        (root / f"m{number}.py").write_text(_module(f"zigzag{number}", f"balloon{number}"))
    engine = open_engine(root)
    seen: list[tuple[int, int, int]] = []

    def look(_stage: str, _done: int, _total: int) -> None:
        status = engine.status()
        places = _places(engine)
        digests = {digest for _, digest, _ in places}
        known = engine.store.known_digests(engine.model.fingerprint, engine.index_exit, digests)
        assert (status.chunks, status.pending) == (len(places), len(digests - known))
        assert status.files == len({path for path, _, _ in places})
        seen.append((status.files, status.chunks, status.pending))

    report = engine.update(look)
    assert seen[0] == (0, 0, 0)
    assert max(pending for _, _, pending in seen) > 60
    assert seen[-1] == (report.files, report.chunks, 0)


def test_a_partial_run_is_never_called_complete(root: Path, open_engine: Callable[[Path], Engine]) -> None:
    for number in range(300):
        (root / f"m{number}.py").write_text(_module(f"zigzag{number}"))
    engine = open_engine(root)
    cancel = threading.Event()
    with pytest.raises(CancelledError):
        engine.update(
            lambda stage, done, _: cancel.set() if (stage, done) == ("parse", 280) else None, cancel
        )
    found = len(_places(engine))
    status = engine.status()
    assert 0 < status.files < 304
    assert (status.chunks, status.pending) == (found, len({digest for _, digest, _ in _places(engine)}))
    engine.close()
    reopened = open_engine(root)
    assert reopened.update().files == 304
    assert reopened.status().pending == 0


@pytest.mark.parametrize("lost", ["vectors", "chunks.lance", "files.lance", "meta.json"])
def test_an_index_that_lost_a_part_heals(
    root: Path, open_engine: Callable[[Path], Engine], lost: str
) -> None:
    engine = open_engine(root)
    engine.update()
    before = _places(engine)
    engine.close()
    for path in sorted(Path(os.environ["MOSEARCH_CACHE_DIR"]).rglob(lost)):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    again = open_engine(root)
    again.update()
    assert _places(again) == before
    assert again.status().pending == 0
    assert again.search("checksum", 1).hits[0].chunk.symbol == "Checksum"


# 4. 100 % CPU, frozen editors, out of memory.


class _Document:
    def __init__(self, source: str) -> None:
        self.source = source


def test_keys_typed_fast_are_embedded_once_they_rest(
    root: Path, open_engine: Callable[[Path], Engine], sent: list[str]
) -> None:
    engine = open_engine(root)
    engine.update()
    sent.clear()
    buffers = Buffers("work", lambda: engine)
    buffers.start()
    last = 300
    for number in range(last + 1):
        buffers.put("typed.py", _Document(_function("zigzag", number)))
    deadline = time.monotonic() + 10
    while not any(f"x + {last}\n" in text for text in sent):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    buffers.stop()
    assert len(sent) < last / 10, "what is typed over at once is not worth embedding"


def test_an_idle_index_costs_nothing(root: Path, open_engine: Callable[[Path], Engine]) -> None:
    engine = open_engine(root)
    engine.update()
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    before = [sum(process.cpu_times()[:2]) for process in processes]
    time.sleep(2)
    after = [sum(process.cpu_times()[:2]) for process in processes]
    assert sum(after) - sum(before) < 0.2, "of two seconds"


def test_the_encoder_leaves_cores_to_others(root: Path, open_engine: Callable[[Path], Engine]) -> None:
    engine = open_engine(root)
    engine.update()
    status = engine._encoder.client().status()
    assert status.threads <= max(1, (os.cpu_count() or 1) // 2)
    if sys.platform != "win32":
        assert psutil.Process(status.pid).nice() >= engine.settings.niceness == 5


@pytest.mark.skipif(sys.platform == "win32", reason="priorities are classes there")
def test_the_encoder_gives_way_as_far_as_it_is_told_to_and_knows_its_memory(
    root: Path, use_tiny_model: Path, private_runtime: Path
) -> None:
    settings = load_settings(root, {"niceness": 12, "memory_mb": 256, "threads": 1})
    with Engine(root, settings) as engine:
        engine.update()
        host = psutil.Process(engine._encoder.client().status().pid)
        assert host.nice() == 12
        assert "--memory-mb 256" in " ".join(host.cmdline())
        autogroup = Path(f"/proc/{host.pid}/autogroup")
        if autogroup.exists():  # where sessions share the processors, niceness counts only within one
            assert autogroup.read_text().split()[-1] == "12"


# 6. Disk that grows without end.


def test_the_index_does_not_grow_with_edits(
    tmp_path: Path, open_engine: Callable[[Path], Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "work"
    root.mkdir()
    for number in range(60):
        (root / f"m{number}.py").write_text(_module(*(f"zigzag{number}x{index}" for index in range(10))))
    engine = open_engine(root)
    for edit in range(44):
        (root / f"m{edit % 60}.py").write_text(
            _module(*(f"zigzag{edit % 60}x{index}" for index in range(10))) + "\n" * edit
        )
        engine.update()
        engine.maintain(threading.Event())
    used, files = engine.status().stats.index_bytes, _file_count(engine.index_dir)
    assert not engine.store.maintenance_due()

    monkeypatch.setenv("MOSEARCH_CACHE_DIR", str(tmp_path / "fresh"))
    fresh = open_engine(root)
    fresh.update()
    fresh.store.optimize()
    assert used <= 1.5 * fresh.status().stats.index_bytes + 500_000
    assert files < 300, "each write leaves about ten files until they are merged"


def _file_count(folder: Path) -> int:
    return sum(path.is_file() for path in folder.rglob("*"))


# 7. Monorepo scale.


def test_a_large_workspace_is_indexed_whole(tmp_path: Path, open_engine: Callable[[Path], Engine]) -> None:
    root = tmp_path / "work"
    for number in range(LARGE // 25):
        folder = root / f"pkg{number % 40}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"m{number}.py").write_text(_module(*(f"zigzag{number}x{index}" for index in range(25))))
    engine = open_engine(root)
    report = engine.update()
    assert (report.files, report.chunks) == (LARGE // 25, LARGE // 25 * 25)
    assert not report.warning
    assert engine.status().pending == 0
    name = f"zigzag{LARGE // 25 - 1}x24"
    assert engine.search(name, 1).hits[0].chunk.symbol == name


# 8. Hub blocked; no filters; sub-folders and submodules; Windows' paths.


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="taking the network away needs root"
)
def test_no_network_is_needed(root: Path, use_tiny_model: Path, private_runtime: Path) -> None:
    command = ["unshare", "-n", *COMMAND, "search", "checksum", "--json", "--root", str(root)]
    if subprocess.run(["unshare", "-n", "true"], check=False, capture_output=True).returncode:
        pytest.skip("this system does not allow it")
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert '"symbol": "Checksum"' in done.stdout
    assert "by words only" not in done.stdout


def test_a_subfolder_follows_the_rules_above_it_and_submodules_are_searched(
    tmp_path: Path, open_engine: Callable[[Path], Engine]
) -> None:
    library, root = tmp_path / "library", tmp_path / "work"
    for folder in (library, root):
        folder.mkdir()
        _git(folder, "init", "-q", ".")
    (library / "lib.py").write_text(_function("balloon"))
    _git(library, "add", ".")
    _git(library, "commit", "-qm", "x")
    (root / "src").mkdir()
    (root / "src/a.py").write_text(_function("zigzag"))
    (root / "src/b.tmp.py").write_text(_function("zigzag"))
    (root / ".gitignore").write_text("*.tmp.py\n")
    _git(root, "submodule", "add", "-q", str(library), "src/vendored")
    engine = open_engine(root / "src")
    engine.update()
    assert {path for path in engine.store.files() if path.endswith(".py")} == {"a.py", "vendored/lib.py"}
    only = Filters(path_globs=("vendored/**",), languages=frozenset({"python"}))
    assert {hit.path for hit in engine.search("zigzag balloon", 9, only).hits} == {"vendored/lib.py"}
