"""Commits of a clone as training material: what they say, what they change, and what is left out."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from mosearch import git
from mosearch.errors import UsageError
from mosearch.training import harvest, histories
from mosearch.training.clones import extract
from mosearch.training.commands import PACKAGE_LIST, PAIRS_FILE, training_group
from mosearch.training.histories import Commit, Source
from mosearch.training.leaks import keys
from mosearch.training.packing import read_pack
from mosearch.training.recipe import read_toml

SOURCE = Source("me/tool", "MIT")
BEFORE = """\
def read_lines(path):
    file = open(path)
    text = file.read()
    return text.splitlines()


class Cache:
    def get(self, key):
        found = self.values.get(key)
        self.hits += 1
        return found

    def clear(self):
        self.values = {}
"""
AFTER = BEFORE.replace("        self.hits += 1\n", "        self.hits += found is not None\n")
BODY = "A miss was counted as a hit, so that the share of hits on the status page was always one.\n\nFixes #3"


def _commit(clone: Path, files: dict[str, str], message: str, author: str = "somebody") -> None:
    for name, text in files.items():
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        (clone / name).write_text(text, encoding="utf-8")
    identity = ["-c", f"user.name={author}", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false"]
    for command in (["add", "."], ["commit", "-q", "-m", message]):
        subprocess.run(["git", "-C", str(clone), *identity, *command], check=True)


@pytest.fixture(scope="module")
def clones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one clone, of whose commits one says something about a function."""
    folder = tmp_path_factory.mktemp("clones")
    clone = folder / "me+tool"
    clone.mkdir()
    subprocess.run(["git", "-C", str(clone), "init", "-q"], check=True)
    test = {"tests/test_cache.py": BEFORE}
    _commit(clone, {"cache.py": BEFORE, "other.py": BEFORE} | test, "Add everything at once")
    _commit(
        clone, {"cache.py": AFTER, "tests/test_cache.py": AFTER}, f"Count only hits of the cache\n\n{BODY}"
    )
    _commit(clone, {"other.py": AFTER}, "Bump the version of the cache", "renovate[bot]")
    _commit(clone, {"other.py": BEFORE}, "wip")
    return folder


def test_commits_of_a_clone_ask_for_what_they_change(clones: Path, tmp_path: Path) -> None:
    absent = Source("me/absent", "MIT")
    assert list(extract([SOURCE, absent], clones, tmp_path, histories.commits)) == [("me/tool", 1)]
    assert list(extract([SOURCE, absent], clones, tmp_path, histories.commits)) == []
    (commit,) = histories.read(tmp_path.glob("*.gz"))
    assert commit.wordings[0] == "Count only hits of the cache"
    assert commit.wordings[1].startswith("A miss was counted") and "#3" not in commit.wordings[1]
    (change,) = commit.changes
    assert change.language == "python" and change.text.startswith("Cache\n")
    assert "found is not None" in change.code and "clear" not in change.code


def test_each_wording_gives_a_pair_and_the_forbidden_gives_none(clones: Path) -> None:
    (commit,) = histories.commits(SOURCE, clones / "me+tool")
    made = list(histories.pairs([commit], seed=1))
    assert [pair.left for pair in made] == list(commit.wordings)
    assert all(pair.kind == "text" and pair.right == commit.changes[0].text for pair in made)
    assert list(histories.fresh([commit], set())) == [commit]
    assert list(histories.fresh([commit], set(keys(commit.changes[0].code)))) == []


def test_a_clone_without_its_largest_files_gives_the_rest(
    clones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Git ends a log at the first commit whose file is missing; older commits are still read."""
    clone = tmp_path / "me+tool"
    subprocess.run(["git", "clone", "-q", str(clones / "me+tool"), str(clone)], check=True)
    _commit(clone, {"cache.py": BEFORE}, "Count what is missed by the cache, too")
    monkeypatch.setattr(histories, "_AT_ONCE", 1)
    newest, older = histories.commits(SOURCE, clone)
    _commit(clone, {"cache.py": "x = 1\n" * 9}, "Leave the cache out of the program")
    blob = subprocess.check_output(["git", "-C", str(clone), "rev-parse", "HEAD:cache.py"], text=True).strip()
    (clone / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(UsageError):
        git.text(clone, "log", "--patch")
    assert list(histories.commits(SOURCE, clone)) == [newest, older]


def test_a_folder_without_git_is_refused(tmp_path: Path) -> None:
    (tmp_path / "me+tool").mkdir()
    with pytest.raises(UsageError, match="git"):
        list(extract([SOURCE], tmp_path, tmp_path / "out", histories.commits))


def test_what_quality_is_judged_on_is_not_on_the_list() -> None:
    table = read_toml(PACKAGE_LIST)
    _, exclude = harvest.read_sources(table)
    found = histories.read_sources(table)
    assert len(found) > 10 and all(one.licence for one in found)
    names = {part.lower() for one in found for part in one.repository.split("/")}
    assert not {name for name in names if harvest.is_excluded(name, exclude)}


def test_commits_are_packed(clones: Path, tmp_path: Path) -> None:
    listed = tmp_path / "packages.toml"
    listed.write_text('[[histories]]\nrepository = "me/tool"\nlicence = "MIT"\n', encoding="utf-8")
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("", encoding="utf-8")
    work, common = tmp_path / "work", ("--work", str(tmp_path / "work"), "--packages", str(listed))
    steps = (
        ("histories", *common, "--clones", str(clones)),
        ("pack", *common, "--no-data", "--recipe", str(recipe)),
    )
    for arguments in steps:
        result = CliRunner().invoke(training_group, list(arguments))
        assert result.exit_code == 0, result.output
    packed, _ = read_pack(work / PAIRS_FILE)
    notes = json.loads((work / "corpus.json").read_text(encoding="utf-8"))
    assert len(packed) == 2 and notes["commits"] == {"me/tool (MIT)": 1}


def test_a_commit_without_body_has_one_wording() -> None:
    commit = Commit(("say it once",), (histories.Change("c", "", "int f(void);"),), "me/tool", "MIT")
    assert len(list(histories.pairs([commit], seed=1))) == 1 and commit.changes[0].text == "int f(void);"
