"""Fetch and unpack the pinned code bases with the clients that a developer has anyway.

Nothing on the system changes: apt-get gets private source lists, package lists and caches.
"""

from __future__ import annotations

import getpass
import hashlib
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_LONGEST_OUTPUT = 2000


class FetchError(Exception):
    """A code base cannot be had on this machine; the message says why."""


@dataclass(frozen=True, slots=True)
class Codebase:
    """One table of `codebases.toml`."""

    name: str
    language: str
    client: str
    package: str
    version: str
    sha256: str


@dataclass(frozen=True, slots=True)
class _Done:
    stdout: str
    stderr: str


def fetch(codebase: Codebase, cache: Path) -> Path:
    """The folder that holds the code base, downloaded and unpacked if that was not done before.

    Raises `FetchError`.
    """
    target = cache / "src" / f"{codebase.name}-{codebase.version}"
    if not target.is_dir():
        _unpack(_archive(codebase, cache), target)
    inside = list(target.iterdir())
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else target


def _archive(codebase: Codebase, cache: Path) -> Path:
    folder = cache / "archives" / codebase.name
    folder.mkdir(parents=True, exist_ok=True)
    found = _with_digest(folder, codebase.sha256)
    if found is not None:
        return found
    trouble = _CLIENTS[codebase.client](codebase, folder, cache)
    # Of a source package, one file may be missing (the distribution's own patches) and the archive there.
    found = _with_digest(folder, codebase.sha256)
    if found is None:
        got = ", ".join(sorted(file.name for file in folder.iterdir())) or "nothing"
        raise FetchError(
            f"{codebase.client} does not offer {codebase.package} {codebase.version} with the pinned digest "
            f"here; it gave {got}. {trouble}"
        )
    return found


def _with_digest(folder: Path, sha256: str) -> Path | None:
    for file in folder.iterdir():
        if file.is_file() and hashlib.sha256(file.read_bytes()).hexdigest() == sha256:
            return file
    return None


def _from_pip(codebase: Codebase, folder: Path, _: Path) -> str:
    wanted = f"{codebase.package}=={codebase.version}"
    options = ["--no-deps", "--only-binary=:all:", "--dest", str(folder)]
    return _run([sys.executable, "-m", "pip", "download", *options, wanted], folder).stderr


def _from_npm(codebase: Codebase, folder: Path, _: Path) -> str:
    return _run(["npm", "pack", f"{codebase.package}@{codebase.version}"], folder).stderr


def _from_apt(codebase: Codebase, folder: Path, cache: Path) -> str:
    """The source package by apt-get, as any user, from the system's own sources turned into `deb-src`."""
    private = cache / "apt"
    options = _apt_options(private)
    if not any((private / "lists").glob("*_Sources*")):
        # A source that cannot be reached fails the command, though the others are usable.
        _run(["apt-get", *options, "update"], folder)
    return _run(["apt-get", *options, "source", "--download-only", codebase.package], folder).stderr


def _apt_options(private: Path) -> list[str]:
    for name in ("lists/partial", "cache/archives/partial", "sources.list.d"):
        (private / name).mkdir(parents=True, exist_ok=True)
    _write_source_lists(private)
    settings = {
        "Dir::Etc::sourcelist": private / "sources.list",
        "Dir::Etc::sourceparts": private / "sources.list.d",
        "Dir::State::lists": private / "lists",
        "Dir::Cache": private / "cache",
        # Root's helper user could not write into a private folder.
        "APT::Sandbox::User": getpass.getuser(),
    }
    return [part for name, value in settings.items() for part in ("-o", f"{name}={value}")]


def _write_source_lists(private: Path) -> None:
    names = ("ONE", "Dir::Etc::sourcelist/f", "MORE", "Dir::Etc::sourceparts/d")
    answer = _run(["apt-config", "shell", *names], private).stdout
    places = dict(part.split("=", 1) for part in shlex.split(answer))
    lists = [Path(places["ONE"]), *sorted(Path(places["MORE"]).glob("*"))]
    for file in lists:
        if not file.is_file() or file.suffix not in (".list", ".sources"):
            continue
        text = file.read_text("utf-8", "replace")
        text = re.sub(r"(?m)^deb\s", "deb-src ", text)
        text = re.sub(r"(?mi)^Types:.*$", "Types: deb-src", text)
        (private / "sources.list.d" / file.name).write_text(text, "utf-8")
    (private / "sources.list").write_text("", "utf-8")


_CLIENTS = {"pip": _from_pip, "npm": _from_npm, "apt": _from_apt}


def _run(command: Sequence[str], folder: Path) -> _Done:
    """Run a client to its end.  Whether it did its work is seen from the files, not from its status."""
    if shutil.which(command[0]) is None:
        raise FetchError(f"{command[0]} is not installed.")
    done = subprocess.run(
        command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    return _Done(done.stdout, done.stderr.strip()[-_LONGEST_OUTPUT:])


def _unpack(archive: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as draft:
        content = Path(draft) / "content"
        content.mkdir()
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as zipped:
                zipped.extractall(content)  # drops `..` and absolute names itself
        else:
            with tarfile.open(archive) as tar:
                tar.extractall(content, filter="data")
        content.rename(target)
