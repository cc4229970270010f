"""What the commands print: JSON for programs, highlighted text for a terminal, plain lines for a pipe."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
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
from rich.table import Table
from rich.text import Text

from mosearch.indexer import no_progress
from mosearch.types import Hit, IndexReport, SearchResult

if TYPE_CHECKING:
    from mosearch.cli.doctor import Check
    from mosearch.engine import Engine
    from mosearch.indexer import Progress as ProgressCallback
    from mosearch.status import Status

_SHOWN_LINES = 6
_STAGES = {"scan": "Looking for changes", "parse": "Reading files", "embed": "Embedding"}


@contextmanager
def progress_bar(quiet: bool) -> Iterator[ProgressCallback]:
    """A progress bar on standard error if that is a terminal; silence otherwise."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield no_progress
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(_STAGES["scan"], total=None)

        def show(stage: str, done: int, total: int) -> None:
            bar.update(task, description=_STAGES[stage], completed=done, total=total or None)

        yield show


def report_json(report: IndexReport) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "files": report.files,
        "chunks": report.chunks,
        "embedded": report.embedded,
        "reused": report.reused,
        "changed_files": report.changed_files,
        "removed_files": report.removed_files,
        "skipped": dict(report.skipped),
        "failed": dict(report.failed),
    }
    if report.warning:
        answer["warning"] = report.warning
    return answer


def result_json(result: SearchResult, report: IndexReport) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "hits": [_hit_json(hit) for hit in result.hits],
        "timing_ms": dict(result.timing_ms),
        "index": report_json(report),
    }
    if result.warning:
        answer["warning"] = result.warning
    return answer


def _hit_json(hit: Hit) -> dict[str, Any]:
    chunk = hit.chunk
    return {
        "path": hit.path,
        "start_line": chunk.start_line + 1,
        "end_line": chunk.end_line + 1,
        "symbol": chunk.symbol,
        "kind": chunk.kind.label,
        "container": chunk.container,
        "language": chunk.language,
        "score": hit.score,
        "exit": hit.exit,
        "preview": hit.preview,
    }


def print_hits(root: Path, result: SearchResult, report: IndexReport) -> None:
    console = Console(highlight=False)
    for number, hit in enumerate(result.hits, start=1):
        if console.is_terminal:
            _print_hit(console, root, number, hit)
        else:
            click.echo(_hit_line(hit))
    for warning in dict.fromkeys((result.warning, report.warning)):
        if warning:
            click.echo(f"mosearch: {warning}", err=True)
    if not result.hits:
        click.echo("Nothing found.", err=True)
    if console.is_terminal:
        console.print(f"[dim]{_summary(report)} · {result.timing_ms['total']:.0f} ms[/dim]")


def _print_hit(console: Console, root: Path, number: int, hit: Hit) -> None:
    chunk = hit.chunk
    place = f"{hit.path}:{chunk.start_line + 1}"
    head = Text.assemble((f"{number:>2}  ", "dim"))
    head.append(_printable(place), style=f"bold cyan link {(root / hit.path).as_uri()}")
    head.append(f"  {_printable(_qualified(hit))}", style="bold")
    head.append(f"  {chunk.kind.label} · {hit.score:.3f}", style="dim")
    console.print(head)
    lines = textwrap.dedent("\n".join(map(_printable, chunk.text.splitlines()[:_SHOWN_LINES])))
    syntax = Syntax(
        lines,
        chunk.language,
        line_numbers=True,
        start_line=chunk.start_line + 1,
        theme="ansi_dark",
        background_color="default",
        word_wrap=False,
    )
    console.print(syntax)
    console.print()


def _hit_line(hit: Hit) -> str:
    chunk = hit.chunk
    place = f"{_printable(hit.path)}:{chunk.start_line + 1}-{chunk.end_line + 1}"
    return f"{place}: {_printable(_qualified(hit))} ({hit.score:.3f})"


def _qualified(hit: Hit) -> str:
    chunk = hit.chunk
    name = ".".join(part for part in (chunk.container, chunk.symbol) if part)
    return name or chunk.kind.label


def _printable(text: str) -> str:
    """A path or a file may hold an escape sequence; a terminal must not act on it.  Tabs stay."""
    return "".join(
        letter if letter.isprintable() or letter == "\t" else f"\\x{ord(letter):02x}" for letter in text
    )


def print_report(engine: Engine, report: IndexReport) -> None:
    console = Console(highlight=False)
    console.print(escape(f"{engine.root}: {_summary(report)}."))
    console.print(
        f"{report.changed_files:,} files changed, {report.removed_files:,} removed; "
        f"{report.embedded:,} texts embedded, {report.reused:,} reused."
    )
    if report.skipped:
        console.print(f"Left out: {_counts(report.skipped)}.")
    for path, reason in report.failed.items():
        click.echo(f"mosearch: {_printable(path)}: {reason}", err=True)
    if report.warning:
        click.echo(f"mosearch: {report.warning}", err=True)


def _counts(skipped: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in skipped.items())


def _megabytes(status: Status) -> str:
    return f"{(status.stats.index_bytes + status.stats.vectors_bytes) / 1e6:.1f}"


def _summary(report: IndexReport) -> str:
    return f"{report.files:,} files, {report.chunks:,} chunks"


def print_status(status: Status) -> None:
    table = Table(show_header=False, box=None, pad_edge=False)
    rows = [
        ("root", str(status.root)),
        ("index", f"{status.index_dir} ({_megabytes(status)} MB)"),
        ("files", f"{status.files:,}"),
        ("chunks", f"{status.chunks:,}, {status.pending:,} of them without a vector yet"),
        ("left out", _counts(status.skipped) or "none"),
        ("failed", ", ".join(map(_printable, status.failed)) or "none"),
        ("model", f"{status.model.name}, exits {', '.join(map(str, status.model.exits))}"),
        ("exits used", f"{status.index_exit} to index, {status.rerank_exit} to re-rank"),
        ("encoder", f"running on {status.device}" if status.device else "not running; it starts when needed"),
    ]
    for name, value in rows:
        table.add_row(Text(name, style="dim"), Text(value))
    Console(highlight=False).print(table)


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
