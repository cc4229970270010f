"""Commits as questions: which ones, and what counts as their answer."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from mosearch import parsing
from mosearch.errors import UsageError
from mosearch.evaluation.history import cases, changed_chunks, check_out, clone, question_of
from mosearch.evaluation.history_cli import history_command
from mosearch.evaluation.judging import Target

BEFORE = """\
def connect(host):
    retries = 3
    return host, retries


class Pool:
    def acquire(self):
        self.waiting += 1
        item = self.free.pop()
        self.waiting -= 1
        return self.checked(item, self.host)

    def release(self, item):
        self.free.append(item)
"""
AFTER = BEFORE.replace("retries = 3", "retries = 5").replace(
    "        item = self.free.pop()\n", "        item = self.free.pop() if self.free else self.none()\n"
)


@pytest.mark.parametrize(
    ("subject", "question"),
    [
        ("fix(pool): Raise when no connection is free (#123)", "Raise when no connection is free"),
        ("Retry more often before giving up. Fixes #9", "Retry more often before giving up"),
        ("Bump requests from 2.1 to 2.2", ""),
        ("docs: explain retries of the pool", ""),
        ("v1.2.0", ""),
        ("Fix bug", ""),
        ("Merge branch 'main' of somewhere", ""),
    ],
)
def test_subjects_that_say_something_are_questions(subject: str, question: str) -> None:
    assert question_of(subject) == question


@pytest.mark.parametrize(
    ("hunk", "symbols"),
    [
        ((2, 1), ["connect"]),
        ((2, 7), ["connect", "acquire"]),
        ((7, 0), ["acquire"]),
        ((11, 0), []),
        ((4, 2), []),
        ((14, 0), []),
    ],
)
def test_the_functions_that_a_hunk_touches(hunk: tuple[int, int], symbols: list[str]) -> None:
    chunks = parsing.parse(BEFORE.encode(), "python").chunks
    assert [chunk.symbol for chunk in changed_chunks(chunks, [hunk])] == symbols


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    _git(folder, "init", "-q")
    _commit(folder, BEFORE, "Add a pool of connections", "Ann")
    _commit(folder, AFTER, "Raise an error when no connection is free", "Ann")
    _commit(folder, AFTER + "\n\nMORE = 1\n", "Keep one more connection around", "Ann")
    _commit(folder, BEFORE, "Pool connections as they were before", "renovate[bot]")
    return folder


def _git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=Ann", "-c", "user.email=ann@example.com")
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True)


def _commit(folder: Path, text: str, subject: str, author: str) -> None:
    (folder / "pool.py").write_text(text)
    _git(folder, "add", "-A")
    _git(folder, "commit", "-q", "-m", subject, f"--author={author} <a@example.com>")


def test_cases_are_commits_that_change_functions(repository: Path, tmp_path: Path) -> None:
    (case,) = cases(repository, 10)
    assert case.question == "Raise an error when no connection is free"
    assert case.functions == (Target("pool.py", 1, 3), Target("pool.py", 7, 11))
    assert case.files == (Target("pool.py"),)
    tree = clone(repository, tmp_path / "tree")
    check_out(tree, case)
    assert (tree / "pool.py").read_text() == BEFORE
    assert (repository / "pool.py").read_text() == BEFORE  # the last commit's, untouched


def test_what_is_no_repository_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="git log failed"):
        cases(tmp_path, 1)


def test_the_command_finds_what_the_commit_changed(
    repository: Path, use_tiny_model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MOSEARCH_CACHE_DIR", str(tmp_path / "unused"))
    done = CliRunner().invoke(history_command, ["--root", str(repository), "--no-rerank", "--tune"])
    assert done.exit_code == 0, done.output
    assert "1 commits" in done.output
    assert "too few" in done.output
    assert not (tmp_path / "unused").exists()
