"""Two tools answer the same sixty questions; whoever judges does not know which list is whose.

    python tests/bench/blind.py ask FOLDER --checkouts CHECKOUTS --semble PYTHON --model MODEL [--deep]
    python tests/bench/blind.py count FOLDER

`ask` writes FOLDER/lists.md, where each question of `blind.toml` has the first five hits of both tools
as lists A and B in an order that a seed decides, each hit with as many lines of code from the first that
is no comment, and FOLDER/key.json, which says whose list was A and where the expected definition came in
both.  The judge reads lists.md only and writes FOLDER/verdicts.txt: one line for each question, `A`, `B`
or `=`.  `count` opens the key.  MODEL is a static model for semble: see `semble_answers.py`.
"""

from __future__ import annotations

import json
import random
import re
import sys
from collections import Counter
from itertools import dropwhile
from pathlib import Path
from typing import Any

import click
from semble_process import ask_semble

from mosearch.engine import Engine
from mosearch.evaluation.judging import Place, Target, rank_of
from mosearch.parsing import parse_file
from mosearch.settings import load_settings
from mosearch.types import Depth

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_HERE = Path(__file__).parent
_HITS = 5
_LINES = 12
_COMMENT = re.compile(r"\s*(//|/?\*|#(?!include|define|if)|--|@\w)")

_Hit = tuple[str, int, int]
"""Path in the checkout, first and last line from 1."""


@click.group()
def main() -> None:
    """Ask both tools, or count the verdicts."""


@main.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--checkouts", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--semble", "python", required=True, help="Python that has semble.")
@click.option("--model", required=True, help="Folder of a static model.")
@click.option("--seed", default=7, show_default=True)
@click.option("--deep", is_flag=True, help="Ask when the deepest exit covers everything, as after idle time.")
@click.option("--budget", type=int, help="Time for deeper vectors of candidates, in ms; else as by default.")
def ask(
    folder: Path, checkouts: Path, python: str, model: str, seed: int, deep: bool, budget: int | None
) -> None:
    """Write the lists and the key."""
    folder.mkdir(parents=True, exist_ok=True)
    order = random.Random(seed)
    pages, key, expected = [], [], []
    for repository in _repositories():
        root = checkouts / repository["name"] / repository.get("root", "")
        queries = [question for question, _ in repository["questions"]]
        both = (_ours(root, queries, deep, budget), _theirs(root, queries, python, model))
        for number, (query, wanted) in enumerate(repository["questions"]):
            right = _definition(checkouts / repository["name"], root, wanted)
            expected.append([rank_of([Place(*hit) for hit in side[number]], right) for side in both])
            first = order.randrange(2)
            key.append(first)
            pages.append(f"## {len(key)}. {repository['name']}: {query}\n")
            for name, side in (("A", first), ("B", 1 - first)):
                pages.append(f"### {name}\n{_shown(root, both[side][number])}")
    (folder / "lists.md").write_text("\n".join(pages), "utf-8")
    (folder / "key.json").write_text(json.dumps({"first": key, "expected": expected}), "utf-8")


@main.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True))
def count(folder: Path) -> None:
    """Say who won how often, by repository, and where the expected definition came."""
    opened = json.loads((folder / "key.json").read_text("utf-8"))
    key: list[int] = opened["first"]
    verdicts = (folder / "verdicts.txt").read_text("utf-8").split()
    if len(verdicts) != len(key):
        raise click.ClickException(f"{len(verdicts)} verdicts for {len(key)} questions")
    names = [each["name"] for each in _repositories() for _ in each["questions"]]
    total: Counter[str] = Counter()
    for name in dict.fromkeys(names):
        won: Counter[str] = Counter()
        for whose, first, verdict in zip(names, key, verdicts, strict=True):
            if whose == name:
                won[_winner(verdict, first)] += 1
        total += won
        click.echo(f"{name}: {won['ours']} won, {won['semble']} lost, {won['tie']} even")
    click.echo(f"all: {total['ours']} won, {total['semble']} lost, {total['tie']} even")
    for side, who in enumerate(("ours", "semble")):
        ranks = [pair[side] for pair in opened["expected"]]
        found = [rank for rank in ranks if rank]
        click.echo(
            f"{who}: the expected definition is first for {ranks.count(1)}, among the first five for "
            f"{len(found)}, mean reciprocal rank {sum(1 / rank for rank in found) / len(ranks):.3f}"
        )


def _winner(verdict: str, first: int) -> str:
    if verdict == "=":
        return "tie"
    return ("ours", "semble")[first if verdict == "A" else 1 - first]


def _repositories() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = tomllib.loads((_HERE / "blind.toml").read_text("utf-8"))["repository"]
    return found


def _definition(checkout: Path, root: Path, wanted: str) -> Target:
    """The lines of "PATH NAME", or the whole file where nothing there is called so."""
    path, _, name = wanted.partition(" ")
    file = checkout / path
    named = [
        chunk.symbol_span
        for chunk in parse_file(path, file.read_bytes()).chunks
        if chunk.symbol == name.partition("(")[0]
    ]
    relative = file.relative_to(root).as_posix()
    return Target(relative, named[0].start_line + 1, named[0].end_line + 1) if named else Target(relative)


def _ours(root: Path, queries: list[str], deep: bool, budget: int | None) -> list[list[_Hit]]:
    with Engine(
        root, load_settings(root, {"rerank_budget_ms": budget} if budget is not None else None)
    ) as engine:
        engine.update(depth=Depth.DEEP if deep else Depth.INDEX)
        return [
            [
                (hit.path, hit.span.start_line + 1, hit.span.end_line + 1)
                for hit in engine.search(query, _HITS).hits
            ]
            for query in queries
        ]


def _theirs(root: Path, queries: list[str], python: str, model: str) -> list[list[_Hit]]:
    found = ask_semble(python, model, root, queries, _HITS)
    return [[tuple(hit) for hit in answer["hits"]] for answer in found["answers"]]


def _shown(root: Path, hits: list[_Hit]) -> str:
    shown = []
    for rank, (path, first, _) in enumerate(hits, start=1):
        # Where a hit ends would tell whose it is.
        # So would a comment before a definition, which one tool counts as part of it and the other cuts off.
        numbered = enumerate((root / path).read_text("utf-8", "replace").splitlines(), start=1)
        rest = [(number, line) for number, line in numbered if number >= first and line.strip()]
        code = list(dropwhile(lambda item: _COMMENT.match(item[1]), rest)) or rest
        text = "\n".join(line for _, line in code[:_LINES])
        shown.append(f"{rank}. {path}:{code[0][0]}\n```\n{text}\n```\n")
    return "\n".join(shown)


if __name__ == "__main__":
    main()
