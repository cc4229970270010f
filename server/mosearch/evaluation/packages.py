"""Packages in place of repositories, as the development sets name them."""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mosearch.errors import UsageError
from mosearch.registries import CLIENTS, archive_version, fetch, is_archive, members

_NAMED: Mapping[str, str] = {
    "PyPI sdist": "pip",
    "npm": "npm",
    "Debian": "deb",
    "Debian source": "deb-source",
}
"""The development sets' words for a registry, and its client.  Of what a repository keeps under the folder to
index, a wheel holds the same as a source distribution."""


@dataclass(frozen=True, slots=True)
class Package:
    client: str
    name: str

    def __str__(self) -> str:
        return f"{CLIENTS[self.client].title} {self.name}"


def named(words: str, repository: str) -> Package:
    """The package that a development set names; where its name is left out, it is the repository's.

    Raises UsageError where the words name none that a client is known for.
    """
    match = re.fullmatch(rf"({'|'.join(sorted(_NAMED, key=len, reverse=True))})(?: ([^\s-]\S*))?", words)
    if match is None:
        known = ", ".join(_NAMED)
        raise UsageError(
            f"its package is said to be {words!r}; known are {known}"
            if words
            else "no package is named that holds its files"
        )
    return Package(_NAMED[match[1]], match[2] or repository)


def download(package: Package) -> tuple[str, dict[str, bytes]]:
    """The newest version that the client gets, and the package's files.  Raises UsageError."""
    with tempfile.TemporaryDirectory(prefix="mosearch-package-") as folder:
        fetch(package.client, package.name, Path(folder))
        archives = sorted(filter(is_archive, Path(folder).iterdir()))
        if not archives:
            raise UsageError(f"{package} holds no archive of sources")
        held = {path: content for archive in archives for path, content in members(archive)}
        return archive_version(archives[0].name), held


def laid_out(files: Mapping[str, bytes], answers: Collection[str]) -> dict[str, bytes]:
    """A package's files under the paths that they have in the repository, as far as its answers tell.

    Packages move and rename the folders of a repository.  Where one of them lies is told by the answers
    (paths in the repository): of all pairs of a folder there and here, by the one that most of them agree
    with.  What the package holds elsewhere is left out; without a file that an answer names, everything is.
    """
    votes = Counter(pair for answer in answers for pair in set(_pairs(files, PurePosixPath(answer))))
    if not votes:
        return {}
    (here, there), _ = max(votes.items(), key=lambda item: (item[1], -len(item[0][0].parts)))
    return {
        (there / PurePosixPath(path).relative_to(here)).as_posix(): content
        for path, content in files.items()
        if PurePosixPath(path).is_relative_to(here)
    }


def _pairs(files: Iterable[str], answer: PurePosixPath) -> Iterator[tuple[PurePosixPath, PurePosixPath]]:
    """For each file of the answer's name: the folder below which both have one path, here and there."""
    for file in map(PurePosixPath, files):
        if file.name == answer.name:
            here, there = file.parent, answer.parent
            while here.name and here.name == there.name:
                here, there = here.parent, there.parent
            yield here, there
