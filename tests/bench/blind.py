"""Two tools answer the same sixty questions; whoever judges does not know which list is whose.

    python tests/bench/blind.py ask FOLDER --checkouts CHECKOUTS --semble PYTHON --model MODEL [--deep]
    python tests/bench/blind.py count FOLDER

`ask` writes FOLDER/lists.md, where each question of `blind.toml` has the first five hits of both tools
as lists A and B in an order that a seed decides, each hit with as many lines of code from where it
begins, and FOLDER/key.json, which says whose list was A.  The judge reads lists.md only and writes
FOLDER/verdicts.txt: one line for each question, `A`, `B` or `=`.  `count` opens the key.  MODEL is a
static model for semble: see `semble_answers.py`.
"""

from __future__ import annotations

import json
import random
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import click
from semble_process import ask_semble

from mosearch.engine import Engine
from mosearch.settings import load_settings
from mosearch.types import Depth

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_HERE = Path(__file__).parent
_HITS = 5
_LINES = 12

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
def ask(folder: Path, checkouts: Path, python: str, model: str, seed: int, deep: bool) -> None:
    """Write the lists and the key."""
    folder.mkdir(parents=True, exist_ok=True)
    order = random.Random(seed)
    pages, key = [], []
    for repository in _repositories():
        root = checkouts / repository["name"] / repository.get("root", "")
        queries = [question for question, _ in repository["questions"]]
        both = (_ours(root, queries, deep), _theirs(root, queries, python, model))
        for number, query in enumerate(queries):
            first = order.randrange(2)
            key.append(first)
            pages.append(f"## {len(key)}. {repository['name']}: {query}\n")
            for name, side in (("A", first), ("B", 1 - first)):
                pages.append(f"### {name}\n{_shown(root, both[side][number])}")
    (folder / "lists.md").write_text("\n".join(pages), "utf-8")
    (folder / "key.json").write_text(json.dumps(key), "utf-8")


@main.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True))
def count(folder: Path) -> None:
    """Say who won how often, by repository."""
    key: list[int] = json.loads((folder / "key.json").read_text("utf-8"))
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


def _winner(verdict: str, first: int) -> str:
    if verdict == "=":
        return "tie"
    return ("ours", "semble")[first if verdict == "A" else 1 - first]


def _repositories() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = tomllib.loads((_HERE / "blind.toml").read_text("utf-8"))["repository"]
    return found


def _ours(root: Path, queries: list[str], deep: bool) -> list[list[_Hit]]:
    with Engine(root, load_settings(root)) as engine:
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
        lines = (root / path).read_text("utf-8", "replace").splitlines()[first - 1 :]
        code = "\n".join([line for line in lines if line.strip()][:_LINES])
        shown.append(f"{rank}. {path}:{first}\n```\n{code}\n```\n")
    return "\n".join(shown)


if __name__ == "__main__":
    main()
