"""Real edits and real checkouts, out of a repository's history."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mosearch import git, parsing
from mosearch.types import Chunk

_MOST_COMMITS = 20_000
_LARGEST_FILE = 200_000


@dataclass(frozen=True, slots=True)
class Edit:
    """What one commit did to one file."""

    path: str
    before: str
    after: str
    changed: Chunk
    """A function that is new or different in `after`."""


class History:
    """A clone to work in, of a work tree or a bare repository."""

    def __init__(self, source: Path, target: Path, revision: str) -> None:
        """Check out `revision`.  Raises UsageError where git fails."""
        self.root = target
        git.text(source, "clone", "-q", "--shared", "--no-checkout", str(source.resolve()), str(target))
        self._git("checkout", "-q", "--detach", revision)

    def checkout(self, revision: str) -> None:
        self._git("checkout", "-q", "--detach", "--force", revision)

    def ancestors(self, count: int) -> list[str]:
        """The commits before this one, this one included, nearest first."""
        return self._git("rev-list", "--first-parent", "-n", str(count), "HEAD").split()

    def clean(self) -> None:
        """Remove what git does not track."""
        self._git("clean", "-q", "-f", "-d")

    def commit(self) -> str:
        return self._git("rev-parse", "HEAD").strip()

    def files(self) -> int:
        return self._git("ls-files").count("\n")

    def far_commit(self, files: int) -> tuple[str, int]:
        """The nearest ancestor that differs in at least so many files (the first one, if none does)."""
        commits = self.ancestors(_MOST_COMMITS)
        low, high = 0, len(commits) - 1
        while low < high:  # not quite monotonous, but near enough
            middle = (low + high) // 2
            if self._differing(commits[middle]) >= files:
                high = middle
            else:
                low = middle + 1
        return commits[low], self._differing(commits[low])

    def edits(self) -> Iterator[Edit]:
        """Changes of functions in files that exist now, newest first."""
        log = self._git(
            "log",
            "--no-merges",
            "--diff-filter=M",
            "--raw",
            "--no-abbrev",
            "--format=",
            "-n",
            str(_MOST_COMMITS),
        )
        for line in log.splitlines():
            fields, _, path = line.partition("\t")
            if not (self.root / path).is_file() or not parsing.language_of(path):
                continue
            _, _, old, new, _ = fields.split(" ")
            edit = _edit(path, self._blob(old), self._blob(new))
            if edit is not None:
                yield edit

    def _differing(self, commit: str) -> int:
        return self._git("diff", "--name-only", "--no-renames", commit, "HEAD").count("\n")

    def _blob(self, name: str) -> str:
        return git.output(self.root, "cat-file", "blob", name).decode("utf-8", "replace")

    def _git(self, *arguments: str) -> str:
        return git.text(self.root, *arguments)


def _edit(path: str, before: str, after: str) -> Edit | None:
    if max(len(before), len(after)) > _LARGEST_FILE or "\0" in after:
        return None
    language = parsing.language_of(path)
    known = {chunk.digest for chunk in parsing.parse(before.encode(), language, path).chunks}
    chunks = parsing.parse(after.encode(), language, path).chunks
    copies = Counter(chunk.digest for chunk in chunks)
    for chunk in chunks:
        # Of copies in one file only one is shown, so nobody could say whether the other is found.
        if chunk.symbol and chunk.digest not in known and chunk.parts == 1 and copies[chunk.digest] == 1:
            return Edit(path, before, after, chunk)
    return None
