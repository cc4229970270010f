"""Reading package archives without unpacking or running them: wheels, npm tarballs, Debian packages."""

from __future__ import annotations

import io
import json
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from mosearch.errors import UsageError

MAX_MEMBER_BYTES = 400_000
"""Longer source files are nearly always generated or bundled."""

_AR_MAGIC = b"!<arch>\n"
_AR_HEADER = 60


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


def members(path: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """Yield (path inside the archive, content) of the wanted regular files of at most 400 kB.

    A damaged archive ends early: half a package is still training data.
    """
    try:
        if path.suffix in (".whl", ".zip"):
            yield from _zip_members(path, wanted)
        elif path.suffix == ".deb":
            yield from _tar_members(io.BytesIO(_deb_data(path)), wanted)
        elif ".tar." in path.name or path.suffix == ".tgz":
            with path.open("rb") as file:
                yield from _tar_members(file, wanted)
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError):
        return


def licence(paths: list[Path]) -> str:
    """The licence a package declares, as it words it; else the family of its licence text; else empty."""
    for pattern, read in ((_DECLARATION, _declared), (_LICENCE_TEXT, _family)):
        for path in paths:
            for name, content in members(path, _matching(pattern)):
                found = read(name, content.decode("utf-8", "replace"))
                if found:
                    return found
    return ""


_DECLARATION = re.compile(r"(\.dist-info/METADATA|^package/package\.json|(^|/)(debian|doc/[^/]+)/copyright)$")

_LICENCE_TEXT = re.compile(r"^[^/]*/?(LICEN[CS]E|COPYING)(\.\w+)?$", re.IGNORECASE)
_FAMILIES = {
    "GNU LESSER GENERAL": "LGPL",
    "GNU LIBRARY GENERAL": "LGPL",
    "GNU AFFERO": "AGPL",
    "GNU GENERAL PUBLIC": "GPL",
    "APACHE LICENSE": "Apache",
    "MOZILLA PUBLIC": "MPL",
    "ECLIPSE PUBLIC": "EPL",
    "PERMISSION IS HEREBY GRANTED, FREE OF CHARGE": "MIT",
    "REDISTRIBUTION AND USE IN SOURCE": "BSD",
}


def _matching(pattern: re.Pattern[str]) -> Callable[[str], bool]:
    return lambda name: pattern.search(name) is not None


def _family(_name: str, text: str) -> str:
    head = " ".join(text[:3000].upper().split())
    return next((family for mark, family in _FAMILIES.items() if mark in head), "")


def _declared(name: str, text: str) -> str:
    if name.endswith("package.json"):
        try:
            value = json.loads(text).get("license", "")
        except (json.JSONDecodeError, AttributeError):
            return ""
        return str(value.get("type", "") if isinstance(value, dict) else value)
    if name.endswith("METADATA"):
        return _wheel_licence(text)
    match = re.search(r"^Files:\s*\*.*?^License:\s*(\S[^\n]*)", text, re.MULTILINE | re.DOTALL)
    return match.group(1).strip() if match else ""


def _wheel_licence(metadata: str) -> str:
    head = metadata.split("\n\n", 1)[0]
    for field in ("License-Expression", "Classifier: License"):
        match = re.search(rf"^{field}\s*:+\s*(?:OSI Approved\s*::\s*)?(\S[^\n]*)", head, re.MULTILINE)
        if match:
            return match.group(1).strip()
    match = re.search(r"^License: (\S[^\n]{0,80})$", head, re.MULTILINE)
    return match.group(1).strip() if match else ""


def _zip_members(path: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if not info.is_dir() and info.file_size <= MAX_MEMBER_BYTES and wanted(info.filename):
                yield info.filename, archive.read(info)


def _tar_members(file: io.BufferedIOBase, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(fileobj=file, mode="r|*") as archive:
        for info in archive:
            if info.isfile() and info.size <= MAX_MEMBER_BYTES and wanted(info.name):
                content = archive.extractfile(info)
                if content is not None:
                    yield info.name, content.read()


def _deb_data(path: Path) -> bytes:
    """The `data.tar.*` member of a `.deb`, which is an `ar` archive (deb(5))."""
    data = path.read_bytes()
    if not data.startswith(_AR_MAGIC):
        raise UsageError(f"{path} is no Debian package; delete it and harvest again")
    offset = len(_AR_MAGIC)
    while offset + _AR_HEADER <= len(data):
        name = data[offset : offset + 16].decode("ascii", "replace").strip(" /")
        size = int(data[offset + 48 : offset + 58])
        offset += _AR_HEADER
        if name.startswith("data.tar"):
            return data[offset : offset + size]
        offset += size + size % 2
    return b""
