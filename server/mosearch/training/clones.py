"""Reading files of local git clones, bare or not, without a work tree."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol, TypeVar

from mosearch import git
from mosearch.training import records


class Listed(Protocol):
    """An entry of the package list that names a repository."""

    @property
    def repository(self) -> str: ...


_Source = TypeVar("_Source", bound=Listed)


def extract(
    sources: Iterable[_Source], clones: Path, out: Path, found_in: Callable[[_Source, Path], Iterable[Any]]
) -> Iterator[tuple[str, int]]:
    """Write `<owner>+<name>.jsonl.gz` below `out` for each clone that has none yet; yield name and count.

    `clones` holds a folder `<owner>+<name>` for each repository; one that is absent is passed over.
    `found_in` reads a clone; a row is one of the dataclasses that it gives.
    """
    for source in sources:
        clone = clone_of(source.repository, clones)
        file = out / f"{source.repository.replace('/', '+')}.jsonl.gz"
        if file.exists() or clone is None:
            continue
        found = list(found_in(source, clone))
        records.write(file, map(asdict, found))
        yield source.repository, len(found)


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

    Raises UsageError when the folder is no git repository.
    """
    asked = {f"HEAD:{path}": path for path in wanted if "\n" not in path}
    for name, content in blobs(clone, asked, max_bytes):
        yield asked[name], content.decode("utf-8", "replace")


def blobs(clone: Path, wanted: Iterable[str], max_bytes: int) -> Iterator[tuple[str, bytes]]:
    """(name, content) of those files that are small enough and present, each named as git names an object.

    One git process reads all.  Raises UsageError when the folder is no git repository.
    """
    asked = list(wanted)
    answer = git.output(clone, "cat-file", "--batch", asked="".join(f"{name}\n" for name in asked).encode())
    place = 0
    for name in asked:
        end = answer.index(b"\n", place)
        header = answer[place:end].split()
        place = end + 1
        if len(header) == 3 and header[1] == b"blob":
            size = int(header[2])
            if size <= max_bytes:
                yield name, answer[place : place + size]
            place += size + 1
