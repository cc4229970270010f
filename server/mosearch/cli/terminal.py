"""What a terminal shows: progress bars, highlighted code, tables."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.syntax import Syntax
from rich.text import Text

from mosearch.cli.output import printable, qualified
from mosearch.types import IndexReport

if TYPE_CHECKING:
    from mosearch.cli.doctor import Check
    from mosearch.engine import Engine
    from mosearch.progress import Progress as ProgressCallback
    from mosearch.status import Status

_SHOWN_LINES = 6
_STAGES = {
    "scan": "Looking for changes",
    "parse": "Reading files",
    "first": "Embedding",
    "embed": "Embedding",
    "deepen": "Embedding deeper",
}


@contextmanager
def progress_bar() -> Iterator[ProgressCallback]:
    """A progress bar on standard error, gone at the end."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(_STAGES["scan"], total=None)

        def show(stage: str, done: int, total: int) -> None:
            bar.update(task, description=_STAGES[stage], completed=done, total=total or None)

        yield show


def print_answer(root: Path, answer: Mapping[str, Any]) -> None:
    """Show the hits of an answer of `mosearch.resident.requests`."""
    console = Console(highlight=False)
    for number, hit in enumerate(answer["hits"], start=1):
        _print_hit(console, root, number, hit)
    counts = _summary(answer["index"]["files"], answer["index"]["chunks"])
    console.print(f"[dim]{counts} · {answer['timing_ms']['total']:.0f} ms[/dim]")


def _print_hit(console: Console, root: Path, number: int, hit: Mapping[str, Any]) -> None:
    place = f"{hit['path']}:{hit['start_line']}"
    shown = hit.get("part", hit)
    head = Text.assemble((f"{number:>2}  ", "dim"))
    head.append(printable(place), style=f"bold cyan link {(root / hit['path']).as_uri()}")
    head.append(f"  {printable(qualified(hit))}", style="bold")
    lines = f" · lines {shown['start_line']}-{shown['end_line']}" if "part" in hit else ""
    head.append(f"  {hit['kind']} · {hit['score']:.3f}{lines}", style="dim")
    console.print(head)
    code = textwrap.dedent("\n".join(map(printable, hit["preview"].split("\n")[:_SHOWN_LINES])))
    syntax = Syntax(
        code,
        hit["language"],
        line_numbers=not hit["is_excerpt"],  # else they would be wrong
        start_line=shown["start_line"],
        theme="ansi_dark",
        background_color="default",
        word_wrap=False,
    )
    console.print(syntax)
    console.print()


def print_report(engine: Engine, report: IndexReport) -> None:
    console = Console(highlight=False)
    console.print(escape(f"{engine.root}: {_summary(report.files, report.chunks)}."))
    console.print(
        f"{report.changed_files:,} files changed, {report.removed_files:,} removed; "
        f"{report.embedded:,} texts embedded, {report.reused:,} reused."
    )
    if report.skipped:
        console.print(f"Left out: {_counts(report.skipped)}.")
    for path, reason in report.failed.items():
        click.echo(f"mosearch: {printable(path)}: {reason}", err=True)
    if report.warning:
        click.echo(f"mosearch: {report.warning}", err=True)


def _counts(skipped: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in skipped.items())


def _megabytes(status: Status) -> str:
    return f"{(status.stats.index_bytes + status.stats.vectors_bytes) / 1e6:.1f}"


def _summary(files: int, chunks: int) -> str:
    return f"{files:,} files, {chunks:,} chunks"


def print_status(status: Status) -> None:
    console = Console(highlight=False)
    rows = [
        ("root", str(status.root)),
        ("index", f"{status.index_dir} ({_megabytes(status)} MB)"),
        ("files", f"{status.files:,}"),
        ("chunks", f"{status.chunks:,}, of {status.texts:,} distinct texts"),
        ("vectors", ", ".join(f"{count:,} at exit {exit}" for exit, count in status.vectors.items())),
        ("waiting", f"{status.pending:,} texts for a vector at the index exit"),
        ("left out", _counts(status.skipped) or "none"),
        ("failed", ", ".join(f"{path} ({why})" for path, why in status.failed.items()) or "none"),
        ("model", f"{status.model.name}, exits {', '.join(map(str, status.model.exits))}"),
        ("exits used", _exits(status)),
        ("last sync", _moment(status.last_sync)),
        ("encoder", _encoder(status)),
    ]
    for name, value in rows:
        # Whole lines: a path that was cut short could not be copied.
        console.print(Text.assemble((f"{name:<12}", "dim"), printable(value)), soft_wrap=True)


def _encoder(status: Status) -> str:
    host = f"running on {status.device}" if status.device else "not running; it starts when needed"
    if not status.in_process:
        return host
    return f"exit {', '.join(map(str, status.in_process))} without a host; the host for others is {host}"


def _exits(status: Status) -> str:
    return f"{status.first_exit} at first, {status.index_exit} to index, {status.rerank_exit} to re-rank"


def _moment(seconds: float | None) -> str:
    return "never" if seconds is None else f"{datetime.fromtimestamp(seconds):%Y-%m-%d %H:%M:%S}"


def print_checks(checks: Sequence[Check]) -> None:
    console = Console(highlight=False)
    for check in checks:
        mark, style = ("ok", "green") if check.ok else ("FAILED", "bold red")
        line = Text.assemble((f"{mark:>6}  ", style))
        line.append(f"{check.name}: ", style="bold")
        line.append(check.message)
        console.print(line, soft_wrap=True)
    if sys.stdout.isatty() and all(check.ok for check in checks):
        console.print("[green]Everything MoSEarch needs is there.[/green]")
