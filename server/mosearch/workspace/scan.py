# Strings, not Path objects: these functions are asked for every entry of a tree.
# ruff: noqa: PTH118
"""The files of a workspace, found by walking it once."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

from mosearch.types import FileStat, SkippedFile, SkipReason
from mosearch.workspace.files import changed_ns, unreadable
from mosearch.workspace.ignore import MARKER_NAMES, IgnoreRules, Level, Verdict

DEFAULT_MAX_FILE_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class ScanResult:
    files: list[FileStat]
    """Sorted by path."""
    skipped: list[SkippedFile]
    """Sorted by path; ignored files are not among them."""


def scan(
    root: Path, *, max_file_bytes: int = DEFAULT_MAX_FILE_BYTES, rules: IgnoreRules | None = None
) -> ScanResult:
    """All files below `root` (as `resolve_root` returns it) that no rule ignores.

    Never raises for what it meets below the root: that is counted under `skipped`.
    """
    files: list[FileStat] = []
    skipped: list[SkippedFile] = []
    for found in walk(root, rules or IgnoreRules.load(root), max_file_bytes=max_file_bytes):
        if isinstance(found, FileStat):
            files.append(found)
        else:
            skipped.append(found)
    by_path = attrgetter("path")
    return ScanResult(sorted(files, key=by_path), sorted(skipped, key=by_path))


def walk(root: Path, rules: IgnoreRules, *, max_file_bytes: int) -> Iterator[FileStat | SkippedFile]:
    """As `scan`, one file at a time, in no particular order."""
    top = rules.root_level
    # A sub-folder waits with the level of its parent: its own needs its listing.
    waiting: list[tuple[Level, str, Verdict]] = []
    entries = _listing(os.fspath(root))
    if isinstance(entries, OSError):
        yield unreadable("", entries)
        return
    cut = len(top.prefix)
    yield from _visit(entries, top, rules, cut, max_file_bytes, waiting)
    while waiting:
        parent, name, verdict = waiting.pop()
        entries = _listing(os.path.join(parent.folder, name))
        if isinstance(entries, OSError):
            if not isinstance(entries, FileNotFoundError):
                yield unreadable(parent.prefix[cut:] + name, entries)
            continue
        markers = [entry.name for entry in entries if entry.name in MARKER_NAMES]
        level = rules.enter(parent, name, verdict, markers)
        if level is not None:
            yield from _visit(entries, level, rules, cut, max_file_bytes, waiting)


def _listing(folder: str) -> list[os.DirEntry[str]] | OSError:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        return error


def _visit(
    entries: list[os.DirEntry[str]],
    level: Level,
    rules: IgnoreRules,
    cut: int,
    max_file_bytes: int,
    waiting: list[tuple[Level, str, Verdict]],
) -> Iterator[FileStat | SkippedFile]:
    """Yield the files of one folder and put its sub-folders on `waiting`."""
    prefix = level.prefix[cut:]
    for entry in entries:
        name = entry.name
        try:
            is_link = _is_link(entry)
            is_dir = not is_link and entry.is_dir(follow_symlinks=False)
            verdict = rules.verdict(level, name, is_dir)
            if verdict is Verdict.IGNORED:
                continue
            if not name.isascii() and not _is_utf8(name):
                yield SkippedFile(prefix + _shown(name), SkipReason.BAD_NAME)
            elif is_link:
                yield SkippedFile(prefix + name, SkipReason.SYMLINK)
            elif is_dir:
                waiting.append((level, name, verdict))
            elif not entry.is_file(follow_symlinks=False):
                yield SkippedFile(prefix + name, SkipReason.SPECIAL)
            else:
                yield _file(entry, prefix + name, max_file_bytes)
        except FileNotFoundError:
            continue
        except OSError as error:
            yield unreadable(prefix + _shown(name), error)


def _file(entry: os.DirEntry[str], path: str, max_file_bytes: int) -> FileStat | SkippedFile:
    status = entry.stat(follow_symlinks=False)
    if status.st_size > max_file_bytes:
        return SkippedFile(path, SkipReason.OVERSIZED, f"{status.st_size} bytes")
    return FileStat(path, status.st_size, changed_ns(status))


def _shown(name: str) -> str:
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _is_link(entry: os.DirEntry[str]) -> bool:
    # A junction is Windows' other way to make a loop of folders.
    return entry.is_symlink() or (sys.version_info >= (3, 12) and entry.is_junction())


def _is_utf8(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
