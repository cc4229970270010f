"""`mosearch eval similar`: `similar` as users meet it, and the fit of its probability."""

from __future__ import annotations

import json
import os
import random
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from mosearch.encoder import EncoderClient, connect
from mosearch.engine import Engine
from mosearch.evaluation import likeness, options
from mosearch.evaluation.clones import MAKERS
from mosearch.evaluation.tasks import Solution, data_folder, solutions
from mosearch.ranking import SIMILAR
from mosearch.settings import load_settings
from mosearch.types import Chunk, Depth, Filters, Hit, Priority, StoredChunk

_ENDINGS = {
    "python": "py",
    "javascript": "js",
    "typescript": "ts",
    "java": "java",
    "go": "go",
    "php": "php",
    "ruby": "rb",
    "cpp": "cpp",
    "csharp": "cs",
    "kotlin": "kt",
    "scala": "scala",
    "rust": "rs",
    "c": "c",
    "swift": "swift",
}
_ENCODED = 256
_HITS = 10
_OWN = 2
"""Functions of the tree itself that are asked about, for each clone."""
_ASKED = 20
"""Similar places that are looked at for false alarms."""


@click.command("similar")
@options.data
@click.option(
    "--root",
    "roots",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Source tree to plant clones in; with --fit, source of functions.  May be repeated.",
)
@click.option(
    "--tasks", type=click.IntRange(2), default=100, show_default=True, help="Tasks across languages."
)
@click.option(
    "--functions", type=click.IntRange(4), default=60, show_default=True, help="Functions of each tree."
)
@click.option("--deep", is_flag=True, help="Wait until the deepest exit covers everything.")
@click.option("--fit", is_flag=True, help="Fit the probability instead, and print its weights.")
@options.json_file
def similar_command(
    data: Path | None,
    roots: Sequence[Path],
    tasks: int,
    functions: int,
    deep: bool,
    fit: bool,
    json_file: Path | None,
) -> None:
    """Measure `similar`: the same task in other languages, clones planted in real trees, false alarms."""
    console = Console(width=max(Console().width, 100))
    folder = data_folder(data)
    figures: dict[str, object] = {}
    if fit:
        figures = _fit(console, likeness.labelled(folder, roots, tasks, functions))
    else:
        with tempfile.TemporaryDirectory(prefix="mosearch-similar-") as temporary:
            work = Path(temporary)
            # The indexes of made-up trees are of no use to anyone else.
            os.environ["MOSEARCH_CACHE_DIR"] = str(work / "cache")
            depth = Depth.DEEP if deep else Depth.INDEX
            figures["languages"] = _across_languages(console, solutions(folder, tasks), work, depth)
            some = {root: _some(root, functions) for root in roots}
            for root in roots:
                foreign = [each for other in roots if other != root for each in some[other]]
                figures[root.name] = _planted(console, root, foreign, functions, folder, work, depth)
    if json_file:
        json_file.write_text(json.dumps(figures, indent=1), "utf-8")


def _fit(console: Console, items: Sequence[likeness.Item]) -> dict[str, object]:
    figures: dict[str, object] = {}
    table = Table("exit", "pairs", "similar", "area, cosine", "area, fitted", "cut-off", "recall there")
    shown = Table("exit", "held-out P from", "pairs", "mean P", "share similar")
    with connect(None) as encoder:
        for exit in (encoder.info.first_exit, encoder.info.rerank_exit):
            found = likeness.pairs(items, _encoded(encoder, items, exit))
            fitted = likeness.fit(found)
            least, recall = likeness.cut(fitted.held_out, found.similar)
            table.add_row(
                str(exit),
                f"{len(found.similar):,}",
                f"{int(found.similar.sum()):,}",
                f"{fitted.cosine_area:.3f}",
                f"{fitted.area:.3f}",
                f"{least:.2f}",
                f"{recall:.2f}",
            )
            for low, count, mean, share in likeness.bins(fitted.held_out, found.similar):
                shown.add_row(str(exit), f"{low:.1f}", f"{count:,}", f"{mean:.2f}", f"{share:.2f}")
            console.print(f"{encoder.info.name}, exit {exit}: {fitted.weights}")
            figures[str(exit)] = {"cut": least, "recall": recall, "area": fitted.area}
    console.print(table)
    console.print(shown)
    return figures


