"""The watcher on a real file system: what it notices, what it passes over, what it does without events."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mosearch.workspace import Watcher
from mosearch.workspace.watcher import is_remote

SOON = 5.0
QUIET = 0.4


@pytest.fixture
def changed() -> threading.Event:
    return threading.Event()


@pytest.fixture
def root(tmp_path: Path, changed: threading.Event) -> Iterator[Path]:
    folder = tmp_path / "root"
    for name in (".git", "src/deep", "ignored"):
        (folder / name).mkdir(parents=True)
    (folder / ".gitignore").write_text("ignored/\n*.log\n")
    (folder / "src/a.py").write_text("x = 1\n")
    watcher = Watcher(folder, changed.set)
    watcher.start()
    assert not watcher.is_polling
    yield folder
    watcher.stop()


def test_every_kind_of_change_is_noticed(root: Path, changed: threading.Event) -> None:
    moves: list[Callable[[], object]] = [
        lambda: (root / "src/deep/new.py").write_text("y = 2\n"),
        lambda: (root / "src/a.py").write_text("x = 3\n"),
        lambda: (root / "src/a.py").rename(root / "src/b.py"),
        lambda: (root / "src").rename(root / "lib"),
        lambda: (root / "lib/b.py").unlink(),
        lambda: (root / "fresh").mkdir(),
        lambda: (root / "fresh/c.py").write_text("z = 4\n"),
    ]
    for number, move in enumerate(moves):
        changed.clear()
        move()
        assert changed.wait(SOON), f"change {number} went unseen"
        time.sleep(QUIET)


def test_ignored_files_and_reading_are_passed_over(root: Path, changed: threading.Event) -> None:
    (root / "ignored/x.py").write_text("x = 1\n")
    (root / "trace.log").write_text("x\n")
    (root / ".git/index").write_text("x\n")
    (root / "src/a.py").read_text()
    assert not changed.wait(QUIET)


def test_an_edited_ignore_file_counts_at_once(root: Path, changed: threading.Event) -> None:
    (root / ".gitignore").write_text("*.log\n")
    assert changed.wait(SOON)
    time.sleep(QUIET)
    changed.clear()
    (root / "ignored/x.py").write_text("x = 1\n")
    assert changed.wait(SOON)


_WITHOUT_EVENTS = """
import sys, threading
from pathlib import Path
from mosearch.workspace import Watcher
Path("/proc/sys/user/max_inotify_watches").write_text("0")
changed = threading.Event()
watcher = Watcher(Path(sys.argv[1]), changed.set, poll_seconds=0.05)
watcher.start()
assert watcher.is_polling
assert changed.wait(5)
watcher.stop()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")
def test_without_events_it_looks_from_time_to_time(tmp_path: Path) -> None:
    inside = ["unshare", "--user", "--map-root-user"]
    if subprocess.run([*inside, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this system does not allow user namespaces")
    command = [*inside, sys.executable, "-c", _WITHOUT_EVENTS, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")
def test_ignored_folders_take_no_watches(root: Path, changed: threading.Event) -> None:
    before = _watches()
    for number in range(50):
        (root / f"ignored/package{number}/lib").mkdir(parents=True)
    (root / "src/more").mkdir()
    assert changed.wait(SOON)
    _until(lambda: _watches() == before + 1)
    (root / ".gitignore").write_text("*.log\n")
    _until(lambda: _watches() > before + 100)
    (root / ".gitignore").write_text("ignored/\n")
    _until(lambda: _watches() == before + 1)


def _watches() -> int:
    """How many folders this process watches."""
    return sum(
        line.startswith("inotify wd:")
        for info in Path("/proc/self/fdinfo").iterdir()
        if info.exists()
        for line in info.read_text().splitlines()
    )


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")
def test_a_root_that_goes_and_comes_back_is_noticed(tmp_path: Path, changed: threading.Event) -> None:
    folder = tmp_path / "mounted"
    folder.mkdir()
    watcher = Watcher(folder, changed.set, poll_seconds=0.05)
    watcher.start()
    folder.rename(tmp_path / "elsewhere")
    assert changed.wait(SOON)
    _until(lambda: watcher.is_polling)
    changed.clear()
    folder.mkdir()
    _until(lambda: not watcher.is_polling)
    assert changed.wait(SOON)
    changed.clear()
    (folder / "a.py").write_text("x = 1\n")
    assert changed.wait(SOON)
    watcher.stop()


def test_network_file_systems_are_looked_at_as_well(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text("/dev/sda / ext4 rw 0 0\nhost:/x /mnt/far\\040away nfs4 rw 0 0\n")
    assert is_remote(Path("/mnt/far away/project"), mounts)
    assert not is_remote(Path("/home/project"), mounts)
