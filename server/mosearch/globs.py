"""Path globs, by git's rules."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pathspec import PathSpec


def matching(paths: Iterable[str], globs: Sequence[str]) -> set[str]:
    """The `paths` that `globs` select.

    A glob is a line of a `.gitignore`: `*.py` matches at any depth, `src/` and `src/**` everything in
    that folder, `/setup.py` only at the root, `!tests/` takes away again.  The last glob that matches
    a path decides; when all of them begin with `!`, they are taken away from everything.
    """
    lines = list(globs)
    if lines and all(line.startswith("!") for line in lines):
        lines.insert(0, "*")
    return set(PathSpec.from_lines("gitignore", lines).match_files(paths, separators=("/",)))
