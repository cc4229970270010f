"""A repository's own history as a test: what a commit says is the question, what it changed the answer.

For each commit, the tree is the one before it, and the right answers are the functions of that tree
which the commit changes.  Merges, robots, releases, mass edits and messages that say nothing are left
out; `mosearch.evaluation.messages` says which part of a message is asked.  The repository itself is only
read: everything happens in a clone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mosearch import git, parsing
from mosearch.errors import UsageError
from mosearch.evaluation.judging import Target
from mosearch.evaluation.messages import Asked, question_from
from mosearch.ranking.traits import traits
from mosearch.types import Chunk, Span, SymbolKind

_MOST_FILES = 8
_MOST_FUNCTIONS = 12
_LOOKED_AT = 40
"""Commits looked at for each one wanted; most of some histories are robots' or about documentation."""

_ROBOT = re.compile(r"\[bot\]|dependabot|renovate|greenkeeper|github-actions|pre-commit", re.IGNORECASE)
_HUNK = re.compile(r"^@@ -(\d+)(?:,(\d+))? \+", re.MULTILINE)
_FUNCTIONS = frozenset({SymbolKind.FUNCTION, SymbolKind.METHOD, SymbolKind.CONSTRUCTOR, SymbolKind.OPERATOR})


@dataclass(frozen=True, slots=True)
class Case:
    """One commit as a question, to be asked about the tree of its parent."""

    commit: str
    question: str
    functions: tuple[Target, ...]
    """What the commit changes, as lines of the parent's files."""

    @property
    def files(self) -> tuple[Target, ...]:
        return tuple(Target(path) for path in dict.fromkeys(each.path for each in self.functions))


def clone(root: Path, folder: Path) -> Path:
    """A clone of the repository at `root` without files, which shares its objects.  Raises UsageError."""
    git.text(root, "clone", "--quiet", "--shared", "--no-checkout", str(root), str(folder))
    return folder


def check_out(folder: Path, case: Case) -> None:
    """Let the clone show the tree before the case's commit.  Raises UsageError."""
    git.text(folder, "checkout", "--quiet", "--force", "--detach", f"{case.commit}^")


def cases(repository: Path, count: int, asked: Asked = Asked.SUBJECT) -> list[Case]:
    """The newest `count` commits that make a question, oldest first.  Raises UsageError."""
    found: list[Case] = []
    for commit, question in _questions(repository, count * _LOOKED_AT, asked):
        functions = _changed_functions(repository, commit)
        if 0 < len(functions) <= _MOST_FUNCTIONS:
            found.append(Case(commit, question, tuple(functions)))
            if len(found) == count:
                break
    return found[::-1]


def changed_chunks(chunks: Sequence[Chunk], hunks: Sequence[tuple[int, int]]) -> list[Chunk]:
    """The innermost functions that hunks touch, of long ones the first part.

    A hunk is (first line, lines), 1-based, of the old file.  One without lines inserts after its first line,
    and touches what goes on there.
    """
    functions: dict[Span, Chunk] = {}
    for chunk in chunks:
        if chunk.kind in _FUNCTIONS:
            functions.setdefault(chunk.symbol_span, chunk)
    touched: dict[Span, Chunk] = {}
    for first, lines in hunks:
        start, end = first - 1, first - 1 + max(lines - 1, 0)
        if not lines:
            over = [span for span in functions if span.start_line <= start < span.end_line]
        else:
            over = [span for span in functions if span.start_line <= end and start <= span.end_line]
        for span in over:
            if not any(other != span and _inside(other, span) for other in over):
                touched[span] = functions[span]
    return list(touched.values())


def is_robot(author: str) -> bool:
    """Whether the author of a commit is a program."""
    return _ROBOT.search(author) is not None


def _inside(inner: Span, outer: Span) -> bool:
    return outer.start_byte <= inner.start_byte and inner.end_byte <= outer.end_byte


def _questions(repository: Path, limit: int, asked: Asked) -> Iterator[tuple[str, str]]:
    """Commit and question, newest first."""
    log = git.text(
        repository, "log", "-z", "--no-merges", f"--max-count={limit}", "--format=%H%x00%an%x00%s%x00%b"
    )
    # What is asked goes to tokenizers, which take no surrogates.
    fields = iter(log.encode("utf-8", "surrogateescape").decode("utf-8", "replace").split("\0"))
    for commit, author, subject, body in zip(fields, fields, fields, fields, strict=False):
        question = "" if is_robot(author) else question_from(subject, body, asked)
        if question:
            yield commit, question


def _changed_functions(repository: Path, commit: str) -> list[Target]:
    """Functions of code that is no test, in files which the commit modifies; none for a mass edit."""
    try:
        options = ("-z", "--name-only", "--diff-filter=M", "--ignore-submodules")
        names = git.text(repository, "diff", *options, f"{commit}^", commit)
    except UsageError:
        return []  # the first commit has no parent
    paths = names.split("\0")[:-1]
    if len(paths) > _MOST_FILES:
        return []
    return [target for path in paths for target in _changed_in(repository, commit, path)]


def _changed_in(repository: Path, commit: str, path: str) -> Iterator[Target]:
    source = git.output(repository, "show", f"{commit}^:{path}")
    language = parsing.language_of(path, source)
    diff = git.text(repository, "diff", "--unified=0", f"{commit}^", commit, "--", path)
    hunks = [(int(first), int(lines or "1")) for first, lines in _HUNK.findall(diff)]
    for chunk in changed_chunks(parsing.parse(source, language, path).chunks, hunks):
        if not traits(path, chunk) & {"test", "example", "vendored"}:
            yield Target(path, chunk.symbol_span.start_line + 1, chunk.symbol_span.end_line + 1)
