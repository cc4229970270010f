"""The benchmark of sizes, small: real workspaces, a real index, a real host."""

from __future__ import annotations

import json
import math
import re
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from mosearch import parsing
from mosearch.errors import MosearchError
from mosearch.evaluation.bench import bench_group
from mosearch.evaluation.corpora import lay_out
from mosearch.evaluation.scale import Size, exponent
from mosearch.evaluation.shell import measure_beside


def test_trees_are_laid_out_until_there_are_enough_chunks_all_different(root: Path, tmp_path: Path) -> None:
    target = tmp_path / "laid out"
    held = lay_out([root], 40, target)
    texts = []
    for path in target.rglob("*.*"):
        data = path.read_bytes()
        language = parsing.language_of(path.name, data)
        texts += [chunk.digest for chunk in parsing.parse(data, language, path.name).chunks]
    assert 40 <= held < 50
    assert len(texts) == held
    assert len(set(texts)) > 0.6 * held


def test_folders_without_code_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no code"):
        lay_out([tmp_path / "empty"], 10, tmp_path / "target")


def test_growth_is_the_slope_on_logarithms() -> None:
    sizes = [Size(n, figures={"a": 3.0 * n**0.5, "zero": 0.0}) for n in (100, 1_000, 10_000)]
    assert exponent(sizes, "a") == pytest.approx(0.5)
    assert math.isnan(exponent(sizes, "zero"))
    assert math.isnan(exponent(sizes[:1], "a"))


def test_every_size_gets_its_figures(root: Path, use_tiny_model: Path, tmp_path: Path) -> None:
    (root / "documented.py").write_text(
        "".join(
            f'def step_{n}(value):\n    """Move the value {n} steps forward."""\n    return value + {n}\n\n'
            for n in range(60)
        )
    )
    file = tmp_path / "figures.json"
    done = CliRunner().invoke(
        bench_group,
        [
            *("scale", "--root", str(root), "--chunks", "100", "--folder", str(tmp_path)),
            *("--json", str(file), "--svg", str(tmp_path / "growth.svg")),
        ],
    )
    assert done.exit_code == 0, done.output
    (size,) = json.loads(file.read_text())
    figures = size["figures"]
    assert size["chunks"] >= 100
    assert figures["reopen_embedded"] == 0
    assert figures["first_answer_s"] > 0
    assert "first answer" in (tmp_path / "growth.svg").read_text()
    assert figures["recall_at_50"] > 0.95
    assert 0 < figures["query_p50_ms"] <= figures["query_p99_ms"]
    assert figures["bytes_per_chunk"] > 0
    assert figures["memory_gb_per_s"] > 0.1
    assert figures["reopen_answered_s"] > 0
    assert "query_p50_ms" in done.output


def test_another_program_is_asked_about_the_same_folder(tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(
        "import sys; sys.exit(0 if sys.argv[1] and sys.argv[2] == sys.argv[3] else sys.argv[2])"
    )
    command = f"{sys.executable} {script} {{question}} {{root}}"
    assert measure_beside(f"{command} {tmp_path}", tmp_path) > 0
    with pytest.raises(MosearchError, match=re.escape(str(tmp_path))):
        measure_beside(f"{command} elsewhere", tmp_path)
    with pytest.raises(MosearchError, match="cannot be run"):
        measure_beside(f"{tmp_path}/nowhere", tmp_path)
