"""`mosearch eval budget`: what time for deeper vectors buys."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, median

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from mosearch.engine import Engine
from mosearch.evaluation import ablation, options
from mosearch.evaluation.judging import DEPTH
from mosearch.evaluation.plot import Line, Point, svg
from mosearch.evaluation.repositories import Repository, ask, read_repositories
from mosearch.evaluation.tasks import data_folder
from mosearch.settings import load_settings

_BUDGETS_MS = (0, 50, 150, 500)


@dataclass(slots=True)
class _Run:
    scores: dict[str, list[float]] = field(default_factory=dict)
    milliseconds: list[float] = field(default_factory=list)


@click.command("budget")
@options.data
@options.checkouts
@options.only
@click.option("--budget", "budgets", multiple=True, type=click.IntRange(0, 60_000), help="In milliseconds.")
@click.option("--svg", "svg_file", type=click.Path(path_type=Path, dir_okay=False), help="Draw this plot.")
@options.json_file
def budget_command(
    data: Path | None,
    checkouts: Path,
    only: Sequence[str],
    budgets: Sequence[int],
    svg_file: Path | None,
    json_file: Path | None,
) -> None:
    """Ask about fresh indexes of the cheapest exit, with so much time for vectors of the deepest.

    Vectors that one question computes serve the next ones, as they do in use.
    """
    repositories = [each for each in read_repositories(data_folder(data)) if not only or each.name in only]
    runs = {budget: _Run() for budget in budgets or _BUDGETS_MS}
    for repository in repositories:
        _measure(repository, checkouts / repository.name / repository.root, runs)
    table = Table("budget ms", "NDCG@10", "more than without", "95 % interval", "query ms p50", "p95")
    none = runs[min(runs)].scores
    points = []
    for budget, run in runs.items():
        middle, late = median(run.milliseconds), float(np.percentile(run.milliseconds, 95))
        low, high = ablation.interval(none, run.scores)
        score = ablation.mean(run.scores)
        points.append(Point(middle, score, f"{budget} ms"))
        table.add_row(
            str(budget),
            f"{score:.3f}",
            f"{score - ablation.mean(none):+.3f}",
            f"{low:+.3f} to {high:+.3f}",
            f"{middle:.0f}",
            f"{late:.0f}",
        )
    Console(width=max(Console().width, 100)).print(table)
    if svg_file:
        drawn = svg(
            "Quality against time", "time of a query, median, ms", "NDCG@10", [Line("budget", points)]
        )
        svg_file.write_text(drawn, "utf-8")
    if json_file:
        figures = {
            str(budget): {
                "ndcg10": ablation.mean(run.scores),
                "by repository": {name: fmean(scores) for name, scores in run.scores.items()},
                "ms": run.milliseconds,
            }
            for budget, run in runs.items()
        }
        json_file.write_text(json.dumps(figures, indent=1), "utf-8")


def _measure(repository: Repository, root: Path, runs: dict[int, _Run]) -> None:
    with tempfile.TemporaryDirectory(prefix="mosearch-budget-") as temporary:
        fresh = Path(temporary) / "fresh"
        os.environ["MOSEARCH_CACHE_DIR"] = str(fresh)
        with Engine(root, load_settings(root)) as engine:
            engine.update()
        for budget, run in runs.items():
            copy = Path(temporary) / str(budget)
            shutil.copytree(fresh, copy)
            os.environ["MOSEARCH_CACHE_DIR"] = str(copy)
            with Engine(root, load_settings(root, {"rerank_budget_ms": budget})) as engine:
                engine.search("warm up", DEPTH, rerank=False)
                answers = [ask(engine, repository, each, budget > 0) for each in repository.questions]
            run.scores[repository.name] = [score for score, _ in answers]
            run.milliseconds += [milliseconds for _, milliseconds in answers]
