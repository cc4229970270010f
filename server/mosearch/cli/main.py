"""The commands, their options and exit codes."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mosearch import __version__
from mosearch.cli.models import models_group
from mosearch.errors import MosearchError, QueryError, StoreLockedError, UsageError

if TYPE_CHECKING:
    from mosearch.engine import Engine
    from mosearch.types import Filters, IndexReport, SearchResult

_EPILOG = """
Exit codes: 0 success (also when nothing was found), 1 unexpected failure or a failed check of `doctor`,
2 wrong usage, 3 the index cannot be read or written, 4 no encoder where one is needed, 130 interrupted.
"""

_LINE = re.compile("0*[1-9][0-9]{0,8}")

_Command = Callable[..., Any]
_Decorator = Callable[[_Command], _Command]


@click.group(epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="mosearch")
def _group() -> None:
    """Find code by what it does.  Everything stays on this machine."""


_group.add_command(models_group)


def main() -> None:
    """Entry point of the `mosearch` command."""
    as_json = "--json" in sys.argv[1:]
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name that the terminal's encoding lacks is no failure
            stream.reconfigure(errors="backslashreplace")
    try:
        _group(prog_name="mosearch", standalone_mode=False)
    except click.exceptions.Abort:
        _fail("Interrupted", "Interrupted; what is done so far is kept.", 130, as_json)
    except click.ClickException as error:
        if as_json:
            _fail("UsageError", error.format_message(), 2, as_json)
        error.show()
        sys.exit(error.exit_code)
    except MosearchError as error:
        _fail(type(error).__name__, str(error), error.exit_code, as_json)


def _fail(name: str, message: str, code: int, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"error": {"name": name, "message": message}}))
    else:
        click.echo(f"mosearch: {message}", err=True)
    sys.exit(code)


def _root_option(command: _Command) -> _Command:
    return click.option(
        "--root",
        type=click.Path(path_type=Path),
        default=Path(),
        help="Folder to search; default: the current one.",
    )(command)


def _json_option(command: _Command) -> _Command:
    return click.option("--json", "as_json", is_flag=True, help="Answer in JSON on standard output.")(command)


def _search_options(command: _Command) -> _Command:
    options: tuple[_Decorator, ...] = (
        click.option("--no-rerank", is_flag=True, help="Leave the deeper exit out."),
        click.option("--path", "paths", multiple=True, metavar="GLOB", help="Only files that match."),
        click.option("--lang", "languages", multiple=True, metavar="LANG", help="Only this language."),
        click.option("-n", "limit", type=click.IntRange(1, 1000), help="Number of hits; default 10."),
        _json_option,
        _root_option,
    )
    for option in options:
        command = option(command)
    return command


@_group.command()
@click.argument("query")
@_search_options
def search(
    query: str,
    root: Path,
    as_json: bool,
    limit: int | None,
    languages: tuple[str, ...],
    paths: tuple[str, ...],
    no_rerank: bool,
) -> None:
    """Find the code that QUERY describes; the index is brought up to date first."""
    from mosearch.searcher import check_query

    check_query(query)
    filters = _filters(languages, paths)
    with _open(root) as engine:
        report = _refresh(engine, quiet=as_json)
        result = engine.search(
            query, limit or engine.settings.limit, filters, rerank=_rerank(engine, no_rerank)
        )
        _show(engine, result, report, as_json)
        engine.maintain()


@_group.command()
@click.argument("place", metavar="PATH:LINE | -")
@_search_options
def similar(
    place: str,
    root: Path,
    as_json: bool,
    limit: int | None,
    languages: tuple[str, ...],
    paths: tuple[str, ...],
    no_rerank: bool,
) -> None:
    """Find code like that at PATH:LINE, or, with -, like the code on standard input."""
    filters = _filters(languages, paths)
    with _open(root) as engine:
        here = place != "-"
        where = _parse_place(place, engine.root) if here else ("", 0)
        piped = None if here else _piped(sys.stdin.buffer.read().decode("utf-8", "replace"))
        report = _refresh(engine, quiet=as_json)
        result = engine.similar(
            piped or engine.place(*where),
            here,
            limit or engine.settings.limit,
            filters,
            rerank=_rerank(engine, no_rerank),
        )
        _show(engine, result, report, as_json)
        engine.maintain()


@_group.command()
@_root_option
@_json_option
def index(root: Path, as_json: bool) -> None:
    """Bring the index of a folder up to date."""
    from mosearch.cli import output

    with _open(root) as engine:
        report = _update(engine, quiet=as_json)
        if as_json:
            click.echo(json.dumps(output.report_json(report)))
        else:
            output.print_report(engine, report)
        engine.maintain()


@_group.command()
@_root_option
@_json_option
def status(root: Path, as_json: bool) -> None:
    """Show what the index of a folder holds, and what it still lacks."""
    from mosearch.cli import output

    with _open(root) as engine:
        found = engine.status()
        if as_json:
            click.echo(json.dumps(found.to_json()))
        else:
            output.print_status(found)


@_group.command()
@_root_option
@_json_option
def doctor(root: Path, as_json: bool) -> None:
    """Check everything MoSEarch needs, and say what to do about what is missing."""
    from mosearch.cli.doctor import run_checks
    from mosearch.cli.output import print_checks

    checks = run_checks(root)
    if as_json:
        click.echo(json.dumps({"checks": [check.to_json() for check in checks]}))
    else:
        print_checks(checks)
    if not all(check.ok for check in checks):
        sys.exit(1)


@_group.command()
@click.option("--stdio", is_flag=True, help="Speak over standard input and output (the default).")
@click.option("--tcp", type=click.IntRange(1, 65535), metavar="PORT", help="Serve on this loopback port.")
def serve(stdio: bool, tcp: int | None) -> None:
    """Run the language server for an editor."""
    from mosearch import lsp

    if stdio and tcp is not None:
        raise UsageError("Give either --stdio or --tcp PORT, not both.")
    if tcp is None:
        lsp.serve_stdio()
    else:
        lsp.serve_tcp(tcp)


@_group.command(
    "eval",
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def evaluate(arguments: tuple[str, ...]) -> None:
    """Measure retrieval quality on development sets."""
    # The group is loaded only when it is asked for: it needs torch.
    from mosearch.evaluation.cli import eval_group

    eval_group.main(list(arguments), prog_name="mosearch eval", standalone_mode=False)


def _open(root: Path) -> Engine:
    from mosearch import workspace
    from mosearch.engine import Engine
    from mosearch.settings import load_settings

    resolved = workspace.resolve_root(root)
    return Engine(resolved, load_settings(resolved))


def _update(engine: Engine, *, quiet: bool) -> IndexReport:
    """Update with a progress bar on a terminal."""
    from mosearch.cli import output

    with output.progress_bar(quiet) as progress:
        return engine.update(progress)


def _refresh(engine: Engine, *, quiet: bool) -> IndexReport:
    """Update before answering; while another process does so, answer from what there is and say so."""
    try:
        return _update(engine, quiet=quiet)
    except StoreLockedError as error:
        return engine.report(warning=f"Answers may miss the latest changes: {error}")


def _rerank(engine: Engine, no_rerank: bool) -> bool:
    return engine.settings.rerank and not no_rerank


def _filters(languages: tuple[str, ...], paths: tuple[str, ...]) -> Filters:
    from mosearch.parsing import LANGUAGES
    from mosearch.types import Filters

    wanted = frozenset(language.lower() for language in languages)
    unknown = wanted - set(LANGUAGES)
    if unknown:
        raise UsageError(
            f"Unknown language {', '.join(sorted(unknown))}. Known are: {', '.join(sorted(LANGUAGES))}."
        )
    return Filters(languages=wanted, path_globs=paths)


def _parse_place(place: str, root: Path) -> tuple[str, int]:
    """`PATH:LINE` → path relative to the root and 0-based line.  PATH may also be relative to here."""
    path, _, line = place.rpartition(":")
    if not path or not _LINE.fullmatch(line):
        raise QueryError(f"{place!r} is not a place: write PATH:LINE, for example src/pool.py:120.")
    for base in (root, Path.cwd()):
        try:
            full = (base / path).resolve()
            if full.is_relative_to(root) and full.is_file():
                return full.relative_to(root).as_posix(), int(line) - 1
        except (OSError, RuntimeError):  # noqa: PERF203  # no name of a file, or a link that leads to itself
            continue
    raise QueryError(f"There is no file {path} in {root}.")


def _piped(code: str) -> Any:
    from mosearch.places import code_chunk
    from mosearch.types import StoredChunk

    if not code.strip():
        raise QueryError("There is no code to compare with: standard input is empty.")
    return StoredChunk("", 0, code_chunk(code))


def _show(engine: Engine, result: SearchResult, report: IndexReport, as_json: bool) -> None:
    from mosearch.cli import output

    if as_json:
        click.echo(json.dumps(output.result_json(result, report)))
    else:
        output.print_hits(engine.root, result, report)
