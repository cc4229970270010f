"""Our figures beside semble's, on the same checkouts, questions and metric.

    mosearch eval repos --data DATA --checkouts CHECKOUTS --json ours.json
    python tests/bench/beside.py ours.json --data DATA --checkouts CHECKOUTS --semble PYTHON --model FOLDER

PYTHON has semble installed and FOLDER is a static model: see `semble_answers.py`.
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from statistics import fmean, median
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from semble_process import ask_semble

from mosearch.evaluation import ablation
from mosearch.evaluation.judging import DEPTH, Place, ndcg
from mosearch.evaluation.repositories import Repository, read_repositories


@click.command()
@click.argument("ours", type=click.Path(path_type=Path, exists=True))
@click.option("--data", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--checkouts", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--semble", "python", required=True, help="Python that has semble.")
@click.option("--model", required=True, help="Folder of a static model.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Save all figures here.")
def main(ours: Path, data: Path, checkouts: Path, python: str, model: str, json_file: Path | None) -> None:
    """Compare NDCG@10 by repository, language and category."""
    own = {each["name"]: each for each in json.loads(ours.read_text("utf-8"))}
    table = Table("", "ours", "semble", "difference", "index s", "semble", "query ms p50", "semble")
    groups: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    scores: tuple[dict[str, list[float]], dict[str, list[float]]] = ({}, {})
    for repository in read_repositories(data):
        if repository.name not in own:
            continue
        mine, theirs = own[repository.name], _ask(repository, checkouts, python, model)
        pairs = [
            (question["ndcg10"], score)
            for question, score in zip(mine["questions"], theirs["scores"], strict=True)
        ]
        for question, pair in zip(repository.questions, pairs, strict=True):
            groups[question.category].append(pair)
        for side in (0, 1):
            scores[side][repository.name] = [pair[side] for pair in pairs]
        both = (fmean(scores[0][repository.name]), fmean(scores[1][repository.name]))
        groups[repository.language].append(both)
        times = (mine["index_seconds"], theirs["index_seconds"], mine["query_ms_p50"], median(theirs["ms"]))
        table.add_row(repository.name, *_figures(both), *(f"{value:.1f}" for value in times))
    table.add_section()
    for name, rows in sorted(groups.items()):
        table.add_row(name, *_figures((fmean(row[0] for row in rows), fmean(row[1] for row in rows))))
    table.add_section()
    table.add_row("mean", *_figures((ablation.mean(scores[0]), ablation.mean(scores[1]))), style="bold")
    console = Console(width=max(Console().width, 110))
    console.print(table)
    low, high = ablation.interval(scores[1], scores[0])
    console.print(f"95 % interval of the difference: {low:+.3f} to {high:+.3f}")
    if json_file:
        json_file.write_text(json.dumps({"ours": scores[0], "semble": scores[1]}, indent=1), "utf-8")


def _figures(pair: tuple[float, float]) -> tuple[str, str, str]:
    return f"{pair[0]:.3f}", f"{pair[1]:.3f}", f"{pair[0] - pair[1]:+.3f}"


def _ask(repository: Repository, checkouts: Path, python: str, model: str) -> dict[str, Any]:
    root = checkouts / repository.name / repository.root
    queries = [question.text for question in repository.questions]
    found = ask_semble(python, model, root, queries, DEPTH)
    prefix = f"{repository.root}/" if repository.root else ""
    found["scores"] = [
        ndcg([Place(prefix + path, first, last) for path, first, last in answer["hits"]], question.targets)
        for question, answer in zip(repository.questions, found["answers"], strict=True)
    ]
    found["ms"] = [answer["ms"] for answer in found["answers"]]
    return found


if __name__ == "__main__":
    main()
