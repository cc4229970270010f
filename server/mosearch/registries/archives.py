"""Reading package archives without unpacking or running them: wheels, npm tarballs, Debian packages."""

from __future__ import annotations

import io
import lzma
import re
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from mosearch.errors import UsageError
from mosearch.registries._commands import run

_DAMAGE = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError)

_Wanted = Callable[[str], bool]


def archive_version(file_name: str) -> str:
    """The version that an archive's name carries: wheel, npm tarball, `.deb`, `.orig.tar.*`, `.dsc`."""
    stem = re.sub(r"\.(whl|tgz|deb|dsc|(orig|debian)?\.?tar\.\w+)$", "", file_name)
    if file_name.endswith(".whl"):
        return stem.split("-")[1]
    if "_" in stem:
        return stem.split("_")[1].removesuffix(".debian").removesuffix(".orig").replace("%3a", ":")
    match = re.search(r"-v?(\d[\w.+-]*)$", stem)
    return match.group(1) if match else ""


def is_archive(path: Path) -> bool:
    """Whether `members` can read it and it holds a package's sources (not only their packaging)."""
    return bool(re.search(r"\.(whl|tgz|deb)$|(?<!\.debian)\.tar\.(gz|xz|bz2)$", path.name))


def members(
    archive: Path, wanted: _Wanted = lambda _: True, max_bytes: int = sys.maxsize
) -> Iterator[tuple[str, bytes]]:
    """Path inside the archive and content of the wanted regular files of at most `max_bytes`.

    Paths that lead out of the archive are left out.  Raises UsageError when the archive is damaged, after
    what could be read.
    """
    try:
        for name, content in _members(archive, wanted, max_bytes):
            path = PurePosixPath(name)
            if not (path.is_absolute() or ".." in path.parts):
                yield path.as_posix(), content
    except _DAMAGE as error:
        raise UsageError(f"{archive.name} cannot be read: {error}") from error


def _members(archive: Path, wanted: _Wanted, max_bytes: int) -> Iterator[tuple[str, bytes]]:
    if archive.suffix == ".whl":
        yield from _zipped(archive, wanted, max_bytes)
    elif archive.suffix == ".deb":
        tar = run(["dpkg-deb", "--fsys-tarfile", archive.name], archive.parent, archive.name)
        yield from _tarred(io.BytesIO(tar), wanted, max_bytes)
    else:
        with archive.open("rb") as file:
            yield from _tarred(file, wanted, max_bytes)


def _zipped(archive: Path, wanted: _Wanted, max_bytes: int) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(archive) as wheel:
        for each in wheel.infolist():
            if not each.is_dir() and each.file_size <= max_bytes and wanted(each.filename):
                yield each.filename, wheel.read(each)


def _tarred(file: BinaryIO, wanted: _Wanted, max_bytes: int) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(fileobj=file, mode="r|*") as tar:
        for each in tar:
            if each.isfile() and each.size <= max_bytes and wanted(each.name):
                content = tar.extractfile(each)
                if content is not None:
                    yield each.name, content.read()
