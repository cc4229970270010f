"""`mosearch bench`: what things cost, as a command group that the command line mounts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from statistics import fmean

import click
from rich.console import Console
from rich.table import Table

from mosearch.evaluation import growth, options
from mosearch.evaluation.scale import Size, exponent, measure_sizes
from mosearch.evaluation.watching import Samples

_MOMENTS = 12
_DRAWN = {
    "first_answer_s": "first answer, s",
    "index_s": "first index, s",
    "index_peak_mb": "indexing process, MB",
    "query_p50_ms": "query, p50 ms",
    "reranked_p50_ms": "query re-ranked, p50 ms",
    "bm25_p50_ms": "full text alone, p50 ms",
    "vectors_p50_ms": "nearest vectors, p50 ms",
    "reopen_answered_s": "opened again and answered, s",
    "reopen_ready_s": "opened again and compared, s",
    "reopen_rss_after_queries_mb": "server after queries, MB",
    "bytes_per_chunk": "disk, bytes a chunk",
    "semble_index_s": "semble's index, s",
    "semble_query_p50_ms": "semble's query, p50 ms",
}
"""Figures of a size, and what to call them in the plots."""


@click.group("bench")
def bench_group() -> None:
    """Measure speed, memory and disk."""


@bench_group.command("scale")
@click.option(
    "--root",
    "roots",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    multiple=True,
    required=True,
    help="Source trees to fill the workspaces with; may be repeated.",
)
@click.option(
    "--chunks", "sizes", type=click.IntRange(100), multiple=True, default=(10_000,), show_default=True
)
@click.option(
    "--folder",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Where the workspaces are laid out; default: the system's temporary folder.",
)
@click.option("--script", is_flag=True, help="Measure sentence-transformers with LanceDB, too.")
@click.option(
    "--semble",
    type=(click.Path(path_type=Path, exists=True), click.Path(path_type=Path, exists=True, file_okay=False)),
    metavar="PYTHON MODEL",
    help="A Python that has semble, and static weights for it: measured beside.",
)
@click.option("--svg", "svg_file", type=click.Path(path_type=Path, dir_okay=False), help="Draw the growth.")
@options.json_file
def scale(
    roots: tuple[Path, ...],
    sizes: tuple[int, ...],
    folder: Path | None,
    script: bool,
    semble: tuple[Path, Path] | None,
    svg_file: Path | None,
    json_file: Path | None,
) -> None:
    """First index, queries, memory and disk at each number of chunks, how they grow, and peers beside.

    Sizes that the JSON file has already are not measured again: so a long measurement can be done in parts.
    """
    done: list[Size] = []
    if json_file is not None and json_file.exists():
        done = [Size(**one) for one in json.loads(json_file.read_text())]
    left = sorted(set(sizes) - {size.wanted for size in done})
    for size in measure_sizes(roots, left, folder, script=script, semble=semble):
        done = sorted([*done, size], key=lambda one: one.chunks)
        click.echo(f"{size.chunks:,} chunks measured", err=True)
        if json_file is not None:
            json_file.write_text(json.dumps([asdict(one) for one in done], indent=1) + "\n")
    if svg_file is not None:
        svg_file.write_text(growth.svg(list(_growths(done))))
    _print(done)


def _growths(sizes: list[Size]) -> Iterator[growth.Growth]:
    for name, title in _DRAWN.items():
        points = [(size.chunks, size.figures[name]) for size in sizes if size.figures.get(name, 0) > 0]
        if points:
            yield growth.Growth(title, points, exponent(sizes, name))


def _print(sizes: list[Size]) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for size in sizes:
        table.add_column(f"{size.chunks:,} chunks", justify="right")
    table.add_column("grows as", justify="right")
    for name in sizes[0].figures:
        values = [f"{size.figures[name]:,.2f}" if name in size.figures else "" for size in sizes]
        power = exponent(sizes, name)
        table.add_row(name, *values, "" if power != power else f"n^{power:.2f}")
    Console(width=160).print(table)


@bench_group.command("shell")
@click.option(
    "--root",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    required=True,
    help="A folder to ask about; nothing is written there.",
)
@click.option(
    "--beside",
    multiple=True,
    metavar="COMMAND",
    help="Another program's command to be timed, too; {question} and {root} are replaced.",
)
def shell(root: Path, beside: tuple[str, ...]) -> None:
    """`mosearch search` in a folder never seen, with an index, and with a resident process."""
    from mosearch.evaluation.shell import measure_beside, measure_commands

    for name, seconds in measure_commands(root).items():
        click.echo(f"{seconds:6.2f}  {name}")
    for command in beside:
        click.echo(f"{measure_beside(command, root):6.2f}  {command}")


@bench_group.command("live")
@options.history
@click.option("--revision", default="HEAD", show_default=True, help="Where to begin.")
@click.option("--edits", type=click.IntRange(1), default=500, show_default=True)
@click.option(
    "--changed",
    type=click.IntRange(1),
    default=1000,
    show_default=True,
    help="Files that a checkout changes.",
)
@click.option(
    "--index-seconds",
    type=click.IntRange(1),
    default=600,
    show_default=True,
    help="How long to ask while the first index is built.",
)
@options.json_file
def live(
    root: Path, revision: str, edits: int, changed: int, index_seconds: int, json_file: Path | None
) -> None:
    """Real edits and checkouts through a real language server: how soon they are found, what it costs."""
    from mosearch.evaluation.live import Report, measure

    def save(report: Report) -> None:
        if json_file is not None:
            json_file.write_text(json.dumps(asdict(report), indent=1) + "\n")

    report = measure(root, revision, edits, changed, index_seconds, _tell, save)
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    table.add_column("", justify="right")
    for section, figures in report.sections.items():
        table.add_row(section, "", style="bold")
        for name, value in figures.items():
            table.add_row(f"  {name}", _figure(value))
    Console(width=100).print(table)
    _print_samples(report.samples)


def _tell(stage: str) -> None:
    click.echo(stage, err=True)


def _figure(value: float) -> str:
    whole = isinstance(value, int) or float(value).is_integer()
    return f"{value:,.0f}" if whole else f"{value:,.2f}"


def _print_samples(samples: Samples) -> None:
    """Cores busy and memory of each process over time, at a dozen moments of the first index."""
    table = Table(box=None, pad_edge=False, title="While the first index is built", title_justify="left")
    for column in ("process", "after s", "cores busy", "MB"):
        table.add_column(column, justify="left" if column == "process" else "right")
    for name, rows in samples.items():
        for start in range(0, len(rows), step := max(1, -(-len(rows) // _MOMENTS))):
            part = rows[start : start + step]
            cores = fmean(busy for _, busy, _ in part)
            table.add_row(
                name, f"{part[-1][0]:.1f}", f"{cores:.2f}", f"{max(size for _, _, size in part):.0f}"
            )
    Console(width=100).print(table)


@bench_group.command("day")
@options.history
@click.option("--edits", type=click.IntRange(1), default=10_000, show_default=True)
@click.option("--checkouts", type=click.IntRange(1), default=200, show_default=True)
@click.option("--restarts", type=click.IntRange(1), default=50, show_default=True)
@options.json_file
def day(root: Path, edits: int, checkouts: int, restarts: int, json_file: Path | None) -> None:
    """A day of work in an editor: what disk, files and memory grow to, against a fresh index."""
    from mosearch.evaluation.day import COLUMNS, Plan, live_through

    table = Table(*COLUMNS, box=None, pad_edge=False)
    moments = []
    for moment in live_through(root, Plan(edits, checkouts, restarts), _tell):
        moments.append(moment)
        row = [moment.name, *(_figure(round(value, 1)) for value in moment.figures)]
        _tell("  ".join(row))
        table.add_row(*row)
        if json_file is not None:
            json_file.write_text(json.dumps([asdict(one) for one in moments], indent=1) + "\n")
    Console(width=120).print(table)
