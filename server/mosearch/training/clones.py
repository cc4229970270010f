"""Reading files of local git clones, bare or not, without a work tree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from mosearch import git


def clone_of(repository: str, clones: Path) -> Path | None:
    """The git folder of `OWNER/NAME` below a folder of clones called `OWNER+NAME`; None when it is absent."""
    clone = clones / repository.replace("/", "+")
    bare = clone / "repo"
    return (bare if bare.is_dir() else clone) if clone.is_dir() else None


def paths(clone: Path) -> list[str]:
    """All paths of the newest commit.  Raises UsageError when the folder is no git repository."""
    listing = git.output(clone, "ls-tree", "-r", "-z", "--name-only", "HEAD")
    return listing.decode("utf-8", "replace").split("\0")


def contents(clone: Path, wanted: Iterable[str], max_bytes: int) -> Iterator[tuple[str, str]]:
    """(path, text) of those files of the newest commit that are small enough and present.

    One git process reads all.  Raises UsageError when the folder is no git repository.
    """
    asked = [path for path in wanted if "\n" not in path]
    answer = git.output(
        clone, "cat-file", "--batch", asked="".join(f"HEAD:{path}\n" for path in asked).encode()
    )
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
