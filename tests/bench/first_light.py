"""Measure MoSEarch on real code bases: `python tests/bench/first_light.py [--only NAME] [--json FILE]`.

For each code base of `codebases.toml`: the first index with everything fresh, the second run that has
nothing to do, one whole `search` command, and the questions of `questions.toml` with the rank of the
right function.  The user's own index, settings and encoder host are neither used nor touched.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import platformdirs
from bench_ask import DEPTH, Asked, Examined, examine, examined_json, scores
from bench_fetch import Codebase, FetchError, fetch
from bench_index import CommandError, Cost, Usage, Workplace, run
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mosearch import __version__
from mosearch.errors import MosearchError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_HERE = Path(__file__).parent
_WIDTH_IN_A_FILE = 170
_COLD_QUESTION = "where is a retry decided"


@dataclass(frozen=True, slots=True)
class Measured:
    codebase: Codebase
    first: Cost
    again: Cost
    cold_search_seconds: float
    index_bytes: int
    examined: Examined


@click.command()
@click.option("--only", multiple=True, metavar="NAME", help="Only this code base; may be given again.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write all figures to this file.")
@click.option(
    "--root-cache",
    type=click.Path(path_type=Path),
    default=platformdirs.user_cache_path("mosearch-bench", appauthor=False),
    help="Where downloaded and unpacked code is kept.",
)
def main(only: tuple[str, ...], json_file: Path | None, root_cache: Path) -> None:
    """Index real code bases with the real command and ask them questions."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _WIDTH_IN_A_FILE
    codebases = _wanted(only)
    questions = _read("questions.toml")
    measured: list[Measured] = []
    failed: dict[str, str] = {}
    for codebase in codebases:
        console.print(f"[dim]{codebase.name} {codebase.version} …[/dim]")
        try:
            measured.append(_measure(codebase, questions.get(codebase.name, {}), root_cache.resolve()))
        except (FetchError, CommandError, MosearchError) as error:
            failed[codebase.name] = str(error)
            console.print(Text(f"{codebase.name}: {error}", style="red"))
        if json_file is not None:
            json_file.write_text(json.dumps(_report(measured, failed), indent=1), "utf-8")
    _show(console, measured)
    sys.exit(1 if failed else 0)


def _wanted(only: Sequence[str]) -> list[Codebase]:
    known = [Codebase(**table) for table in _read("codebases.toml")["codebase"]]
    unknown = set(only) - {codebase.name for codebase in known}
    if unknown:
        names = ", ".join(codebase.name for codebase in known)
        raise click.UsageError(f"Unknown code base {', '.join(sorted(unknown))}. Known are: {names}.")
    return [codebase for codebase in known if not only or codebase.name in only]


def _read(name: str) -> dict[str, Any]:
    with (_HERE / name).open("rb") as file:
        return tomllib.load(file)


def _measure(codebase: Codebase, cases: dict[str, Any], root_cache: Path) -> Measured:
    root = fetch(codebase, root_cache)
    workplace = Workplace()
    try:
        first = run(["index", "--root", str(root)], workplace)
        again = run(["index", "--root", str(root)], workplace)
        cold = run(["search", _COLD_QUESTION, "--root", str(root), "-n", str(DEPTH)], workplace)
        size = workplace.index_bytes()
        os.environ.update(workplace.environment)
        return Measured(codebase, first, again, cold.seconds, size, examine(root, cases))
    finally:
        workplace.close()


def _report(measured: Sequence[Measured], failed: dict[str, str]) -> dict[str, Any]:
    return {
        "mosearch": __version__,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "settings": {name: value for name, value in os.environ.items() if _is_setting(name)},
        "codebases": {one.codebase.name: _one_json(one) for one in measured},
        "failed": failed,
    }


def _is_setting(variable: str) -> bool:
    return variable.startswith("MOSEARCH_") and not variable.endswith("_DIR")


def _one_json(one: Measured) -> dict[str, Any]:
    return {
        "version": one.codebase.version,
        "language": one.codebase.language,
        "first": _cost_json(one.first),
        "second": _cost_json(one.again),
        "cold_search_seconds": round(one.cold_search_seconds, 3),
        "index_bytes": one.index_bytes,
        **examined_json(one.examined),
    }


def _cost_json(cost: Cost) -> dict[str, Any]:
    return {
        "seconds": round(cost.seconds, 3),
        "command": _usage_json(cost.command),
        "host": _usage_json(cost.host),
        "report": cost.answer,
        "stderr": cost.trouble,
    }


