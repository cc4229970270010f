"""Real processes killed at random moments, and folders and files that are not as one would like."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mosearch.cli.terminal import print_answer
from mosearch.engine import Engine
from mosearch.settings import load_settings

COMMAND = [sys.executable, "-m", "mosearch"]
KILLS = 20


def _run(*arguments: str | Path, stdin: bytes = b"", expect: int | None = 0) -> Any:
    """Run a command with `--json` and return what it answers."""
    command = [*COMMAND, *map(str, arguments), "--json"]
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=120, check=False)
    assert expect is None or done.returncode == expect, (done.returncode, done.stdout, done.stderr)
    return json.loads(done.stdout)


def _error(*arguments: str | Path, code: int, stdin: bytes = b"") -> str:
    """The message of a command that must fail with an exit code."""
    return str(_run(*arguments, stdin=stdin, expect=code)["error"]["message"])


def _many_files(root: Path, count: int) -> Path:
    for number in range(count):
        folder = root / f"pkg{number % 7}"
        folder.mkdir(parents=True, exist_ok=True)
        functions = [
            f'def step_{number}_{index}(x):\n    """Step {index} of {number}."""\n    return x + {index}\n'
            for index in range(12)
        ]
        (folder / f"module{number}.py").write_text("\n\n".join(functions), encoding="utf-8")
    return root


def _content(root: Path) -> tuple[list[tuple[str, str, int]], set[str]]:
    """Everything searchable: (path, digest, first line) of each chunk, and the digests with vectors."""
    with Engine(root, load_settings(root)) as engine:
        chunks = [
            (path, item.chunk.digest, item.chunk.start_line)
            for path in engine.store.files()
            for item in engine.store.chunks_of(path)
        ]
        digests = {digest for _, digest, _ in chunks}
        return sorted(chunks), engine.store.known_digests(
            engine.model.fingerprint, engine.index_exit, digests
        )


def test_killed_at_any_moment_the_next_run_completes(
    tmp_path: Path,
    use_tiny_model: Path,
    kill_hosts: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = _many_files(tmp_path / "work", 60)
    chance = random.Random(20)
    monkeypatch.setenv("MOSEARCH_CACHE_DIR", str(tmp_path / "undisturbed"))
    start = time.monotonic()
    _run("index", "--root", root)
    duration = time.monotonic() - start
    expected = _content(root)
    monkeypatch.setenv("MOSEARCH_CACHE_DIR", str(tmp_path / "disturbed"))
    for kill in range(KILLS):
        if kill % 5 == 4:  # from nothing again, so that the early moments are hit, too
            shutil.rmtree(tmp_path / "disturbed")
        process = subprocess.Popen([*COMMAND, "index", "--root", str(root)], stdout=subprocess.DEVNULL)
        time.sleep(chance.uniform(0.2, 1.0) * duration)
        if kill % 2:
            kill_hosts()
        process.kill()
        process.wait()
    report = _run("index", "--root", root)
    assert not report.get("warning")
    assert _content(root) == expected
    assert _run("status", "--root", root)["pending"] == 0


def test_a_host_killed_while_it_embeds_is_replaced(
    tmp_path: Path, use_tiny_model: Path, private_runtime: Path, kill_hosts: Callable[[], None]
) -> None:
    root = _many_files(tmp_path / "work", 60)
    process = subprocess.Popen([*COMMAND, "index", "--root", str(root)], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list(private_runtime.glob("*.sock")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    kill_hosts()
    assert process.wait(60) == 0
    assert _run("status", "--root", root)["pending"] == 0


@pytest.fixture
def small(tmp_path: Path, use_tiny_model: Path) -> Path:
    return _many_files(tmp_path / "work", 2)


def test_a_root_that_is_no_folder(small: Path) -> None:
    assert "nowhere" in _error("index", "--root", small / "nowhere", code=2)
    assert "module0.py" in _error("search", "x", "--root", small / "pkg0" / "module0.py", code=2)


def test_queries_that_are_no_questions(small: Path) -> None:
    assert "empty" in _error("search", "", "--root", small, code=2)
    assert "100,000 characters" in _error("search", "x" * 100_000, "--root", small, code=2)
    assert "no code" in _error("similar", "-", "--root", small, code=2, stdin=b" \n")
    assert "PATH:LINE" in _error("similar", "module0.py", "--root", small, code=2)
    assert "no file" in _error("similar", "nowhere.py:3", "--root", small, code=2)
    assert "beyond the end" in _error("similar", "pkg0/module0.py:9999", "--root", small, code=2)
    assert "cobol" in _error("search", "x", "--lang", "cobol", "--root", small, code=2)


def test_what_is_asked_wrongly_is_said_before_anything_is_indexed(small: Path) -> None:
    (small / "loop.py").symlink_to("loop.py")
    for place in ("loop.py:1", "module0.py:²", "x" * 5000 + ":3", "a.py:" + "9" * 5000, "a.py:0"):
        _error("similar", place, "--root", small, code=2)
    _error("similar", "-", "--root", small, code=2)
    _error("search", "x" * 100_000, "--root", small, code=2)
    _error("search", "x", "--lang", "cobol", "--root", small, code=2)
    assert _run("status", "--root", small)["files"] == 0


@pytest.mark.parametrize("terminal", ["", "1"])
def test_a_file_cannot_act_on_the_terminal(
    small: Path, monkeypatch: pytest.MonkeyPatch, terminal: str
) -> None:
    prose = "A balloon floats upward, slowly, for as long as the air in it is warm.\n" * 5
    (small / "evil.md").write_text(f"# Balloon\x1b]0;owned\n\nIt floats.\x1b]0;owned\n{prose}")
    monkeypatch.setenv("FORCE_COLOR", terminal)
    command = [*COMMAND, "search", "balloon floats", "--root", str(small)]
    done = subprocess.run(command, capture_output=True, timeout=120, check=False)
    assert not done.returncode, done.stderr.decode()
    assert b"evil.md" in done.stdout
    assert b"owned" in done.stdout
    assert b"\x1b]0;" not in done.stdout


def test_lines_are_numbered_only_where_they_follow_one_another(
    small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    methods = "".join(f"    def step_{n}(self):\n        y = {n}\n        return y\n\n" for n in range(3))
    (small / "lock.py").write_text(f"class TideLock:\n{methods}    LIMIT = 7\n")
    for question, code, number in (("TideLock", "LIMIT = 7", ""), ("step_2", "y = 2", "11")):
        answer = _run("search", question, "-n", "1", "--root", small)
        assert answer["hits"][0]["is_excerpt"] == (not number)
        print_answer(small, answer)
        (line,) = (line for line in capsys.readouterr().out.split("\n") if code in line)
        assert line.split(code)[0].strip() == number


def test_words_without_a_place_are_told_where_they_go(small: Path) -> None:
    for command in (["index", "."], ["status", "src"], ["search", "a step", "src"], ["search", "a", "step"]):
        said = _error(*command, "--root", small, code=2)
        assert command[-1] in said
        assert "quotes" in said
        assert "--root" in said


def test_tables_that_cannot_be_cared_for_do_not_cost_the_answer(small: Path, tmp_path: Path) -> None:
    """Not even those of another model: they are set aside."""
    _run("index", "--root", small)
    (vectors,) = (tmp_path / "cache" / "vectors").glob("*/v1")
    other = vectors / f"vectors_{'0' * 16}_1.lance" / "_versions"
    other.mkdir(parents=True)
    (other / "18446744073709551614.manifest").write_bytes(b"no manifest")
    assert _run("search", "step", "--root", small)["hits"]
    assert not other.exists()


def test_unknown_settings_are_named(small: Path) -> None:
    (small / "mosearch.toml").write_text("limitt = 3")
    assert "limitt" in _error("search", "step", "--root", small, code=2)


def test_an_empty_folder_has_no_answers(tmp_path: Path, use_tiny_model: Path) -> None:
    root = tmp_path / "empty"
    root.mkdir()
    answer = _run("search", "anything", "--root", root)
    assert answer["hits"] == []
    assert answer["index"]["files"] == 0


def test_awkward_files_are_indexed_or_counted(small: Path) -> None:
    (small / "loop.py").symlink_to("loop.py")
    with (small / "huge.log").open("wb") as file:
        file.truncate(200_000_000)
    (small / "latin.py").write_bytes('def größe():\n    return "é"\n'.encode("latin-1"))
    (small / "wide.py").write_bytes("def breite():\n    return 1\n".encode("utf-16"))
    odd = small / "a 'quoted' \"name\" 🎈\nwith a newline.py"
    odd.write_text("def balloon_floats_upward():\n    return 1\n")
    report = _run("index", "--root", small)
    assert report["skipped"] == {"oversized": 1, "symbolic link": 1}
    assert report["failed"] == {}
    assert report["files"] == 5
    assert _run("search", "balloon_floats_upward", "--root", small)["hits"][0]["path"] == odd.name
    assert _run("search", "breite", "--root", small)["hits"][0]["path"] == "wide.py"


def test_without_git_ignore_files_still_count(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    (small / ".gitignore").write_text("pkg1/\n")
    report = _run("index", "--root", small)
    assert report["files"] == 2, "one module and .gitignore"


def test_a_cache_folder_that_cannot_be_written(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = small.parent / "blocked"
    blocked.write_text("a file, not a folder")
    monkeypatch.setenv("MOSEARCH_CACHE_DIR", str(blocked / "cache"))
    message = _error("index", "--root", small, code=3)
    assert "blocked" in message


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="mounting needs root")
def test_a_full_disk_is_named_and_nothing_is_lost(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(disk)], check=False).returncode:
        pytest.skip("this system does not allow mounting")
    try:
        monkeypatch.setenv("MOSEARCH_CACHE_DIR", str(disk))
        _run("index", "--root", small)
        ballast = shutil.disk_usage(disk).free
        (disk / "ballast").write_bytes(b"x" * (ballast - 16_384))
        _many_files(small, 30)
        message = _error("index", "--root", small, code=3)
        assert "space" in message or "full" in message
        (disk / "ballast").unlink()
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        assert _run("index", "--root", small)["files"] == 30
        assert _run("status", "--root", small)["pending"] == 0
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)
