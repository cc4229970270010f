"""What commits say, with a function that each of them changes: questions as asked inside one repository.

A `[[histories]]` entry of the package list names a repository.  Local clones are read with git, bare or not.
Which part of a message asks for something, and which functions a commit touches, is as in
`mosearch.evaluation`, but functions are taken as they are after the commit.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice, zip_longest
from pathlib import Path
from random import Random
from typing import Any

import cattrs

from mosearch import git
from mosearch.errors import UsageError
from mosearch.evaluation.history import changed_chunks, is_robot
from mosearch.evaluation.messages import Asked, question_from
from mosearch.parsing import language_of, parse
from mosearch.ranking.traits import traits
from mosearch.training import records
from mosearch.training.clones import blobs
from mosearch.training.filters import MAX_CODE_CHARACTERS, MIN_CODE_LINES, wanted_path
from mosearch.training.functions import LANGUAGES
from mosearch.training.leaks import leaks
from mosearch.training.pairs import Pair

MAX_COMMITS = 2500
"""Usable commits taken of one repository, the newest ones."""
_LOOKED_AT = 3 * MAX_COMMITS
_AT_ONCE = 500
"""Commits whose diffs are in memory together."""
MAX_FILES = 3
MAX_CHANGES = 6
"""Functions that a commit changes; more are a mass edit, and no answer to what it says."""
MAX_DIFF_CHARACTERS = 60_000
MAX_FILE_BYTES = 200_000

_LOG = (
    *("--no-merges", "--no-renames", "--diff-filter=M", "--unified=0", "--no-color", "--no-ext-diff"),
    *("--patch", "--full-index", "--format=%x01%an%x00%s%x00%b%x02"),
)
_FILE = re.compile(r"^diff --git a/(.*?) b/\1$\nindex [0-9a-f]+\.\.([0-9a-f]+)", re.MULTILINE)
_HUNK = re.compile(r"^@@ -\d+(?:,\d+)? \+(\d+)(?:,(\d+))? @@", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Source:
    """One `[[histories]]` entry."""

    repository: str
    licence: str


@dataclass(frozen=True, slots=True)
class Change:
    """A function that a commit changes, after it."""

    language: str
    context: str
    """The line that the index puts before it."""
    code: str

    @property
    def text(self) -> str:
        return f"{self.context}\n{self.code}" if self.context else self.code


@dataclass(frozen=True, slots=True)
class Commit:
    wordings: tuple[str, ...]
    """The subject, and the first prose of the body if there is any."""
    changes: tuple[Change, ...]
    """At least one."""
    repository: str
    licence: str


@dataclass(frozen=True, slots=True)
class _Edit:
    """A file that a commit modifies: its blob afterwards, and (first line, lines) of what is new in it."""

    path: str
    blob: str
    hunks: tuple[tuple[int, int], ...]


def read_sources(table: Mapping[str, Any]) -> list[Source]:
    """The `[[histories]]` entries of a parsed package list."""
    return [Source(**entry) for entry in table.get("histories", ())]


def read(files: Iterable[Path]) -> Iterator[Commit]:
    """All commits of the files that `extract` wrote."""
    converter = cattrs.Converter()
    for file in files:
        for row in records.read(file):
            yield converter.structure(row, Commit)


def commits(source: Source, clone: Path) -> Iterator[Commit]:
    """The newest usable commits of a repository, newest first, MAX_COMMITS at most.

    Raises UsageError when it is no git repository.
    """
    return islice(_all(source, clone), MAX_COMMITS)


def _all(source: Source, clone: Path) -> Iterator[Commit]:
    git.text(clone, "rev-parse", "HEAD")
    for start in range(0, _LOOKED_AT, _AT_ONCE):
        try:
            log = git.text(clone, "log", *_LOG, f"--skip={start}", f"--max-count={_AT_ONCE}")
        except UsageError:
            continue  # a clone can lack its largest files, and git gives up where it comes to one
        if not log:
            return
        yield from _usable(source, clone, log)


def _usable(source: Source, clone: Path, log: str) -> Iterator[Commit]:
    said = list(_said(log))
    edits = [edit for _, files in said for edit in files]
    sources = dict(blobs(clone, dict.fromkeys(edit.blob for edit in edits), MAX_FILE_BYTES))
    for wordings, files in said:
        changes = [change for edit in files for change in _changes(edit, sources.get(edit.blob, b""))]
        if 0 < len(changes) <= MAX_CHANGES:
            yield Commit(wordings, tuple(changes), source.repository, source.licence)


def fresh(found: Iterable[Commit], forbidden: set[int]) -> Iterator[Commit]:
    """Without functions whose keys are forbidden; a commit that changes no other is left out."""
    for commit in found:
        kept = tuple(one for one in commit.changes if not leaks(one.code, one.code, forbidden))
        if kept:
            yield replace(commit, changes=kept)


def pairs(found: Iterable[Commit], seed: int) -> Iterator[Pair]:
    """One pair of each wording, with a function drawn from those that the commit changes."""
    draw = Random(seed)
    for commit in found:
        for wording in commit.wordings:
            change = draw.choice(commit.changes)
            yield Pair("text", change.language, wording, change.text)


def _said(log: str) -> Iterator[tuple[tuple[str, ...], list[_Edit]]]:
    """What each commit of a log says, and what it edits, for those that say something and edit few files."""
    for entry in log.encode("utf-8", "surrogateescape").decode("utf-8", "replace").split("\x01"):
        message, _, diff = entry.partition("\x02")
        author, _, told = message.partition("\0")
        subject, _, body = told.partition("\0")
        asked = question_from(subject, body, Asked.SUBJECT)
        if not asked or is_robot(author) or len(diff) > MAX_DIFF_CHARACTERS:
            continue
        edits = [edit for edit in _edits(diff) if wanted_path(edit.path)]
        if 0 < len(edits) <= MAX_FILES:
            wordings = (asked, question_from(subject, body, Asked.BODY))
            yield tuple(wording for wording in wordings if wording), edits


def _edits(diff: str) -> Iterator[_Edit]:
    files = list(_FILE.finditer(diff))
    for file, following in zip_longest(files, files[1:]):
        text = diff[file.end() : following.start() if following else len(diff)]
        hunks = tuple((int(first), int(lines or "1")) for first, lines in _HUNK.findall(text))
        yield _Edit(file[1], file[2], hunks)


def _changes(edit: _Edit, source: bytes) -> Iterator[Change]:
    language = language_of(edit.path, source[:2000])
    if language not in LANGUAGES:
        return
    for chunk in changed_chunks(parse(source, language, edit.path).chunks, edit.hunks):
        long_enough = chunk.text.count("\n") >= MIN_CODE_LINES
        if long_enough and not traits(edit.path, chunk) & {"test", "example", "vendored"}:
            yield Change(language, chunk.context, chunk.text[:MAX_CODE_CHARACTERS])
