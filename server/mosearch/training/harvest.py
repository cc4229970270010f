"""Downloading packages through their own package managers: the raw material of training.

Clients are called one at a time.  A package that is on disk is never asked for again, and one that failed
is not asked for twice, so the command can be stopped and repeated.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mosearch.errors import UsageError
from mosearch.registries import CLIENTS, archive_version, fetch, is_archive, known_to_apt


@dataclass(frozen=True, slots=True)
class Source:
    """One `[[source]]` of the package list: names given, or a pattern over what `apt-cache` knows."""

    manager: str
    label: str
    names: tuple[str, ...] = ()
    pattern: str = ""
    min_kb: int = 0
    max_kb: int = 1 << 20
    limit: int = 1 << 20


@dataclass(frozen=True, slots=True)
class Package:
    """A line of the manifest.  `files` are relative to the harvest folder; empty after a failure."""

    manager: str
    name: str
    version: str
    files: tuple[str, ...]
    sha256: tuple[str, ...]
    error: str = ""


def read_sources(table: dict[str, Any]) -> tuple[list[Source], tuple[str, ...]]:
    """The sources and the excluded name patterns of a parsed package list."""
    sources = []
    for entry in table["source"]:
        fields = dict(entry)
        names = tuple(dict.fromkeys(fields.pop("names", "").split()))
        label = fields.pop("label", fields["manager"])
        sources.append(Source(label=label, names=names, **fields))
    unknown = {source.manager for source in sources} - set(CLIENTS)
    if unknown:
        raise UsageError(f"unknown package manager {sorted(unknown)}; known are {sorted(CLIENTS)}")
    return sources, tuple(table.get("exclude", ()))


def is_excluded(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def drawn_order(names: Iterable[str]) -> list[str]:
    """Names in an order that looks random but is the same everywhere and for ever."""
    return sorted(set(names), key=lambda name: hashlib.sha256(name.encode()).digest())


def harvest(sources: Iterable[Source], exclude: tuple[str, ...], folder: Path) -> Iterator[Package]:
    """Fetch what is missing below `folder`; yield each package's manifest line as it is written.

    Sources take turns, a package each, so that a harvest that is cut short is broad.
    """
    folder.mkdir(parents=True, exist_ok=True)
    manifest = folder / "manifest.jsonl"
    done = {(package.manager, package.name) for package in read_manifest(manifest)}
    queues = [_wanted(source, exclude) for source in sources]
    managers = [source.manager for source in sources]
    with manifest.open("a", encoding="utf-8") as out:
        for turn in range(max(map(len, queues), default=0)):
            for manager, queue in zip(managers, queues, strict=True):
                if turn >= len(queue) or (manager, queue[turn]) in done:
                    continue
                done.add((manager, queue[turn]))
                package = _fetch(manager, queue[turn], folder)
                out.write(json.dumps(asdict(package)) + "\n")
                out.flush()
                yield package


def read_manifest(path: Path) -> list[Package]:
    """All lines of a manifest; an absent file has none, and a torn last line is dropped."""
    if not path.exists():
        return []
    packages = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            fields = json.loads(line)
        except json.JSONDecodeError:
            continue
        fields["files"], fields["sha256"] = tuple(fields["files"]), tuple(fields["sha256"])
        packages.append(Package(**fields))
    return packages


def _wanted(source: Source, exclude: tuple[str, ...]) -> list[str]:
    names = list(source.names) or _apt_names(source)
    return [name for name in names if not is_excluded(name, exclude)][: source.limit]


def _apt_names(source: Source) -> list[str]:
    """Packages known to apt that match the pattern and the size bounds, in drawn order."""
    pattern = re.compile(source.pattern)
    return drawn_order(
        name
        for name, size in known_to_apt()
        if source.min_kb <= size <= source.max_kb and pattern.search(name)
    )


def _fetch(manager: str, name: str, folder: Path) -> Package:
    """Run the client in a folder of the package's own and record what it left there.

    A source package whose packaging files cannot be had, but whose sources can, is good enough.
    """
    target = folder / manager / re.sub(r"[^\w.@+-]", "_", name)
    target.mkdir(parents=True, exist_ok=True)
    trouble = ""
    try:
        fetch(manager, name, target)
    except UsageError as error:
        trouble = str(error)
    files = sorted(path for path in target.iterdir() if path.is_file())
    if not any(is_archive(path) for path in files):
        return Package(manager, name, "", (), (), trouble or "it holds no archive of sources")
    hashes = tuple(hashlib.sha256(path.read_bytes()).hexdigest() for path in files)
    names = tuple(path.relative_to(folder).as_posix() for path in files)
    return Package(
        manager, name, archive_version(next(path.name for path in files if is_archive(path))), names, hashes
    )
