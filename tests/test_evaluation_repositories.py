"""Whole-repository evaluation: the metric, and a run through the real product."""

from __future__ import annotations

import json
import math
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from mosearch.errors import UsageError
from mosearch.evaluation.budget_cli import budget_command
from mosearch.evaluation.judging import Place, Target, ndcg
from mosearch.evaluation.repositories import by_category, measure, read_repositories

ONE = 1 / math.log2(3)
A, B, C = (Place(f"src/{name}.py", 1, 50) for name in "abc")


@pytest.mark.parametrize(
    ("results", "targets", "expected"),
    [
        ([A, B], [Target("src/a.py")], 1.0),
        ([B, A], [Target("a.py")], ONE),
        ([B, B, A], [Target("src/a.py")], 0.5),
        ([A], [Target("src/a.py"), Target("src/b.py")], 1 / (1 + ONE)),
        ([A, B], [Target("src/b.py"), Target("src/a.py")], 1.0),
        ([A], [Target("src/a.py", 51, 60)], 0.0),
        ([A], [Target("src/a.py", 50, 60)], 1.0),
        ([Place("src/ba.py", 1, 2)], [Target("a.py")], 0.0),
        ([*[B] * 10, A], [Target("src/a.py")], 0.0),
        ([], [Target("src/a.py")], 0.0),
    ],
)
def test_ndcg(results: list[Place], targets: list[Target], expected: float) -> None:
    assert ndcg(results, targets) == pytest.approx(expected)


def test_the_product_answers_the_questions_of_a_repository(
    root: Path, tmp_path: Path, use_tiny_model: Path
) -> None:
    data = tmp_path / "data" / "repos"
    data.mkdir(parents=True)
    listed = [{"name": root.name, "language": "python", "root": "src"}]
    questions = [
        {
            "query": "checksum of a block",
            "relevant": [{"path": "src/store.go", "start_line": 3, "end_line": 10}],
            "secondary": [],
            "category": "semantic",
        },
        {"query": "Nothing", "relevant": ["src/nowhere.py"], "secondary": [], "category": "symbol"},
    ]
    (data / "repos.json").write_text(json.dumps(listed))
    (data / f"{root.name}.json").write_text(json.dumps(questions))
    (repository,) = read_repositories(tmp_path / "data")
    outcome = measure(repository, root.parent, rerank=False)  # which waits for no time budget
    found, missed = outcome.scores
    assert found > 0  # the tiny model's weights are random, so the first place is not certain
    assert missed == 0
    assert by_category([outcome]) == {"semantic": found, "symbol": 0.0}
    assert outcome.as_json()["ndcg10"] == pytest.approx(found / 2, abs=1e-3)


def test_a_time_budget_is_measured_on_fresh_indexes(
    root: Path, tmp_path: Path, use_tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOSEARCH_CACHE_DIR", str(tmp_path / "cache"))  # which the command changes
    data = tmp_path / "data" / "repos"
    data.mkdir(parents=True)
    (data / "repos.json").write_text(json.dumps([{"name": root.name, "language": "go", "root": ""}]))
    asked = {"query": "Checksum", "relevant": ["src/store.go"], "secondary": [], "category": "symbol"}
    (data / f"{root.name}.json").write_text(json.dumps([asked]))
    drawn, figures = tmp_path / "plot.svg", tmp_path / "figures.json"
    arguments = ["--data", data.parent, "--checkouts", root.parent, "--svg", drawn, "--json", figures]
    wanted = ["--budget", "0", "--budget", "20"]
    done = CliRunner().invoke(budget_command, [*map(str, arguments), *wanted], catch_exceptions=False)
    assert done.exit_code == 0
    assert {budget: run["ndcg10"] for budget, run in json.loads(figures.read_text()).items()} == {
        "0": 1.0,
        "20": 1.0,
    }
    circles = ElementTree.parse(drawn).getroot().findall("{http://www.w3.org/2000/svg}circle")
    assert len(circles) == 2
    assert float(circles[0].attrib["cx"]) != float(circles[1].attrib["cx"])


def test_a_missing_checkout_or_data_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="repository questions"):
        read_repositories(tmp_path)
