"""Repositories that solve the same tasks in many languages: texts and functions that mean the same.

A `[[solutions]]` entry of the package list names a repository and says, by regular expressions over
paths, which files solve a task and which file states it.  Local clones are read with git, bare or not.
Tasks of the same name in different repositories are one task.
"""

from __future__ import annotations

import html
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from random import Random

from mosearch.parsing import language_of, parse
from mosearch.text import split_identifier
from mosearch.training import records
from mosearch.training.clones import contents, paths
from mosearch.training.filters import MAX_CODE_CHARACTERS, near_key, wanted_path
from mosearch.training.functions import KINDS, LANGUAGES
from mosearch.training.leaks import keys, leaks
from mosearch.training.pairs import Pair
from mosearch.training.variants import mask_name, reformat, rename_frequent

MAX_FILE_BYTES = 40_000
MAX_STATEMENT_WORDS = 60

_TASK = "task"
_TAGS = re.compile(r"<[^>]+>")
_STATEMENT_END = re.compile(
    r"\bExamples?\b.{0,3}:|\bExample \d|\bConstraints\b|^## (?!Description)", re.MULTILINE
)
_NO_PROSE = re.compile(
    r"\A---\n.*?\n---\n|<!--.*?-->|```.*?```|^\[[^\n]*\)\s*$|^#[^\n]*$", re.DOTALL | re.MULTILINE
)
_WISH = re.compile(
    r"(?:(?<=\. )|^)((?:Return|Find|Determine|Count|Calculate|Implement|Your task is to)\b[^.]{10,200})\."
)


@dataclass(frozen=True, slots=True)
class Source:
    """One `[[solutions]]` entry.  Both patterns have a group `task`; `statement` may be empty."""

    repository: str
    licence: str
    solution: str
    statement: str = ""


@dataclass(frozen=True, slots=True)
class Solution:
    """One file that solves a task."""

    task: str
    """The task's name as lower-case words."""
    statement: str
    """What the task is, in prose; may be empty."""
    language: str
    names: tuple[str, ...]
    """Of the functions defined in it."""
    code: str
    """Its functions."""
    full: str
    """The whole file."""
    repository: str
    licence: str


def read_sources(table: dict[str, list[dict[str, str]]]) -> list[Source]:
    """The `[[solutions]]` entries of a parsed package list."""
    return [Source(**entry) for entry in table.get("solutions", ())]


def read(files: Iterable[Path]) -> Iterator[Solution]:
    """All solutions of the files that `extract` wrote."""
    for file in files:
        for row in records.read(file):
            yield Solution(**{**row, "names": tuple(row["names"])})


def solutions(source: Source, clone: Path) -> Iterator[Solution]:
    """All usable solutions of a repository's newest commit."""
    all_paths = paths(clone)
    statements = {}
    if source.statement:
        pages = {path: found for path in all_paths if (found := _task(source.statement, path))}
        statements = {pages[path]: statement(text) for path, text in contents(clone, pages, MAX_FILE_BYTES)}
    solved = {
        path: found for path in all_paths if wanted_path(path) and (found := _task(source.solution, path))
    }
    for path, text in contents(clone, solved, MAX_FILE_BYTES):
        read_code = _functions(path, text)
        if read_code:
            task = solved[path]
            language, names, code = read_code
            stated = statements.get(task, "")
            yield Solution(task, stated, language, names, code, text, source.repository, source.licence)


def statement(text: str) -> str:
    """The first prose of a problem's page (Markdown or HTML), at most sixty words; empty if there is none."""
    plain = html.unescape(_TAGS.sub(" ", _NO_PROSE.sub(" ", text)))
    plain = re.sub(r"[`*_]+", "", _STATEMENT_END.split(plain)[0])
    words = re.sub(r"\s+([.,;:])", r"\1", " ".join(plain.split())).split()
    return " ".join(words[:MAX_STATEMENT_WORDS]) if len(words) > 5 else ""


def pairs(
    found: Iterable[Solution], forbidden: set[int], per_task: tuple[int, int], seed: int
) -> Iterator[Pair]:
    """At most `per_task` (text, cross) pairs of each task; copies and leaks are left out."""
    draw = Random(seed)
    texts, crosses = per_task
    for task, chosen in sorted(_by_task(found, forbidden).items()):
        draw.shuffle(chosen)
        stated = [solution.statement for solution in chosen if solution.statement] or [""]
        for number, solution in enumerate(chosen[:texts]):
            query = question(task, stated[number % len(stated)], draw)
            yield Pair("text", solution.language, query, _form(solution, draw))
        both = [pair for pair in combinations(chosen, 2) if pair[0].language != pair[1].language]
        for left, right in draw.sample(both, min(crosses, len(both))):
            masked = draw.random() < 0.75
            yield Pair("cross", right.language, _form(left, draw, masked), _form(right, draw, masked))


def question(task: str, stated: str, draw: Random) -> str:
    """A task as someone asks for it: its name, its statement, or the sentence that says what to return."""
    kind = draw.random()
    if not stated or kind < 0.25:
        opening = draw.choice(("", "", "write a function for ", "how to ", "write a function to find the "))
        return opening + task
    asked = _WISH.search(stated)
    if asked and kind < 0.6:
        wish = asked.group(1)
        wish = wish[:1].lower() + wish[1:]
        return draw.choice(("Write a function to ", "Write a python function to ", "")) + wish
    sentences = re.split(r"(?<=[.!?]) ", stated)
    return " ".join(sentences[:2]) if kind < 0.8 else f"{task}. {stated}"


def _by_task(found: Iterable[Solution], forbidden: set[int]) -> dict[str, list[Solution]]:
    seen: set[int] = set()
    tasks: dict[str, list[Solution]] = defaultdict(list)
    for solution in found:
        key = near_key(solution.code)
        if key not in seen and not leaks(solution.code, solution.full, forbidden):
            seen.update((key, *keys(solution.full)))
            tasks[solution.task].append(solution)
    return tasks


def _form(solution: Solution, draw: Random, masked: bool | None = None) -> str:
    code = solution.full if draw.random() < 0.35 else solution.code
    if masked if masked is not None else draw.random() < 0.5:
        for name in solution.names:
            code = mask_name(code, name)
    if draw.random() < 0.25:
        code = rename_frequent(code, draw)
    return reformat(code, draw) if draw.random() < 0.3 else code


def _functions(path: str, text: str) -> tuple[str, tuple[str, ...], str] | None:
    """(language, names, functions) of a file that parses and is no giant."""
    language = language_of(path, text[:2000].encode())
    if language not in LANGUAGES:
        return None
    chunks = [chunk for chunk in parse(text.encode(), language, path).chunks if chunk.kind in KINDS]
    code = "\n".join(chunk.text for chunk in chunks)
    if not chunks or len(code.splitlines()) < 3 or len(text) > MAX_CODE_CHARACTERS:
        return None
    names = tuple(dict.fromkeys(chunk.symbol for chunk in chunks))
    return language, names, code


def _task(pattern: str, path: str) -> str:
    found = re.search(pattern, path)
    words = split_identifier(found[_TASK].replace("-", "_").replace(" ", "_")) if found else []
    return " ".join(word.lower() for word in words)
