"""Compressed JSON lines: how every step of the pipeline keeps what it read."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any


def write(file: Path, rows: Iterable[object]) -> None:
    """One line for each row.  `file` appears when it is whole."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_suffix(".part")
    with gzip.open(draft, "wt", encoding="utf-8", errors="replace") as lines:
        lines.writelines(json.dumps(row) + "\n" for row in rows)
    draft.replace(file)


def read(file: Path) -> Iterator[Any]:
    """The rows of a file that `write` wrote."""
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)
