"""Metrics, the lexical baseline, the data sets, and a whole evaluation in small."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from mosearch.errors import UsageError
from mosearch.evaluation import data_folder, development_tasks, evaluate_bm25, held_out_tasks, quality
from mosearch.evaluation.bm25 import bm25_scores, words
from mosearch.evaluation.cli import eval_group
from mosearch.evaluation.measure import Report
from mosearch.evaluation.tasks import MIN_QUERIES, mask_functions


def test_metrics_of_known_rankings() -> None:
    scores = np.array([[3.0, 2.0, 1.0], [1.0, 2.0, 3.0]])
    found = quality(scores, [[0], [0]])
    assert found.mrr == pytest.approx((1 + 1 / 3) / 2)
    assert found.ndcg10 == pytest.approx((1 + 1 / np.log2(4)) / 2)
    assert found.recall1 == pytest.approx(0.5)


def test_several_right_documents() -> None:
    found = quality(np.array([[9.0, 8.0, 7.0, 6.0]]), [[1, 3]])
    ideal = 1 + 1 / np.log2(3)
    assert found.mrr == pytest.approx(1 / 2)
    assert found.ndcg10 == pytest.approx((1 / np.log2(3) + 1 / np.log2(5)) / ideal)


def test_beyond_ten_counts_for_mrr_only() -> None:
    found = quality(np.arange(20.0)[None, ::-1], [[14]])
    assert found.mrr == pytest.approx(1 / 15) and found.ndcg10 == 0


def test_a_constant_scorer_gains_nothing() -> None:
    found = quality(np.zeros((1, 9)), [[0]])
    assert found.mrr == pytest.approx(1 / 5) and found.recall1 == 0


@given(st.integers(1, 12), st.integers(0, 1000))
def test_metrics_are_shares_and_perfect_scores_are_perfect(size: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    scores = draw.normal(size=(size, size))
    right = [[int(i)] for i in draw.permutation(size)]
    found = quality(scores, right)
    assert 0 < found.mrr <= 1 and 0 <= found.ndcg10 <= 1 and found.recall1 <= found.mrr
    best = scores.copy()
    best[np.arange(size), [r[0] for r in right]] = 99
    assert quality(best, right).mrr == quality(best, right).ndcg10 == 1


def test_unanswerable_queries_are_refused() -> None:
    with pytest.raises(ValueError, match="no relevant"):
        quality(np.zeros((1, 3)), [[]])
    with pytest.raises(ValueError, match="rows of scores"):
        quality(np.zeros((2, 3)), [[0]])


def test_bm25() -> None:
    assert words("parseHTTPHeader(raw_text)") == ["parse", "http", "header", "raw", "text"]
    documents = ["def readFile(path): pass", "def write_file(path): pass", "def read_all(): pass read read"]
    scores = bm25_scores(["read the file", "unseen"], documents)
    assert scores[0].argmax() == 0 and scores[0, 2] > 0
    assert not scores[1].any()


def test_bm25_by_hand() -> None:
    scores = bm25_scores(["b"], ["a b", "a"])
    rarity = np.log(1 + (2 - 1 + 0.5) / (1 + 0.5))
    expected = rarity * 2.2 / (1 + 1.2 * (0.25 + 0.75 * 2 / 1.5))
    assert scores.tolist() == [[pytest.approx(expected, rel=1e-5), 0]]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("def min_cost(a): return min_cost(a)", "def f(a): return f(a)"),
        ("class MinCost { static int minCost() {} }", "class f { static int f() {} }"),
        ("int min_costs;", "int min_costs;"),
    ],
)
def test_function_names_are_masked_in_every_spelling(code: str, expected: str) -> None:
    assert mask_functions(code, "mincost") == expected


def _write(file: Path, rows: list[dict[str, object]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Three data sets of the real layout, with a handful of rows."""
    python = {"add_up": "sum(a)", "turn_back": "a[::-1]", "count_all": "len(a)"}
    rows: list[dict[str, object]] = []
    for number, (name, body) in enumerate(python.items()):
        camel = name.split("_")[0] + name.split("_")[1].title()
        codes = {
            "python": f"def {name}(a):\n    return {body}",
            "go": f"func {camel}(a []int) int {{ return {body} }}",
        }
        task = str(number)
        rows += [{"id": f"{lang}/{task}", "task": task, "lang": lang, "code": codes[lang]} for lang in codes]
    said = ("add up", "turn back", "count all", "no such task")
    texts: list[dict[str, object]] = [{"id": str(number), "text": text} for number, text in enumerate(said)]
    for name in ("mbxp", "humaneval_x"):
        _write(tmp_path / name / "corpus.jsonl", rows)
        _write(tmp_path / name / "queries_nl.jsonl", texts)
    _write(
        tmp_path / "cosqa" / "corpus.jsonl",
        [{"id": "7", "code": "def open_it(): pass"}, {"id": "8", "code": "x"}],
    )
    _write(
        tmp_path / "cosqa" / "queries_dev.jsonl",
        [{"id": "q", "text": "open it"}, {"id": "r", "text": "gone"}],
    )
    (tmp_path / "cosqa" / "qrels_dev.tsv").write_text("q\t7\t1\n", encoding="utf-8")
    return tmp_path