def _usage_json(usage: Usage) -> dict[str, float]:
    return {"peak_mb": round(usage.peak_mb, 1), "cpu_seconds": round(usage.cpu_seconds, 2)}


def _show(console: Console, measured: Sequence[Measured]) -> None:
    if not measured:
        return
    console.print(_index_table(measured), _left_out_table(measured), _score_table(measured))
    for one in measured:
        if one.examined.questions or one.examined.similar:
            console.print(_rank_table(one))
        costs = (one.first, one.again)
        said = [text for cost in costs for text in (cost.answer.get("warning", ""), cost.trouble)]
        for warning in filter(None, dict.fromkeys([*said, *one.examined.warnings])):
            console.print(Text(f"{one.codebase.name}: {warning}", style="yellow"))


def _index_table(measured: Sequence[Measured]) -> Table:
    counts = ("files", "left out", "failed", "chunks", "embedded")
    costs = ("s", "CPU s", "chunks/s", "disk MB", "command MB", "host MB")
    later = ("again s", "CPU s", "embedded", "search s")
    table = _table("First index, second run, one cold search", ("code base", *counts, *costs, *later))
    for one in measured:
        report = one.first.answer
        cells = (
            f"{report['files']:,}",
            f"{sum(report['skipped'].values()):,}",
            f"{len(report['failed']):,}",
            f"{report['chunks']:,}",
            f"{report['embedded']:,}",
            f"{one.first.seconds:.1f}",
            f"{one.first.command.cpu_seconds + one.first.host.cpu_seconds:.1f}",
            f"{report['chunks'] / one.first.seconds:.0f}",
            f"{one.index_bytes / 1e6:.1f}",
            f"{one.first.command.peak_mb:.0f}",
            f"{one.first.host.peak_mb:.0f}",
            f"{one.again.seconds:.2f}",
            f"{one.again.command.cpu_seconds:.2f}",
            f"{one.again.answer['embedded']:,}",
            f"{one.cold_search_seconds:.2f}",
        )
        table.add_row(one.codebase.name, *cells)
    return table


def _left_out_table(measured: Sequence[Measured]) -> Table:
    table = Table(title="Files left out, by reason", title_justify="left")
    table.add_column("code base")
    table.add_column("reason")
    table.add_column("files", justify="right")
    table.add_column("for example")
    for one in measured:
        for reason, paths in one.examined.skipped_files.items():
            table.add_row(one.codebase.name, reason, f"{len(paths):,}", Text(", ".join(paths[:3])))
    return table


def _score_table(measured: Sequence[Measured]) -> Table:
    columns = ("n", "hit@1", "hit@5", "hit@10", "MRR", "p50 ms", "max ms")
    table = _table("Right answers", ("code base", "task", *columns))
    everything: dict[str, list[Asked]] = {"questions": [], "similar": []}
    for one in measured:
        for task, asked in (("questions", one.examined.questions), ("similar", one.examined.similar)):
            everything[task].extend(asked)
            _add_scores(table, one.codebase.name, task, asked)
    for task, all_asked in everything.items():
        _add_scores(table, "all", task, all_asked)
    return table


def _add_scores(table: Table, name: str, task: str, asked: Sequence[Asked]) -> None:
    found = scores(asked)
    if not found:
        return
    shares = [f"{found[key]:.2f}" for key in ("hit@1", "hit@5", "hit@10", "mrr")]
    table.add_row(name, task, str(len(asked)), *shares, f"{found['p50_ms']:.0f}", f"{found['max_ms']:.0f}")


def _rank_table(one: Measured) -> Table:
    table = Table(title=f"{one.codebase.name}: rank of the right function", title_justify="left")
    table.add_column("rank", justify="right")
    table.add_column("asked")
    table.add_column("first hit, where that is not the right one")
    for asked in (*one.examined.questions, *one.examined.similar):
        rank = "-" if asked.rank is None else str(asked.rank)
        first = asked.top[0] if asked.top and asked.rank != 1 else ""
        lost = f"\nnot in the index: {', '.join(asked.lost)}" if asked.lost else ""
        table.add_row(rank, Text(asked.ask), Text(first + lost))
    return table


def _table(title: str, columns: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 or column == "task" else "right")
    return table


if __name__ == "__main__":
    main()
