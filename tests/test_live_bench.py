"""The benchmark of the live index, on a history of a few commits."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


def _git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def history(tmp_path: Path, use_tiny_model: Path) -> Path:
    root = tmp_path / "history"
    root.mkdir()
    _git(root, "init", "-q")
    for commit in range(4):
        for number in range(6):
            lines = [
                f"def step{number}x{index}(x):\n    return x * {commit if index == 0 else 7}\n"
                for index in range(5)
            ]
            (root / f"m{number}.py").write_text("\n\n".join(lines))
        _git(root, "add", ".")
        _git(root, "commit", "-qm", "x")
    return root


def _bench(*arguments: str, saved: Path) -> Any:
    command = [sys.executable, "-m", "mosearch", "bench", *arguments, "--json", str(saved)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(saved.read_text())


def test_bench_live_counts_what_it_should(history: Path, tmp_path: Path) -> None:
    options = ("--root", str(history), "--edits", "3", "--changed", "6")
    sections = _bench("live", *options, saved=tmp_path / "live.json")["sections"]
    assert sections["while the first index is built"]["chunks"] == 30
    edits = sections["edit to searchable"]
    assert (edits["edits"], edits["not found"], edits["first of all answers"]) == (3, 0, 3)
    checkout = sections["checkout"]
    assert checkout["there: texts embedded"] == checkout["there: texts never seen"] == 6
    assert checkout["back: texts embedded"] == checkout["back: texts never seen"] == 0


def test_bench_day_ends_where_it_began(history: Path, tmp_path: Path) -> None:
    options = ("--root", str(history), "--edits", "10", "--checkouts", "3", "--restarts", "1")
    moments = _bench("day", *options, saved=tmp_path / "day.json")
    assert [moment["name"] for moment in moments if moment["name"]] == [
        "start",
        "end, at the first commit",
        "the same, after merging",
        "fresh index",
    ]
    chunks = [moment["figures"][2] for moment in moments if moment["name"]]
    assert chunks == [30] * 4
    assert {moment["figures"][1] for moment in moments} == {0}, "no edit is lost"
    vectors = [moment["figures"][3] for moment in moments if moment["name"]]
    assert vectors[0] == vectors[3] == 30 < vectors[1], "what was typed over is kept for a while"
