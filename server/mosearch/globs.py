"""Path globs, by git's rules."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from pathspec import PathSpec

from mosearch.errors import QueryError


def matching(paths: Iterable[str], globs: Sequence[str]) -> set[str]:
    """The `paths` that `globs` select.

    A glob is a line of a `.gitignore`: `*.py` matches at any depth, `src/` and `src/**` everything in
    that folder, `/setup.py` only at the root, `!tests/` takes away again.  The last glob that matches
    a path decides; when all of them begin with `!`, they are taken away from everything.
    Raises `QueryError` for what is no glob.
    """
    lines = list(globs)
    if lines and all(line.startswith("!") for line in lines):
        lines.insert(0, "*")
    return set(_compiled(lines).match_files(paths, separators=("/",)))


def _compiled(lines: Sequence[str]) -> PathSpec[Any]:
    try:
        return PathSpec.from_lines("gitignore", lines)
    except (ValueError, re.error) as error:
        raise QueryError(f"{', '.join(map(repr, lines))} is no path glob: {error}.") from error
