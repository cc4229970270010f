"""Packages in place of repositories, as the development sets name them: downloaded and read, never run.

Only the ordinary clients are called, so that the machine's own configuration decides where packages
come from.  Of a package on PyPI the wheel is taken, because whoever downloads a source distribution
has its build script run; of what a repository keeps under the folder to index, both hold the same.
"""

from __future__ import annotations

import io
import lzma
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from mosearch.errors import UsageError

_TIMEOUT_SECONDS = 300


@dataclass(frozen=True, slots=True)
class _Client:
    title: str
    command: tuple[str, ...]
    """Downloads into the folder that it runs in; the package's name follows."""
    archive: str
    """A pattern of the archive's name; its group is the version."""


_CLIENTS: Mapping[str, _Client] = {
    "PyPI sdist": _Client(
        "PyPI package",
        (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest=."),
        r"[^-]+-([^-]+)-.+\.whl",
    ),
    "npm": _Client(
        "npm package", ("npm", "pack", "--loglevel=error", "--ignore-scripts"), r".+-(\d+\..+)\.tgz"
    ),
    "Debian": _Client("Debian package", ("apt-get", "download", "--quiet"), r"[^_]+_([^_]+)_[^_]+\.deb"),
    "Debian source": _Client(
        "Debian source package",
        ("apt-get", "source", "--quiet", "--download-only"),
        r"[^_]+_(.+)\.orig\.tar\.(?:gz|xz|bz2)",
    ),
}
_COMPLAINT = re.compile(r"^(?:ERROR:|E:|npm (?:error|ERR!)(?! code)).*\S", re.MULTILINE)
_DAMAGE = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError)


@dataclass(frozen=True, slots=True)
class Package:
    client: str
    name: str

    def __str__(self) -> str:
        return f"{_CLIENTS[self.client].title} {self.name}"


def named(words: str, repository: str) -> Package:
    """The package that a development set names; where its name is left out, it is the repository's.

    Raises UsageError where the words name none that a client is known for.
    """
    match = re.fullmatch(rf"({'|'.join(sorted(_CLIENTS, key=len, reverse=True))})(?: ([^\s-]\S*))?", words)
    if match is None:
        known = ", ".join(_CLIENTS)
        raise UsageError(
            f"its package is said to be {words!r}; known are {known}"
            if words
            else "no package is named that holds its files"
        )
    return Package(match[1], match[2] or repository)


def download(package: Package) -> tuple[str, dict[str, bytes]]:
    """The newest version that the client gets, and the package's files.  Raises UsageError."""
    client = _CLIENTS[package.client]
    with tempfile.TemporaryDirectory(prefix="mosearch-package-") as folder:
        _run([*client.command, package.name], Path(folder), str(package))
        for archive in sorted(Path(folder).iterdir()):
            if match := re.fullmatch(client.archive, archive.name):
                return match[1].replace("%3a", ":"), read(archive)
    raise UsageError(f"{package} holds no archive of sources")


def read(archive: Path) -> dict[str, bytes]:
    """The regular files of a wheel, a tar archive or a Debian package.  Raises UsageError when damaged."""
    try:
        if archive.suffix == ".whl":
            with zipfile.ZipFile(archive) as wheel:
                return dict(_inside((each.filename, wheel.read(each)) for each in wheel.infolist()))
        if archive.suffix == ".deb":
            tar = _run(["dpkg-deb", "--fsys-tarfile", archive.name], archive.parent, archive.name)
            return _tarred(io.BytesIO(tar))
        with archive.open("rb") as file:
            return _tarred(file)
    except _DAMAGE as error:
        raise UsageError(f"{archive.name} cannot be read: {error}") from error


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


def _tarred(file: BinaryIO) -> dict[str, bytes]:
    with tarfile.open(fileobj=file) as tar:
        regular = ((each.name, tar.extractfile(each)) for each in tar if each.isfile())
        return dict(_inside((name, content.read()) for name, content in regular if content))


def _inside(files: Iterable[tuple[str, bytes]]) -> Iterator[tuple[str, bytes]]:
    """Without folders, and without paths that lead out of the archive."""
    for name, content in files:
        path = PurePosixPath(name)
        if not (name.endswith("/") or path.is_absolute() or ".." in path.parts):
            yield path.as_posix(), content


def _run(command: list[str], folder: Path, what: str) -> bytes:
    """What the command prints.  Raises UsageError."""
    program = "pip" if command[0] == sys.executable else command[0]
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
    except FileNotFoundError as error:
        raise UsageError(f"{what} needs {program}, which is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise UsageError(f"{what} did not arrive within {_TIMEOUT_SECONDS} s of {program}") from error
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip()
        complaint = _COMPLAINT.search(said)
        reason = complaint[0] if complaint else said.rpartition("\n")[2] or f"exit code {done.returncode}"
        raise UsageError(f"{what} cannot be had by {program}: {reason}")
    return done.stdout
