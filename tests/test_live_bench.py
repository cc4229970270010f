"""The benchmark of the live index, on a history of a few commits."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def _git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def test_bench_live_counts_what_it_should(tmp_path: Path, use_tiny_model: Path) -> None:
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
    saved = tmp_path / "live.json"
    command = [sys.executable, "-m", "mosearch", "bench", "live", "--root", str(root)]
    command += ["--edits", "3", "--changed", "6", "--json", str(saved)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    sections = json.loads(saved.read_text())["sections"]
    assert sections["while the first index is built"]["chunks"] == 30
    assert (sections["edit to searchable"]["edits"], sections["edit to searchable"]["not found"]) == (3, 0)
    checkout = sections["checkout"]
    assert checkout["there: texts embedded"] == checkout["there: texts never seen"] == 6
    assert checkout["back: texts embedded"] == checkout["back: texts never seen"] == 0