def _encoded(encoder: EncoderClient, items: Sequence[likeness.Item], exit: int) -> NDArray[np.float32]:
    blocks = []
    for start in range(0, len(items), _ENCODED):
        part = items[start : start + _ENCODED]
        vectors = encoder.encode(
            [each.text for each in part],
            "code",
            (exit,),
            priority=Priority.INDEX,
            languages=[each.language for each in part],
        )
        blocks.append(vectors[exit].astype(np.float32))
    return np.concatenate(blocks)


@dataclass(slots=True)
class _Tally:
    """Ranks and probabilities of right answers; 0 where there was none among the hits."""

    ranks: list[int] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)

    def add(self, hits: Sequence[Hit], path: str) -> None:
        rank = next((rank for rank, hit in enumerate(hits, 1) if hit.path == path), 0)
        self.ranks.append(rank)
        self.scores.append(hits[rank - 1].score if rank else 0.0)

    def row(self) -> tuple[str, str, str, str]:
        reciprocal = fmean(1 / rank if rank else 0.0 for rank in self.ranks)
        first = fmean(rank == 1 for rank in self.ranks)
        called = fmean(score >= SIMILAR for score in self.scores)
        return str(len(self.ranks)), f"{reciprocal:.3f}", f"{first:.2f}", f"{called:.2f}"


def _across_languages(
    console: Console, found: Sequence[Solution], work: Path, depth: Depth
) -> dict[str, list[str]]:
    """Each Python solution asks for the one in another language; function names are masked."""
    root = work / "tasks"
    paths = {(each.task, each.language): _write(root, each) for each in found if each.language in _ENDINGS}
    tallies: dict[str, _Tally] = {}
    with Engine(root, load_settings(root)) as engine:
        engine.update(depth=depth)
        for (task, language), path in sorted(paths.items()):
            asking = paths.get((task, "python"))
            if language == "python" or asking is None:
                continue
            wanted = Filters(languages=frozenset({language}))
            place = engine.place(asking, _function_line(engine, asking))
            hits = engine.similar(place, True, _HITS, wanted, everything=True).hits
            tallies.setdefault(f"{task.split()[0]} python → {language}", _Tally()).add(hits, path)
    table = Table(
        "", "asked", "MRR", "first", "called similar", title=f"Other languages, {len(paths)} solutions"
    )
    for name, tally in sorted(tallies.items()):
        table.add_row(name, *tally.row())
    console.print(table)
    return {name: list(tally.row()) for name, tally in tallies.items()}


def _write(root: Path, solution: Solution) -> str:
    ending = _ENDINGS[solution.language]
    path = f"{solution.language}/{solution.task.replace(' ', '_').replace('/', '_')}.{ending}"
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    begin = "<?php\n" if solution.language == "php" and not solution.masked.startswith("<?php") else ""
    file.write_text(begin + solution.masked, "utf-8")
    return path


def _function_line(engine: Engine, path: str) -> int:
    """A line of the last function of a file: helpers come first."""
    chunks = [stored.chunk for stored in engine.store.chunks_of(path)]
    functions = [chunk for chunk in chunks if chunk.kind in likeness.FUNCTIONS] or chunks
    return functions[-1].start_line


