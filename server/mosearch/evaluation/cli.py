"""`mosearch eval`: the benchmarks, as a command group that the command line mounts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean, median

import click
from rich.console import Console
from rich.table import Table

from mosearch.encoder.models import find_model
from mosearch.errors import UsageError
from mosearch.evaluation import options
from mosearch.evaluation.budget_cli import budget_command
from mosearch.evaluation.checkouts import Obtained, origin
from mosearch.evaluation.checkouts import prepare as obtained
from mosearch.evaluation.history_cli import history_command
from mosearch.evaluation.measure import (
    Report,
    Result,
    costs,
    evaluate_bm25,
    evaluate_encoder,
    use_threads,
)
from mosearch.evaluation.repositories import (
    Outcome,
    Repository,
    by_category,
    by_language,
    measure,
    read_repositories,
)
from mosearch.evaluation.similar_cli import similar_command
from mosearch.evaluation.tasks import MIN_QUERIES, Task, data_folder, development_tasks, held_out_tasks
from mosearch.evaluation.tune_cli import ablate_command, tune_command
from mosearch.mose import load, load_model

BASELINE = "all-MiniLM-L6-v2"
METRICS = (("MRR", "mrr"), ("NDCG@10", "ndcg10"), ("Recall@1", "recall1"))


@click.group("eval")
def eval_group() -> None:
    """Measure retrieval quality."""


eval_group.add_command(tune_command)
eval_group.add_command(ablate_command)
eval_group.add_command(history_command)
eval_group.add_command(budget_command)
eval_group.add_command(similar_command)


@eval_group.command("model")
@click.option(
    "--model",
    "models",
    multiple=True,
    help="Model name or folder; may be repeated. Default: the bundled one.",
)
@options.data
@click.option(
    "--heldout",
    type=click.Path(path_type=Path, exists=True),
    help=f"Held-out pairs of the training pipeline, for each language with {MIN_QUERIES} questions or more.",
)
@click.option("--only", multiple=True, help="Run the tasks whose name contains this; may be repeated.")
@click.option(
    "--baselines/--no-baselines", default=True, help=f"Also run {BASELINE} (the extra `baselines`) and BM25."
)
@click.option("--threads", type=click.IntRange(1), help="Processor threads to use.")
@options.json_file
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
        Console(width=max(Console().width, 140)).print(table)


@eval_group.command("repos")
@options.data
@options.checkouts
@click.option("--only", multiple=True, help="Run the repositories of this name; may be repeated.")
@click.option("--no-rerank", is_flag=True, help="Leave the deeper exit out.")
@click.option(
    "--coverage",
    "shares",
    multiple=True,
    metavar="EXIT=PERCENT",
    help="Ask while so many texts have a vector at this exit; may be repeated.  Default: a full index.",
)
@click.option(
    "--prepare",
    is_flag=True,
    help="First get what is missing: the pinned revision by git, or else the package that the data names, by "
    "pip, npm or apt-get, or else the newest revision.",
)
@click.option(
    "--mirrors",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Repositories at hand, as OWNER+NAME, to be asked instead of their hosts.",
)
@options.json_file
def repos_command(
    data: Path | None,
    checkouts: Path,
    only: Sequence[str],
    no_rerank: bool,
    shares: Sequence[str],
    prepare: bool,
    mirrors: Path | None,
    json_file: Path | None,
) -> None:
    """Ask questions about whole repositories, and compare the files found.

    Says of each where its checkout came from; what `--prepare` cannot get is left out of the means.
    """
    repositories = [
        repository
        for repository in read_repositories(data_folder(data))
        if not only or repository.name in only
    ]
    lacking: list[Repository] = []
    if prepare:
        for name, got in obtained(repositories, checkouts, mirrors):
            click.echo(_told(name, got), err=True)
        lacking = [each for each in repositories if not (checkouts / each.name).is_dir()]
        repositories = [each for each in repositories if each not in lacking]
        if not repositories:
            raise UsageError("None of the repositories can be had; the lines above say why.")
    coverage = dict(map(_share, shares)) if shares else None
    outcomes = [
        measure(repository, checkouts, rerank=not no_rerank, coverage=coverage) for repository in repositories
    ]
    sources = [origin(repository, checkouts) for repository in repositories]
    if json_file:
        figures = [
            outcome.as_json() | {"source": source} for outcome, source in zip(outcomes, sources, strict=True)
        ]
        json_file.write_text(json.dumps(figures, indent=1, ensure_ascii=False), encoding="utf-8")
    Console(width=max(Console().width, 130)).print(_repository_table(outcomes, sources, lacking))


def _told(name: str, got: Obtained) -> str:
    return "\n  ".join([f"{name}: {got.source or 'cannot be had'}", *got.troubles])


def _repository_table(
    outcomes: Sequence[Outcome], sources: Sequence[str], lacking: Sequence[Repository]
) -> Table:
    table = Table("", "language", "questions", "chunks", "index s", "query ms p50", "NDCG@10", "source")
    for outcome, source in zip(outcomes, sources, strict=True):
        table.add_row(
            outcome.repository.name,
            outcome.repository.language,
            str(len(outcome.scores)),
            f"{outcome.chunks:,}",
            f"{outcome.index_seconds:.1f}",
            f"{median(outcome.milliseconds):.1f}",
            f"{fmean(outcome.scores):.3f}",
            source,
        )
    for repository in lacking:
        table.add_row(
            repository.name, repository.language, str(len(repository.questions)), *[""] * 4, "cannot be had"
        )
    table.add_section()
    for name, score in (by_language(outcomes) | by_category(outcomes)).items():
        table.add_row(name, "", "", "", "", "", f"{score:.3f}")
    table.add_section()
    mean = fmean(fmean(outcome.scores) for outcome in outcomes)
    count = f"{len(outcomes)} of {len(outcomes) + len(lacking)} " if lacking else ""
    table.add_row(f"mean over {count}repositories", "", "", "", "", "", f"{mean:.3f}", style="bold")
    return table


def _share(text: str) -> tuple[int, int]:
    exit, _, percent = text.partition("=")
    if not (exit.isdecimal() and percent.isdecimal() and int(percent) <= 100):
        raise click.UsageError(f"{text!r} is not EXIT=PERCENT, for example 6=50")
    return int(exit), int(percent)


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
    """One table per metric, with a column per model and exit, and one of what each exit costs."""
    return [*(_metric_table(report, *metric) for metric in METRICS), _cost_table(report)]


def _metric_table(report: Report, title: str, metric: str) -> Table:
    columns = list(dict.fromkeys((row.model, row.exit) for row in report.results))
    found = {(row.model, row.exit, row.task): getattr(row.quality, metric) for row in report.results}
    sizes = {row.task: f"{row.queries}/{row.documents}" for row in report.results}
    table = Table("task", "queries/documents", title=title, padding=(0, 0), collapse_padding=True)
    for model, exit_ in columns:
        table.add_column(model if exit_ is None else f"{model} {exit_}", justify="right")
    groups = {row.task: row.group for row in report.results}
    for group in dict.fromkeys(groups.values()):
        tasks = [task for task in groups if groups[task] == group]
        for task in tasks:
            table.add_row(task, sizes[task], *(f"{found[(*column, task)]:.3f}" for column in columns))
        means = (fmean(found[(*column, task)] for task in tasks) for column in columns)
        table.add_row(
            f"mean: {group}", "", *(f"{mean:.3f}" for mean in means), style="bold", end_section=True
        )
    return table


def _cost_table(report: Report) -> Table:
    table = Table("model", "exit", "parameters", "MFLOP/token", "chunks/s", title="Cost")
    for model, exits in report.costs.items():
        for exit_, cost in exits.items():
            table.add_row(
                model,
                str(exit_),
                f"{cost.parameters / 1e6:.1f} M",
                f"{cost.flops_per_token / 1e6:.2f}",
                f"{cost.chunks_per_second:.0f}",
            )
    return table
