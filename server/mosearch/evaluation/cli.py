"""`mosearch eval`: the benchmarks, as a command group that the command line mounts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from mosearch.encoder.models import find_model
from mosearch.evaluation.measure import (
    Report,
    Result,
    costs,
    evaluate_bm25,
    evaluate_encoder,
    use_threads,
)
from mosearch.evaluation.tasks import Task, data_folder, development_tasks, held_out_tasks
from mosearch.mose import load, load_model

BASELINE = "all-MiniLM-L6-v2"


@click.group("eval")
def eval_group() -> None:
    """Measure retrieval quality."""


@eval_group.command("model")
@click.option(
    "--model",
    "models",
    multiple=True,
    help="Model name or folder; may be repeated. Default: the bundled one.",
)
@click.option(
    "--data", type=click.Path(path_type=Path, file_okay=False), help="Folder of the development sets."
)
@click.option(
    "--heldout", type=click.Path(path_type=Path, exists=True), help="Held-out pairs of the training pipeline."
)
@click.option("--only", multiple=True, help="Run the tasks whose name contains this; may be repeated.")
@click.option("--baselines/--no-baselines", default=True, help=f"Also run {BASELINE} and BM25.")
@click.option("--threads", type=click.IntRange(1), help="Processor threads to use.")
@click.option(
    "--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Save all figures here."
)
def model_command(
    models: Sequence[str],
    data: Path | None,
    heldout: Path | None,
    only: Sequence[str],
    baselines: bool,
    threads: int | None,
    json_file: Path | None,
) -> None:
    """Run every exit of a model on the development sets and on held-out functions."""
    use_threads(threads)
    tasks = select(development_tasks(data_folder(data)) + (held_out_tasks(heldout) if heldout else []), only)
    report = run(list(models) or [None], tasks, baselines)
    if json_file:
        json_file.write_text(json.dumps(report.as_json(), indent=1, ensure_ascii=False), encoding="utf-8")
    for table in tables(report):
        Console().print(table)


def select(tasks: Sequence[Task], only: Sequence[str]) -> list[Task]:
    """The tasks whose name contains one of the given parts; all of them when none is given."""
    chosen = [task for task in tasks if not only or any(part.lower() in task.name.lower() for part in only)]
    if not chosen:
        raise click.UsageError(
            f"no task is called like {', '.join(only)}; there are: " + "; ".join(t.name for t in tasks)
        )
    return chosen


def run(models: Iterable[str | None], tasks: Sequence[Task], baselines: bool) -> Report:
    """Evaluate the models, and before them the baselines, in this process."""
    results: list[Result] = list(evaluate_bm25(tasks)) if baselines else []
    found = {}
    wanted = [BASELINE, *models] if baselines else list(models)
    for name in dict.fromkeys(wanted):
        encoder = load(name, device="auto")
        label = BASELINE if name == BASELINE else encoder.info.name
        results += evaluate_encoder(encoder, label, tasks)
        found[label] = costs(encoder, load_model(find_model(name)), tasks[0].documents)
    return Report(tuple(results), found)


def tables(report: Report) -> list[Table]:
    """Quality per task, mean MRR per group, and cost per exit."""
    return [_quality_table(report), _group_table(report), _cost_table(report)]


def _quality_table(report: Report) -> Table:
    table = Table("model", "exit", "task", "queries", "documents", "MRR", "NDCG@10", "R@1", title="Quality")
    for row in report.results:
        figures = (f"{value:.3f}" for value in (row.quality.mrr, row.quality.ndcg10, row.quality.recall1))
        table.add_row(row.model, _name(row.exit), row.task, str(row.queries), str(row.documents), *figures)
    return table


def _group_table(report: Report) -> Table:
    groups = list(dict.fromkeys(row.group for row in report.results))
    table = Table("model", "exit", *groups, title="Mean MRR by kind of task")
    for model, exit_ in dict.fromkeys((row.model, row.exit) for row in report.results):
        table.add_row(
            model, _name(exit_), *(f"{report.mean_mrr(model, exit_, group):.3f}" for group in groups)
        )
    return table


def _cost_table(report: Report) -> Table:
    table = Table("model", "exit", "parameters", "MFLOP/token", "chunks/s", title="Cost")
    for model, exits in report.costs.items():
        for exit_, cost in exits.items():
            table.add_row(
                model,
                _name(exit_),
                f"{cost.parameters / 1e6:.1f} M",
                f"{cost.flops_per_token / 1e6:.2f}",
                f"{cost.chunks_per_second:.0f}",
            )
    return table


def _name(exit_: int | None) -> str:
    return "-" if exit_ is None else str(exit_)
