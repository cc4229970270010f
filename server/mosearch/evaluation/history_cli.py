"""`mosearch eval history`: any repository judges the product by its own commits."""

from __future__ import annotations

import json
import os
import pickle
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from threading import Event

import click
from rich.console import Console
from rich.table import Table

from mosearch.engine import Engine
from mosearch.evaluation import ablation, options
from mosearch.evaluation.history import Case, cases, check_out, clone
from mosearch.evaluation.judging import DEPTH, Place, Target, ndcg, rank_of
from mosearch.evaluation.messages import Asked
from mosearch.evaluation.tuning import Judged, Tuner, changes, history_name
from mosearch.ranking import Weights
from mosearch.settings import load_settings

_ROW = ("MRR", "NDCG@10", "hit@5")
_FEWEST_TO_TUNE = 20


@click.command("history")
@click.option(
    "--root", type=click.Path(path_type=Path, exists=True, file_okay=False), required=True, help="Repository."
)
@click.option("--commits", type=click.IntRange(1), default=60, show_default=True, help="How many to ask.")
@click.option(
    "--questions",
    "part",
    type=click.Choice([each.value for each in Asked]),
    default=Asked.SUBJECT.value,
    show_default=True,
    help="What of a message is asked.  subject: that alone.  body: the first prose of the body, without "
    "trailers, links, lists, logs and code; commits without any are passed over.  both: the two as one "
    "question, or the one that says something.",
)
@click.option("--no-rerank", is_flag=True, help="Leave the deeper exit out.")
@click.option(
    "--tune", is_flag=True, help="Fit weights to the older half, and say whether they win on the newer."
)
@click.option(
    "--work",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keep the clone and its index here.  Default: a folder that is removed.",
)
@click.option(
    "--keep",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Keep the questions, and what ranking sees of them, in this file, for `mosearch eval tune --also`.",
)
@options.json_file
def history_command(
    root: Path,
    commits: int,
    part: str,
    no_rerank: bool,
    tune: bool,
    work: Path | None,
    keep: Path | None,
    json_file: Path | None,
) -> None:
    """Ask what commits say, and look for the functions that they change in the tree before them."""
    asking = Asked(part)
    with tempfile.TemporaryDirectory(prefix="mosearch-history-") as temporary:
        folder = work or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        # The clone's index is of no use to anyone else.
        os.environ["MOSEARCH_CACHE_DIR"] = str(folder / "cache")
        tree = folder / "tree"
        if not tree.is_dir():
            clone(root, tree)
        asked = cases(tree, commits, asking)
        judged = _judge(tree, asked, rerank=not no_rerank)
    if not judged:
        raise click.ClickException(
            f"No commit of {root} makes a question ({asking.value}); at least some must change functions."
        )
    console = Console(width=max(Console().width, 100))
    figures = {
        "words only": _figures(judged, asked, ablation.steps(Weights())[0]),
        "MoSEarch": _figures(judged, asked, ablation.Step("", Weights())),
    }
    said = "" if asking is Asked.SUBJECT else f" ({asking.value})"
    console.print(_table(f"{root.name}: {len(asked)} commits{said}, {DEPTH} hits each", figures))
    if tune:
        _tune(console, judged)
    if keep:
        keep.write_bytes(pickle.dumps({history_name(root.name, asking): judged}))
    if json_file:
        questions = [{"commit": case.commit, "question": case.question} for case in asked]
        saved = {"asked": asking.value, "figures": figures, "questions": questions}
        json_file.write_text(json.dumps(saved, indent=1), "utf-8")


def _judge(tree: Path, asked: Sequence[Case], *, rerank: bool) -> list[Judged]:
    """What ranking sees for each case, in the tree before its commit."""
    found: list[Judged] = []
    for case in asked:
        check_out(tree, case)
        with Engine(tree, load_settings(tree)) as engine:
            engine.update()
            if not found:
                engine.maintain(Event())
            found.append(Judged(engine.pool(case.question, rerank=rerank), case.functions))
    return found


def _figures(
    judged: Sequence[Judged], asked: Sequence[Case], step: ablation.Step
) -> dict[str, dict[str, float]]:
    """MRR, NDCG@10 and hit@5 over the first ten hits, by function and by file."""
    pages = [ablation.page(each, step) for each in judged]
    return {
        "function": _scores(pages, [case.functions for case in asked]),
        "file": _scores(pages, [case.files for case in asked]),
    }


def _scores(pages: Sequence[Sequence[Place]], targets: Sequence[Sequence[Target]]) -> dict[str, float]:
    best = [
        min((rank for target in wanted if (rank := rank_of(page, target))), default=None)
        for page, wanted in zip(pages, targets, strict=True)
    ]
    values = (
        fmean(1 / rank if rank else 0.0 for rank in best),
        fmean(ndcg(page, wanted) for page, wanted in zip(pages, targets, strict=True)),
        fmean(float(rank is not None and rank <= 5) for rank in best),
    )
    return dict(zip(_ROW, values, strict=True))


def _table(title: str, figures: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Table:
    table = Table(
        "", *(f"{level} {metric}" for level in ("function", "file") for metric in _ROW), title=title
    )
    for method, levels in figures.items():
        cells = (levels[level][metric] for level in ("function", "file") for metric in _ROW)
        table.add_row(method, *(f"{cell:.3f}" for cell in cells))
    return table


def _tune(console: Console, judged: Sequence[Judged]) -> None:
    if len(judged) < _FEWEST_TO_TUNE:
        console.print(f"{len(judged)} questions are too few to fit weights to; at least {_FEWEST_TO_TUNE}.")
        return
    middle = len(judged) // 2
    tuner = Tuner({"older": judged[:middle], "newer": judged[middle:]})
    fitted = tuner.fit(Weights(), ["older"])
    before, after = tuner.mean(Weights(), ["newer"]), tuner.mean(fitted, ["newer"])
    console.print(
        f"Functions of the newer half, NDCG@10: {before:.3f}; fitted to the older half: {after:.3f}"
    )
    for weight, (old, new) in changes(Weights(), fitted).items():
        console.print(f"{weight}: {old:g} → {new:g}")
    console.print("The fitted weights win." if after > before else "The weights stay as they are.")
