"""`mosearch eval tune` and `mosearch eval ablate`: the weights of ranking, and what each part adds."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import TypeVar

import click
from rich.console import Console
from rich.table import Table

from mosearch.evaluation import ablation, options
from mosearch.evaluation.repositories import judged, read_repositories
from mosearch.evaluation.tasks import data_folder
from mosearch.evaluation.tuning import NEUTRAL, Judged, Tuner, asked_in, changes, history_name
from mosearch.ranking import Weights

_Command = TypeVar("_Command", bound=Callable[..., None])

_QUESTIONS = (
    options.data,
    options.checkouts,
    options.only,
    click.option("--no-rerank", is_flag=True, help="Leave the deeper exit out."),
    click.option(
        "--keep",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Keep what ranking sees in this file of your own, and start from it next time.",
    ),
)


def _asking(command: _Command) -> _Command:
    for option in reversed(_QUESTIONS):
        command = option(command)
    return command


@click.command("ablate")
@_asking
def ablate_command(
    data: Path | None, checkouts: Path, only: Sequence[str], keep: Path | None, no_rerank: bool
) -> None:
    """Say what each part of ranking adds, with 95 % intervals from a paired bootstrap."""
    questions = _questions(data, checkouts, only, keep, rerank=not no_rerank)
    table = Table("", "NDCG@10", "more than the row above", "95 % interval")
    before: ablation.Scores | None = None
    for step in ablation.steps(Weights()):
        found = ablation.measure(step, questions)
        row = [step.name, f"{ablation.mean(found):.3f}"]
        if before is not None:
            low, high = ablation.interval(before, found)
            row += [f"{ablation.mean(found) - ablation.mean(before):+.3f}", f"{low:+.3f} to {high:+.3f}"]
        table.add_row(*row)
        before = found
    Console(width=max(Console().width, 100)).print(table)


@click.command("tune")
@_asking
@click.option(
    "--also",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Questions that `mosearch eval history --keep` kept in a file of your own; may be repeated.",
)
@click.option(
    "--leave-out/--no-leave-out",
    default=True,
    help="Fit without each repository in turn, too, from the middle of every scale.",
)
@options.json_file
def tune_command(
    data: Path | None,
    checkouts: Path,
    only: Sequence[str],
    no_rerank: bool,
    keep: Path | None,
    also: Sequence[Path],
    leave_out: bool,
    json_file: Path | None,
) -> None:
    """Fit the weights of ranking, and say how much of the gain is chance.

    Prints the values that belong into `server/mosearch/ranking/weights.py`.
    """
    questions = _questions(data, checkouts, only, keep, rerank=not no_rerank)
    for file in also:
        questions |= _kept(file)
    tuner = Tuner(questions)
    names = list(tuner.questions)
    start = Weights()
    fitted = tuner.fit(start, names)
    held = tuner.left_out(NEUTRAL) if leave_out else {}
    before, after = ({name: tuner.mean(each, [name]) for name in names} for each in (start, fitted))
    console = Console(width=max(Console().width, 100))
    console.print(_table(before, after, held))
    for name, (old, new) in changes(start, fitted).items():
        console.print(f"{name}: {old:g} → {new:g}")
    if json_file:
        figures = {"weights": asdict(fitted), "before": before, "after": after, "left out": held}
        json_file.write_text(json.dumps(figures, indent=1), encoding="utf-8")


def _questions(
    data: Path | None, checkouts: Path, only: Sequence[str], keep: Path | None, *, rerank: bool
) -> dict[str, list[Judged]]:
    """Repository → its judged questions, from the file that keeps them or from the index."""
    if keep is not None and keep.is_file():
        found: dict[str, list[Judged]] = pickle.loads(keep.read_bytes())
        return found
    repositories = read_repositories(data_folder(data))
    found = {
        each.name: judged(each, checkouts, rerank=rerank)
        for each in repositories
        if not only or each.name in only
    }
    if keep is not None:
        keep.write_bytes(pickle.dumps(found))
    return found


def _kept(file: Path) -> dict[str, list[Judged]]:
    """What a run of ours kept, in a file of one's own that is called like the repository."""
    ((name, found),) = pickle.loads(file.read_bytes()).items()
    return {history_name(file.stem, asked_in(name)): found}


def _table(before: Mapping[str, float], after: Mapping[str, float], held: Mapping[str, float]) -> Table:
    table = Table("NDCG@10", "before", "fitted to all", "fitted to the others")
    for name in before:
        cells = (before[name], after[name], held.get(name))
        table.add_row(name, *("" if cell is None else f"{cell:.3f}" for cell in cells))
    table.add_section()
    means = (fmean(figures.values()) if figures else None for figures in (before, after, held))
    table.add_row("mean", *("" if mean is None else f"{mean:.3f}" for mean in means), style="bold")
    return table
