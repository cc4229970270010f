"""Reading cross-language triplets that a user has: JSON lines of one text and two codes that do what it says.

SynthCoNL (Gurioli et al. 2025) has this shape.  Field names differ between copies, so each may be given.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mosearch.errors import UsageError
from mosearch.training.filters import wanted_function
from mosearch.training.leaks import leaks
from mosearch.training.pairs import Pair


@dataclass(frozen=True, slots=True)
class Fields:
    """Names of a triplet's fields."""

    text: str = "text"
    left: str = "code_a"
    right: str = "code_b"
    language: str = "language"
    """Of the right code; may be absent from the data."""


def triplet_pairs(file: Path, forbidden: set[int], fields: Fields | None = None) -> Iterator[Pair]:
    """Two pairs of each triplet: text → right code, left code → right code; leaks and scraps left out.

    Raises UsageError for a line that lacks a field.
    """
    names = fields or Fields()
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                row = json.loads(line)
                text, left, right = row[names.text], row[names.left], row[names.right]
            except (json.JSONDecodeError, KeyError, TypeError) as error:
                raise UsageError(f"{file}, line {number}, is no triplet: {error!r}") from error
            if any(not wanted_function("x", code) or leaks(code, code, forbidden) for code in (left, right)):
                continue
            language = str(row.get(names.language, "text"))
            yield Pair("text", language, text, right)
            yield Pair("cross", language, left, right)
