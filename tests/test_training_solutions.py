"""Repositories of solved tasks: what is read from a clone, and the pairs made of it."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from mosearch.errors import UsageError
from mosearch.training import solutions
from mosearch.training.clones import extract
from mosearch.training.commands import PACKAGE_LIST
from mosearch.training.leaks import keys
from mosearch.training.recipe import read_toml
from mosearch.training.solutions import Solution, Source, question, statement

SOURCE = Source("me/tasks", "MIT", r"^sol/(?P<task>[\w-]+)/\w+\.\w+$", r"^sol/(?P<task>[\w-]+)/README\.md$")
PYTHON = (
    "class Solution:\n    def twoSum(self, a, goal):\n        seen = set()\n        return goal in seen\n"
)
GO = "package x\n\nfunc twoSum(a []int, goal int) bool {\n\tseen := map[int]bool{}\n\treturn seen[goal]\n}\n"
PAGE = """---
tags: [x]
---
# [1. Two Sum](https://example.org)

<p>Given an array of integers <code>a</code>, look for two&nbsp;numbers. Return whether two of them add up to
<code>goal</code>.</p>

<p>Example 1: no more of this</p>
"""


@pytest.fixture(scope="module")
def clones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one clone, whose one task is solved twice."""
    folder = tmp_path_factory.mktemp("clones")
    clone = folder / "me+tasks"
    for name, text in (("a.py", PYTHON), ("b.go", GO), ("README.md", PAGE), ("c.txt", "no code")):
        file = clone / "sol" / "two-sum" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "all"]):
        identity = ["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", "-C", str(clone), *identity, *command], check=True)
    return folder


def test_solutions_of_a_clone_share_their_task(clones: Path, tmp_path: Path) -> None:
    absent = replace(SOURCE, repository="me/absent")
    assert list(extract([SOURCE, absent], clones, tmp_path, solutions.solutions)) == [("me/tasks", 2)]
    assert list(extract([SOURCE, absent], clones, tmp_path, solutions.solutions)) == []
    found = list(solutions.read(tmp_path.glob("*.gz")))
    assert {(one.language, one.task, one.names) for one in found} == {
        ("python", "two sum", ("twoSum",)),
        ("go", "two sum", ("twoSum",)),
    }
    assert all(one.licence == "MIT" and "two numbers. Return whether" in one.statement for one in found)
    assert all("package" not in one.code and "class" not in one.code for one in found)


def test_a_folder_without_git_is_refused(tmp_path: Path) -> None:
    (tmp_path / "me+tasks").mkdir()
    with pytest.raises(UsageError, match="git"):
        list(extract([SOURCE], tmp_path, tmp_path / "out", solutions.solutions))


def test_a_statement_is_prose_without_examples() -> None:
    told = statement(PAGE)
    assert told.startswith("Given an array of integers a,") and told.endswith("add up to goal.")
    assert statement("# Only a title\n") == ""


def test_questions_name_state_or_wish() -> None:
    asked = {question("two sum", statement(PAGE), Random(seed)) for seed in range(60)}
    assert "two sum" in asked
    assert "Write a function to return whether two of them add up to goal" in asked
    assert question("two sum", "", Random(1)).endswith("two sum")


def _solution(language: str, code: str) -> Solution:
    return Solution("two sum", statement(PAGE), language, ("twoSum",), code, code, "me/tasks", "MIT")


def test_pairs_join_languages_and_leave_out_leaks_and_copies() -> None:
    found = [_solution("python", PYTHON), _solution("go", GO), _solution("go", GO)]
    made = list(solutions.pairs(found, set(), (7, 10), 1))
    assert sorted(pair.kind for pair in made) == ["cross", "text", "text"]
    assert [pair.kind for pair in solutions.pairs(found, set(keys(GO)), (7, 10), 1)] == ["text"]
    masked = [next(solutions.pairs(found, set(), (0, 1), seed)) for seed in range(20)]
    both = [("twoSum" in pair.left, "twoSum" in pair.right) for pair in masked]
    assert set(both) == {(False, False), (True, True)}


def test_the_bundled_list_of_repositories_is_readable() -> None:
    found = solutions.read_sources(read_toml(PACKAGE_LIST))
    assert len({source.repository for source in found}) == len(found) > 15
    assert all("(?P<task>" in source.solution and source.licence for source in found)
