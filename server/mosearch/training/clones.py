"""Reading files of local git clones, bare or not, without a work tree."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from mosearch.errors import UsageError


def clone_of(repository: str, clones: Path) -> Path | None:
    """The git folder of `OWNER/NAME` below a folder of clones called `OWNER+NAME`; None when it is absent."""
    clone = clones / repository.replace("/", "+")
    bare = clone / "repo"
    return (bare if bare.is_dir() else clone) if clone.is_dir() else None


def paths(clone: Path) -> list[str]:
    """All paths of the newest commit.  Raises UsageError when the folder is no git repository."""
    return _git(clone, "ls-tree", "-r", "-z", "--name-only", "HEAD").decode("utf-8", "replace").split("\0")


def contents(clone: Path, wanted: Iterable[str], max_bytes: int) -> Iterator[tuple[str, str]]:
    """(path, text) of those files of the newest commit that are small enough and present.

    One git process reads all.  Raises UsageError when the folder is no git repository.
    """
    asked = [path for path in wanted if "\n" not in path]
    answer = _git(clone, "cat-file", "--batch", asked="".join(f"HEAD:{path}\n" for path in asked).encode())
    place = 0
    for path in asked:
        end = answer.index(b"\n", place)
        header = answer[place:end].split()
        place = end + 1
        if len(header) == 3 and header[1] == b"blob":
            size = int(header[2])
            if size <= max_bytes:
                yield path, answer[place : place + size].decode("utf-8", "replace")
            place += size + 1


def _git(clone: Path, *arguments: str, asked: bytes = b"") -> bytes:
    command: Sequence[str] = ("git", "-c", "safe.directory=*", "-C", str(clone), *arguments)
    result = subprocess.run(command, input=asked, capture_output=True, check=False)
    if result.returncode:
        raise UsageError(f"{clone} cannot be read as a git repository: {result.stderr.decode()[:200]}")
    return result.stdout
