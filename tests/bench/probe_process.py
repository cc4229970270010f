"""Answers of probe, for comparison: a program that looks at all files for each question, without an index.

Its binary lies in the npm package `@probelabs/probe`, under `bin/binaries`.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from mosearch.evaluation.judging import Place

_LONGEST_S = 120


def ask_probe(binary: str, root: Path, question: str, limit: int) -> list[Place]:
    """Its first hits in a tree, best first; none where it finds nothing.  Raises CalledProcessError and
    TimeoutExpired."""
    # Every tree and question by itself: it would else leave out what an earlier answer showed.
    command = [binary, "search", question, str(root), "--max-results", str(limit), "--format", "json"]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True, timeout=_LONGEST_S
    )
    start = done.stdout.find("{")
    found = json.loads(done.stdout[start:])["results"] if start >= 0 else []
    return [Place(str(Path(hit["file"]).relative_to(root)), *hit["lines"]) for hit in found]
