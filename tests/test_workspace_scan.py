"""Walking a tree: what is found, what is counted as skipped, and what must not stop the walk."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mosearch.errors import RootError
from mosearch.types import FileStat, SkippedFile, SkipReason
from mosearch.workspace import IgnoreRules, resolve_root, scan, walk

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="POSIX file kinds and names")


def _write(top: Path, *paths: str) -> None:
    for path in paths:
        (top / path).parent.mkdir(parents=True, exist_ok=True)
        (top / path).write_text("x")


def _skipped(top: Path) -> dict[str, SkipReason]:
    return {skipped.path: skipped.reason for skipped in scan(top).skipped}


def test_files_come_sorted_with_size_and_time(tmp_path: Path) -> None:
    _write(tmp_path, "b/c.py", "a.py", "b.py")
    found = scan(tmp_path)
    assert [file.path for file in found.files] == ["a.py", "b.py", "b/c.py"]
    assert found.files[0] == FileStat("a.py", 1, (tmp_path / "a.py").stat().st_mtime_ns)
    assert found.skipped == []


@posix_only
def test_the_time_counts_on_when_it_is_set_back(tmp_path: Path) -> None:
    _write(tmp_path, "a.py")
    before = scan(tmp_path).files[0].mtime_ns
    os.utime(tmp_path / "a.py", ns=(5, 1_234_567_890_123_456_700))
    assert scan(tmp_path).files[0].mtime_ns >= before


@posix_only
def test_any_utf8_name_works(tmp_path: Path) -> None:
    names = {"a b.py", "'q\".py", "🎈/é.py", "new\nline.py", "-rf", "back\\slash.py", "*.py", " "}
    _write(tmp_path, *names)
    assert {file.path for file in scan(tmp_path).files} == names


@posix_only
@pytest.mark.skipif(sys.platform == "darwin", reason="the file system refuses such names")
def test_names_that_are_not_utf8_are_counted(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    with open(os.fsencode(tmp_path) + b"/d/\xff.py", "wb"):  # noqa: PTH123
        pass
    os.mkdir(os.fsencode(tmp_path) + b"/\xfe")  # noqa: PTH102
    assert _skipped(tmp_path) == {"d/\\xff.py": SkipReason.BAD_NAME, "\\xfe": SkipReason.BAD_NAME}


@posix_only
def test_links_are_counted_not_followed(tmp_path: Path) -> None:
    _write(tmp_path, "d/a.py")
    (tmp_path / "d" / "up").symlink_to(tmp_path)
    (tmp_path / "file").symlink_to(tmp_path / "d" / "a.py")
    (tmp_path / "broken").symlink_to("nowhere")
    assert [file.path for file in scan(tmp_path).files] == ["d/a.py"]
    assert _skipped(tmp_path) == dict.fromkeys(["d/up", "file", "broken"], SkipReason.SYMLINK)


@posix_only
def test_special_files_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "fifo")
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        assert _skipped(tmp_path) == {"fifo": SkipReason.SPECIAL, "socket": SkipReason.SPECIAL}


def test_oversized_files_are_counted(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 11)
    (tmp_path / "b").write_bytes(b"x" * 10)
    found = scan(tmp_path, max_file_bytes=10)
    assert [file.path for file in found.files] == ["b"]
    assert found.skipped == [SkippedFile("a", SkipReason.OVERSIZED, "11 bytes")]


def test_ignored_entries_are_not_counted(tmp_path: Path) -> None:
    _write(tmp_path, "a.log")
    (tmp_path / ".gitignore").write_text("*.log\n.gitignore\nlink\n")
    (tmp_path / "link").symlink_to("nowhere")
    found = scan(tmp_path)
    assert (found.files, found.skipped) == ([], [])


@posix_only
@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read everything")
def test_a_locked_folder_is_counted(tmp_path: Path) -> None:
    _write(tmp_path, "open/a.py", "locked/b.py")
    (tmp_path / "locked").chmod(0)
    try:
        assert [file.path for file in scan(tmp_path).files] == ["open/a.py"]
        assert _skipped(tmp_path) == {"locked": SkipReason.UNREADABLE}
    finally:
        (tmp_path / "locked").chmod(0o700)


def test_a_folder_that_turns_into_a_file_is_counted_and_one_that_goes_is_not(tmp_path: Path) -> None:
    _write(tmp_path, "a.py")
    (tmp_path / "turned").mkdir()
    (tmp_path / "gone").mkdir()
    walking = walk(tmp_path, IgnoreRules.load(tmp_path), max_file_bytes=100)
    assert next(walking).path == "a.py"
    (tmp_path / "gone").rmdir()
    (tmp_path / "turned").rmdir()
    (tmp_path / "turned").write_text("x")
    (rest,) = list(walking)
    assert isinstance(rest, SkippedFile)
    assert (rest.path, rest.reason) == ("turned", SkipReason.UNREADABLE)
    assert rest.detail


@pytest.fixture
def deep_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with `a.py` 1100 levels down, and folders below that until no path can name them.

    It is made and removed level by level: the usual ways to remove a tree recurse too deeply.
    """
    top = Path(tempfile.mkdtemp()).resolve()
    names = ["d"] * 1100 + ["e" * 250] * 10
    monkeypatch.chdir(top)
    for name in names:
        os.mkdir(name)  # noqa: PTH102
        os.chdir(name)
    (top / ("d/" * 1100) / "a.py").write_text("x")
    yield top
    (top / ("d/" * 1100) / "a.py").unlink()
    for name in reversed(names):
        os.chdir("..")
        os.rmdir(name)  # noqa: PTH106
    monkeypatch.undo()
    top.rmdir()


@posix_only
def test_depth_knows_no_limit_but_the_systems(deep_folder: Path) -> None:
    found = scan(deep_folder)
    assert [file.path for file in found.files] == ["d/" * 1100 + "a.py"]
    assert [skipped.reason for skipped in found.skipped] == [SkipReason.UNREADABLE]


class TestRoot:
    def test_is_absolute_and_without_links(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "d").mkdir()
        (tmp_path / "link").symlink_to("d")
        monkeypatch.chdir(tmp_path)
        assert resolve_root(Path("link")) == (tmp_path / "d").resolve()

    def test_messages(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        (tmp_path / "loop").symlink_to("loop")
        for name, message in [
            ("missing", "No such folder"),
            ("file", "is a file"),
            ("file/below", "is a file"),
            ("loop", "cannot be used"),
            ("nul\0", "cannot be used"),
        ]:
            with pytest.raises(RootError, match=message):
                resolve_root(tmp_path / name)

    @posix_only
    @pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read everything")
    def test_locked(self, tmp_path: Path) -> None:
        (tmp_path / "locked").mkdir(mode=0)
        with pytest.raises(RootError, match="No permission"):
            resolve_root(tmp_path / "locked")
