"""The commands, their options and exit codes."""

from __future__ import annotations

import io
import json
import re
import shlex
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mosearch import __version__, memory, resident
from mosearch.cli.models import models_group
from mosearch.errors import MosearchError, QueryError, RootError, UsageError
from mosearch.resident import Request
from mosearch.settings import load_settings

if TYPE_CHECKING:
    from mosearch.engine import Engine
    from mosearch.progress import Progress
    from mosearch.settings import Settings

_EPILOG = """
Exit codes: 0 success (also when nothing was found), 1 unexpected failure or a failed check of `doctor`,
2 wrong usage, 3 the index cannot be read or written, 4 a model is missing or damaged, 130 interrupted.
"""

_LINE = re.compile("0*[1-9][0-9]{0,8}")

_Command = Callable[..., Any]
_Decorator = Callable[[_Command], _Command]


class _Hinting(click.Command):
    """Tells where words go that a command does not expect: unquoted questions, folders without `--root`."""

    allow_extra_args = True

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        rest = super().parse_args(ctx, args)
        if rest:
            raise click.UsageError(
                f"Nothing expected `{shlex.join(rest)}` here: "
                "words that belong together go into quotes, the folder goes after --root.",
                ctx,
            )
        return rest


class _Group(click.Group):
    command_class = _Hinting


@click.group(cls=_Group, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
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
    except Exception as error:
        if not as_json or isinstance(error, BrokenPipeError):
            raise
        traceback.print_exc()
        _fail(type(error).__name__, str(error), 1, as_json)


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
        callback=lambda _context, _option, value: _resolved(value),
        help="Folder to search; default: the current one.",
    )(command)


def _resolved(root: Path) -> Path:
    """Whoever opens the index sees to it that it is a folder.  Raises `RootError`."""
    try:
        return root.expanduser().resolve()
    except (OSError, RuntimeError) as error:
        raise RootError(f"{root} cannot be used as a workspace: {error}. Give another folder.") from error


def _json_option(command: _Command) -> _Command:
    return click.option("--json", "as_json", is_flag=True, help="Answer in JSON on standard output.")(command)


def _search_options(command: _Command) -> _Command:
    options: tuple[_Decorator, ...] = (
        click.option("--no-rerank", is_flag=True, help="Leave the deeper exit out."),
        click.option("--path", "paths", multiple=True, metavar="GLOB", help="Only files that match."),
        click.option("--lang", "languages", multiple=True, metavar="LANG", help="Only this language."),
        click.option(
            "-n", "limit", type=click.IntRange(1, 1000), help="Number of hits; default: the setting `limit`."
        ),
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
    _answer(root, as_json, limit, query=query, languages=languages, path_globs=paths, rerank=not no_rerank)


@_group.command()
@click.argument("place", metavar="PATH:LINE | -")
@click.option("--all", "everything", is_flag=True, help="What is probably not similar, too.")
@_search_options
def similar(
    place: str,
    everything: bool,
    root: Path,
    as_json: bool,
    limit: int | None,
    languages: tuple[str, ...],
    paths: tuple[str, ...],
    no_rerank: bool,
) -> None:
    """Find code like that at PATH:LINE, or, with -, like the code on standard input."""
    asked: dict[str, Any]
    if place == "-":
        asked = {"code": sys.stdin.buffer.read().decode("utf-8", "replace")}
    else:
        path, line = _parse_place(place, root)
        asked = {"path": path, "line": line}
    _answer(
        root,
        as_json,
        limit,
        **asked,
        languages=languages,
        path_globs=paths,
        rerank=not no_rerank,
        everything=everything,
    )


@_group.command()
@_root_option
@_json_option
@click.option("--deep", is_flag=True, help="Embed everything at the deepest exit, too.")
@click.option("--clean", is_flag=True, help="Drop the vectors of models that are not in use.")
def index(root: Path, as_json: bool, deep: bool, clean: bool) -> None:
    """Bring the index of a folder up to date."""
    from mosearch.cli import terminal
    from mosearch.resident.requests import report_json
    from mosearch.types import Depth

    with _open(root) as engine:
        with _progress(as_json) as progress:
            report = engine.update(progress, depth=Depth.DEEP if deep else Depth.INDEX)
        if clean:
            engine.clean()
        if as_json:
            click.echo(json.dumps(report_json(report)))
        else:
            terminal.print_report(engine, report)
        engine.maintain()


@_group.command()
@_root_option
@_json_option
def status(root: Path, as_json: bool) -> None:
    """Show what the index of a folder holds, and what it still lacks."""
    from mosearch.cli import terminal

    with _open(root) as engine:
        found = engine.status()
        if as_json:
            click.echo(json.dumps(found.to_json()))
        else:
            terminal.print_status(found)


@_group.command()
@_root_option
@_json_option
def doctor(root: Path, as_json: bool) -> None:
    """Check everything MoSEarch needs, and say what to do about what is missing."""
    from mosearch.cli.doctor import run_checks
    from mosearch.cli.terminal import print_checks

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
    sys.exit(lsp.serve_stdio() if tcp is None else lsp.serve_tcp(tcp))


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


@_group.command(
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def bench(arguments: tuple[str, ...]) -> None:
    """Measure speed, memory and disk."""
    from mosearch.evaluation.bench import bench_group

    bench_group.main(list(arguments), prog_name="mosearch bench", standalone_mode=False)


def _open(root: Path) -> Engine:
    with memory.loading():
        from mosearch import workspace
        from mosearch.engine import Engine

    resolved = workspace.resolve_root(root)
    return Engine(resolved, load_settings(resolved))


def _progress(quiet: bool) -> AbstractContextManager[Progress]:
    """A progress bar on a terminal, silence otherwise."""
    if quiet or not sys.stderr.isatty():
        return nullcontext(lambda _stage, _done, _total: None)
    from mosearch.cli.terminal import progress_bar

    return progress_bar()


def _answer(root: Path, as_json: bool, limit: int | None, **asked: Any) -> None:
    """Let the process that keeps this index open answer, or open it here and leave one behind.

    `asked` are the other fields of `Request`.
    """
    from mosearch.cli import output

    settings = load_settings(root)
    request = Request(limit=limit or settings.limit, **asked)
    answer = None
    with _progress(as_json) as progress:
        if settings.resident:
            answer = resident.ask(root, settings, request, progress)
        if answer is None:
            answer = _answer_here(root, settings, request, progress)
            if settings.resident:
                resident.start(root, settings)
    if as_json:
        click.echo(json.dumps(answer))
    else:
        is_cut = request.query is None and not request.everything
        nothing = "Nothing is similar; --all shows the nearest code." if is_cut else "Nothing found."
        output.print_hits(root, answer, nothing)


def _answer_here(root: Path, settings: Settings, request: Request, progress: Progress) -> dict[str, Any]:
    with memory.loading():
        from mosearch import workspace
        from mosearch.engine import Engine
        from mosearch.resident import requests

    requests.check(request)
    patience = requests.PATIENCE_SECONDS if settings.resident else None
    resolved = workspace.resolve_root(root)
    with Engine(resolved, settings, warm_up=True, patience_seconds=patience) as engine:
        answer = requests.answer(engine, request, progress, threading.Event())
        with suppress(MosearchError, OSError):  # the answer stands; whoever comes next cares for the tables
            engine.maintain()
        return answer


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
