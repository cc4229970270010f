"""What `search` and `similar` print: highlighted text for a terminal, plain lines for a pipe."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click


def print_hits(root: Path, answer: Mapping[str, Any], nothing: str) -> None:
    """Show an answer of `mosearch.resident.requests`; `nothing` is said where it has no hits."""
    hits = answer["hits"]
    if sys.stdout.isatty():
        # Imported here: a pipe needs none of it, and is to be answered at once.
        from mosearch.cli.terminal import print_answer

        print_answer(root, answer)
    else:
        for hit in hits:
            click.echo(_line(hit))
    if depth := answer.get("depth"):
        click.echo(f"mosearch: {_shallow(depth)}", err=True)
    for warning in dict.fromkeys((answer.get("warning"), answer["index"].get("warning"))):
        if warning:
            click.echo(f"mosearch: {warning}", err=True)
    if not hits:
        click.echo(nothing, err=True)


def _shallow(depth: Mapping[str, Any]) -> str:
    by = "words only" if depth["exit"] is None else f"exit {depth['exit']}"
    return (
        f"Answered by {by}: {depth['pending']:,} texts still lack a vector at the index exit. "
        "Ask again later for better answers, or run `mosearch index` now."
    )


def _line(hit: Mapping[str, Any]) -> str:
    place = f"{printable(hit['path'])}:{hit['start_line']}-{hit['end_line']}"
    return f"{place}: {printable(qualified(hit))} ({hit['score']:.3f})"


def qualified(hit: Mapping[str, Any]) -> str:
    return ".".join(part for part in (hit["container"], hit["symbol"]) if part) or str(hit["kind"])


def printable(text: str) -> str:
    """A path or a file may hold an escape sequence; a terminal must not act on it.  Tabs stay."""
    return "".join(
        letter if letter.isprintable() or letter == "\t" else f"\\x{ord(letter):02x}" for letter in text
    )