def _planted(
    console: Console,
    root: Path,
    foreign: Sequence[tuple[str, Chunk]],
    count: int,
    data: Path,
    work: Path,
    depth: Depth,
) -> dict[str, object]:
    """Clones of functions in files of their own, in a copy of the tree; and what else is called similar,
    to functions of the tree itself and to those of other projects."""
    rng = random.Random(0)
    copy = work / root.name
    shutil.copytree(root, copy, ignore=shutil.ignore_patterns(".git"))
    found = likeness.functions_of(root)
    chosen = rng.sample(found, min(count, len(found)))
    makers = list(MAKERS.items())
    planted: list[tuple[str, int, str, str]] = []
    for number, (path, chunk) in enumerate(chosen):
        how, make = makers[number % len(makers)]
        clone = f"planted/clone_{number}{Path(path).suffix}"
        _plant(copy / clone, chunk, make(chunk.text, rng))
        planted.append((path, chunk.start_line, how, clone))
    planted += _translations(copy, data, count // len(makers))
    tallies: dict[str, _Tally] = {}
    with Engine(copy, load_settings(copy)) as engine:
        engine.update(depth=depth)
        engine.maintain()
        for path, line, how, clone in planted:
            hits = engine.similar(engine.place(path, line), True, _HITS).hits
            tallies.setdefault(how, _Tally()).add(hits, clone)
        own = rng.sample(found, min(_OWN * count, len(found)))
        siblings = [item for path, chunk in own for item in _called_similar(engine, path, chunk, here=True)]
        alarms = [
            item for path, chunk in foreign for item in _called_similar(engine, path, chunk, here=False)
        ]
    table = Table("", "asked", "MRR", "first", "found", title=f"Clones planted in {root.name}")
    for how, tally in tallies.items():
        table.add_row(how, *tally.row())
    console.print(table)
    console.print(
        f"{len({place for place, _, _ in siblings})} of {len(own)} functions of the tree itself have "
        f"something similar beside clones, {len(siblings)} places in all (true siblings are among them)."
    )
    if foreign:
        console.print(
            f"False alarms: {len(alarms)} places are called similar to {len(foreign)} functions of other "
            f"projects, {1000 * len(alarms) / len(foreign):.0f} per 1,000 functions."
        )
    return {
        "clones": {how: tally.row() for how, tally in tallies.items()},
        "asked": len(own),
        "siblings": siblings,
        "foreign": len(foreign),
        "alarms": alarms,
    }


def _some(root: Path, count: int) -> list[tuple[str, Chunk]]:
    found = likeness.functions_of(root)
    return random.Random(1).sample(found, min(count, len(found)))


def _plant(file: Path, chunk: Chunk, text: str) -> None:
    file.parent.mkdir(exist_ok=True)
    begin = {"php": "<?php\n", "go": "package planted\n\n"}.get(chunk.language, "")
    holder = chunk.container.split(".")[-1] if chunk.language in ("java", "csharp") else ""
    body = f"class {holder or 'Planted'} {{\n{text}\n}}\n" if chunk.language in ("java", "csharp") else text
    file.write_text(begin + body + "\n", "utf-8")


def _translations(copy: Path, data: Path, count: int) -> list[tuple[str, int, str, str]]:
    """Python functions and the same in another language, as if the tree held both."""
    pairs: dict[str, dict[str, Solution]] = {}
    for each in solutions(data, 400):
        pairs.setdefault(each.task, {})[each.language] = each
    found: list[tuple[str, int, str, str]] = []
    others = ("java", "javascript", "go")
    for number, task in enumerate(sorted(pairs)[-count:]):
        solved = pairs[task]
        other = solved.get(others[number % len(others)])
        if other is None or "python" not in solved:
            continue
        asking, answer = _write(copy / "planted", solved["python"]), _write(copy / "planted", other)
        lines = solved["python"].masked.splitlines()
        line = max((i for i, text in enumerate(lines) if text.startswith("def ")), default=0)
        found.append((f"planted/{asking}", line, "translated", f"planted/{answer}"))
    return found


def _called_similar(
    engine: Engine, path: str, chunk: Chunk, *, here: bool
) -> Iterator[tuple[str, str, float]]:
    """(place, what is called similar to it, probability), planted files left out."""
    place = engine.place(path, chunk.start_line) if here else StoredChunk(path, 0, chunk)
    for hit in engine.similar(place, here, _ASKED).hits:
        if not hit.path.startswith("planted/"):
            yield f"{path}:{chunk.start_line + 1}", f"{hit.path}:{hit.chunk.start_line + 1}", hit.score