def test_tasks_of_the_data_sets(data: Path) -> None:
    tasks = {task.name: task for task in development_tasks(data)}
    assert list(tasks) == [
        "CoSQA dev",
        "MBXP text→python",
        "MBXP python→go",
        "MBXP python→go masked",
        "HumanEval-X text→all",
    ]
    assert tasks["CoSQA dev"].relevant == ((0,),) and tasks["CoSQA dev"].queries == ("open it",)
    assert tasks["HumanEval-X text→all"].relevant == ((0, 1), (2, 3), (4, 5))
    masked = tasks["MBXP python→go masked"]
    assert masked.query_kind == "code"
    assert masked.queries[0] == "def f(a):\n    return sum(a)"
    assert masked.documents[1] == "func f(a []int) int { return a[::-1] }"


def test_held_out_functions_are_a_task_per_language(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"language": language, "summary": f"opens {i}", "code": f"void a{i}() {{}}", "query": i > 0}
        for language, count in (("go", MIN_QUERIES + 1), ("c", MIN_QUERIES + 1), ("lua", MIN_QUERIES))
        for i in range(count)
    ]
    _write(tmp_path / "x.jsonl", rows)
    first, second = held_out_tasks(tmp_path / "x.jsonl")
    assert (first.name, second.name) == ("docstring→c", "docstring→go")
    assert second.relevant[0] == (1,) and len(second.queries) == MIN_QUERIES
    assert len(second.documents) == MIN_QUERIES + 1


def test_a_missing_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MOSEARCH_EVAL_DATA", raising=False)
    with pytest.raises(UsageError, match="--data"):
        data_folder(None)
    monkeypatch.setenv("MOSEARCH_EVAL_DATA", str(tmp_path))
    assert data_folder(None) == tmp_path


def test_bm25_over_the_tasks(data: Path) -> None:
    results = {row.task: row.quality for row in evaluate_bm25(development_tasks(data))}
    assert results["MBXP python→go"].mrr == 1
    assert results["MBXP text→python"].recall1 == 1


def test_the_command_prints_and_saves(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    arguments = [
        "model",
        "--model",
        "all-MiniLM-L6-v2",
        "--data",
        str(data),
        "--only",
        "MBXP",
        "--threads",
        "1",
    ]
    result = CliRunner().invoke(eval_group, [*arguments, "--json", str(file)])
    assert result.exit_code == 0, result.output
    saved = json.loads(file.read_text(encoding="utf-8"))
    rows = {(row["model"], row["task"]): row for row in saved["results"]}
    assert rows["BM25", "MBXP python→go"]["documents"] == 3
    assert rows["all-MiniLM-L6-v2", "MBXP text→python"]["quality"]["recall1"] == 1
    cost = saved["costs"]["all-MiniLM-L6-v2"]["6"]
    assert 22e6 < cost["parameters"] < 23e6 and 21e6 < cost["flops_per_token"] < 24e6
    assert cost["chunks_per_second"] > 0
    assert "python→go masked" in result.output and "BM25" in result.output


def test_no_task_of_that_name(data: Path) -> None:
    result = CliRunner().invoke(eval_group, ["model", "--data", str(data), "--only", "defects"])
    assert result.exit_code == 2 and "CoSQA dev" in result.output


def test_the_mean_of_a_group_without_tasks_is_no_number() -> None:
    assert np.isnan(Report(()).mean_mrr("x", 1, "web"))
