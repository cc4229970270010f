"""What commits ask, answered by us, by plain BM25, by semble and by probe, file by file.

    mosearch eval history --root REPOSITORY --commits N --work FOLDER/NAME --keep FOLDER/NAME.pkl   # each
    python tests/bench/history_beside.py FOLDER --commits N --semble PYTHON --model MODEL --probe BINARY

Ours and BM25 are scored with the weights of today from what the first command kept, which also says whether
subjects or bodies are asked (`--questions`); semble indexes the tree before each commit, and probe reads it.
MODEL is a static model: see `semble_answers.py`.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import click
from probe_process import ask_probe
from rich.console import Console
from rich.table import Table
from semble_process import ask_semble

from mosearch.evaluation import ablation
from mosearch.evaluation.history import Case, cases, check_out
from mosearch.evaluation.judging import DEPTH, Place, Target, rank_of
from mosearch.evaluation.tuning import Judged, asked_in
from mosearch.ranking import Weights

_COLUMNS = ("function, words", "function, ours", "file, words", "file, ours", "file, semble", "file, probe")


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True))
@click.option("--commits", type=click.IntRange(1), required=True, help="As many as before.")
@click.option("--semble", "python", help="Python that has semble; without it, ours and BM25 alone.")
@click.option("--model", help="Folder of a static model.")
@click.option("--probe", help="Binary of probe; without it, the others alone.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Save all figures here.")
def main(
    folder: Path,
    commits: int,
    python: str | None,
    model: str | None,
    probe: str | None,
    json_file: Path | None,
) -> None:
    """Compare mean reciprocal ranks over the first ten hits."""
    scores: dict[str, dict[str, list[float]]] = {column: {} for column in _COLUMNS}
    for kept in sorted(folder.glob("*.pkl")):
        ((name, judged),) = pickle.loads(kept.read_bytes()).items()
        _add_ours(scores, kept.stem, judged)
        tree = folder / kept.stem / "tree"
        commits_asked = cases(tree, commits, asked_in(name)) if probe or (python and model) else []
        if python and model:
            scores["file, semble"][kept.stem] = [
                _reciprocal(_asked_of_semble(tree, case, python, model), case.files) for case in commits_asked
            ]
        if probe:
            scores["file, probe"][kept.stem] = [
                _reciprocal(_asked_of_probe(tree, case, probe), case.files) for case in commits_asked
            ]
    table = Table("MRR", "commits", *(column for column in _COLUMNS if scores[column]))
    rows = {column: found for column, found in scores.items() if found}
    for name, asked in scores["file, ours"].items():
        table.add_row(name, str(len(asked)), *(f"{fmean(found[name]):.3f}" for found in rows.values()))
    table.add_section()
    table.add_row("mean", "", *(f"{ablation.mean(found):.3f}" for found in rows.values()), style="bold")
    console = Console(width=max(Console().width, 110))
    console.print(table)
    for one, other in (
        ("function, words", "function, ours"),
        ("file, words", "file, ours"),
        ("file, semble", "file, ours"),
        ("file, probe", "file, ours"),
    ):
        if scores[one]:
            low, high = ablation.interval(scores[one], scores[other])
            console.print(f"{other} less {one}: 95 % interval {low:+.3f} to {high:+.3f}")
    if json_file:
        json_file.write_text(json.dumps(scores, indent=1), "utf-8")


def _add_ours(scores: dict[str, dict[str, list[float]]], name: str, judged: Sequence[Judged]) -> None:
    for method, step in (("words", ablation.steps(Weights())[0]), ("ours", ablation.Step("", Weights()))):
        pages = [ablation.page(each, step) for each in judged]
        files = [[Target(path) for path in {t.path for t in each.targets}] for each in judged]
        scores[f"function, {method}"][name] = [
            _reciprocal(page, each.targets) for page, each in zip(pages, judged, strict=True)
        ]
        scores[f"file, {method}"][name] = [
            _reciprocal(page, targets) for page, targets in zip(pages, files, strict=True)
        ]


def _reciprocal(page: Sequence[Place], targets: Sequence[Target]) -> float:
    return max((1 / rank for target in targets if (rank := rank_of(page, target))), default=0.0)


def _asked_of_semble(tree: Path, case: Case, python: str, model: str) -> list[Place]:
    check_out(tree, case)
    (answer,) = ask_semble(python, model, tree, [case.question], DEPTH)["answers"]
    return [Place(*hit) for hit in answer["hits"]]


def _asked_of_probe(tree: Path, case: Case, binary: str) -> list[Place]:
    check_out(tree, case)
    return ask_probe(binary, tree, case.question, DEPTH)


if __name__ == "__main__":
    main()
