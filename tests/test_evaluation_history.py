"""Commits as questions: which ones, and what counts as their answer."""

from __future__ import annotations

import json
import pickle
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from mosearch import parsing
from mosearch.errors import UsageError
from mosearch.evaluation.history import cases, changed_chunks, check_out, clone
from mosearch.evaluation.history_cli import history_command
from mosearch.evaluation.judging import Target
from mosearch.evaluation.messages import Asked
from mosearch.evaluation.tune_cli import tune_command

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
BODY = "Callers waited for ever when all connections of the pool were taken.\n\nFixes #12\n"
PROSE = "Callers waited for ever when all connections of the pool were taken"


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
    _commit(folder, AFTER, f"Raise an error when no connection is free\n\n{BODY}", "Ann")
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


def test_bodies_ask_about_the_same_functions(repository: Path) -> None:
    (subject,) = cases(repository, 10)
    (body,) = cases(repository, 10, Asked.BODY)
    assert body == replace(subject, question=PROSE)
    (both,) = cases(repository, 10, Asked.BOTH)
    assert both == replace(subject, question=f"{subject.question}. {PROSE}")


def test_what_is_no_repository_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="git log failed"):
        cases(tmp_path, 1)


def test_the_command_finds_what_the_commit_changed(
    repository: Path, use_tiny_model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MOSEARCH_CACHE_DIR", str(tmp_path / "unused"))
    done = CliRunner().invoke(history_command, ["--root", str(repository), "--no-rerank", "--tune"])
    assert done.exit_code == 0, done.output
    assert "1 commits, " in done.output
    assert "too few" in done.output
    assert not (tmp_path / "unused").exists()


def test_what_bodies_asked_is_kept_beside_what_subjects_asked(
    repository: Path, use_tiny_model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MOSEARCH_CACHE_DIR", str(tmp_path / "unused"))
    also = []
    for asked in ("subject", "body"):
        kept, figures = tmp_path / asked / "pool.pkl", tmp_path / asked / "figures.json"
        kept.parent.mkdir()
        wanted = (
            "--root",
            repository,
            "--no-rerank",
            "--keep",
            kept,
            "--json",
            figures,
            "--questions",
            asked,
        )
        done = CliRunner().invoke(history_command, [*map(str, wanted)], catch_exceptions=False)
        assert done.exit_code == 0
        assert ("1 commits (body), " in done.output) is (asked == "body")
        assert json.loads(figures.read_text())["asked"] == asked
        also += ["--also", str(kept)]
    (question,) = json.loads(figures.read_text())["questions"]
    assert question["question"] == PROSE
    empty, weights = tmp_path / "empty.pkl", tmp_path / "weights.json"
    empty.write_bytes(pickle.dumps({}))
    fitted = ("--checkouts", tmp_path, "--keep", empty, "--json", weights, "--no-leave-out")
    done = CliRunner().invoke(tune_command, [*map(str, fitted), *also], catch_exceptions=False)
    assert done.exit_code == 0
    assert list(json.loads(weights.read_text())["before"]) == ["pool, history", "pool, history (body)"]
