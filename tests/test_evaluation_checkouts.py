"""Checkouts of the repositories that questions are about: real git repositories, small ones."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from mosearch.errors import UsageError
from mosearch.evaluation import checkouts as module
from mosearch.evaluation.checkouts import PINNED, Obtained, origin, prepare
from mosearch.evaluation.cli import repos_command
from mosearch.evaluation.judging import Target
from mosearch.evaluation.packages import Package
from mosearch.evaluation.repositories import Question, Repository

URL = "https://git.invalid/owner/tool.git"
LOST = "0" * 40


def _git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def mirrors(tmp_path: Path) -> Path:
    """Mirrors of one repository, of two commits."""
    mirror = tmp_path / "mirrors" / "owner+tool" / "repo"
    mirror.mkdir(parents=True)
    _git(mirror, "init", "--quiet")
    for number in (1, 2):
        (mirror / "a.py").write_text(f"def version():\n    return {number}\n")
        _git(mirror, "add", ".")
        _git(mirror, "commit", "--quiet", "-m", str(number), "--date=2024-05-06T12:00:00Z")
    return tmp_path / "mirrors"


@pytest.fixture
def tool(mirrors: Path) -> Repository:
    """The repository at its first commit."""
    first = _git(mirrors / "owner+tool" / "repo", "rev-parse", "HEAD^")
    question = Question("which version is this", "semantic", (Target("a.py"),))
    return Repository("tool", "python", "", (question,), URL, first)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "checkouts").mkdir()
    return tmp_path / "checkouts"


def _packaged(monkeypatch: pytest.MonkeyPatch, files: dict[str, bytes] | UsageError) -> None:
    """A registry of one package."""

    def download(package: Package) -> tuple[str, dict[str, bytes]]:
        if isinstance(files, UsageError):
            raise files
        return "1.5", files

    monkeypatch.setattr(module, "download", download)


def test_the_pinned_revision_is_checked_out_and_what_is_there_left(
    tool: Repository, folder: Path, mirrors: Path
) -> None:
    assert dict(prepare([tool], folder, mirrors)) == {"tool": Obtained(PINNED, ())}
    assert (folder / "tool/a.py").read_text() == "def version():\n    return 1\n"
    assert dict(prepare([tool], folder, mirrors)) == {}
    assert origin(tool, folder) == PINNED


def test_a_package_stands_in_for_a_lost_revision(
    tool: Repository, folder: Path, mirrors: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _packaged(monkeypatch, {"tool-1.5/a.py": b"def version(): ...\n", "tool-1.5/docs/b.md": b"B\n"})
    lost = replace(tool, revision=LOST, package="Debian libtool")
    ((name, got),) = prepare([lost], folder, mirrors)
    assert (name, got.source) == ("tool", "Debian package libtool 1.5")
    (trouble,) = got.troubles
    assert trouble.startswith(f"the {PINNED} cannot be fetched from {mirrors}")
    assert (folder / "tool/a.py").read_text() == "def version(): ...\n"
    assert (folder / "tool/docs/b.md").is_file()
    assert origin(lost, folder) == got.source
    other = Question("what else", "semantic", (Target("a.py"), Target("gone.py")))
    short = replace(lost, questions=(*lost.questions, other))
    assert origin(short, folder) == f"{got.source}; lacks 1 of 2 files that answers name"


@pytest.mark.parametrize(
    ("package", "files", "trouble"),
    [
        ("", {}, "no package is named that holds its files"),
        ("Floppy disk", {}, "its package is said to be 'Floppy disk'; known are PyPI sdist, npm"),
        ("npm", UsageError("npm package tool cannot be had by npm"), "npm package tool cannot be had by npm"),
        ("npm", {"b.js": b""}, "npm package tool 1.5 holds none of the files that answers name"),
    ],
)
def test_the_newest_snapshot_is_for_what_no_package_holds(
    tool: Repository,
    folder: Path,
    mirrors: Path,
    monkeypatch: pytest.MonkeyPatch,
    package: str,
    files: dict[str, bytes] | UsageError,
    trouble: str,
) -> None:
    _packaged(monkeypatch, files)
    lost = replace(tool, revision=LOST, package=package)
    ((_, got),) = prepare([lost], folder, mirrors)
    short = _git(mirrors / "owner+tool/repo", "rev-parse", "--short", "HEAD")
    date = _git(mirrors / "owner+tool/repo", "log", "-1", "--format=%cs")
    assert got.source == origin(lost, folder) == f"newest snapshot {short} of {date}"
    assert got.troubles[1].startswith(trouble)
    assert (folder / "tool/a.py").read_text() == "def version():\n    return 2\n"


def test_what_cannot_be_had_leaves_nothing_behind(tool: Repository, folder: Path, mirrors: Path) -> None:
    (mirrors / "owner+tool/repo/.git/HEAD").unlink()
    ((_, got),) = prepare([tool], folder, mirrors)
    assert got.source == ""
    pinned, package, newest = got.troubles
    assert "pinned revision cannot be fetched" in pinned
    assert package == "no package is named that holds its files"
    assert "newest snapshot cannot be fetched" in newest
    assert list(folder.iterdir()) == []


def test_where_a_checkout_of_ones_own_came_from(tool: Repository, folder: Path, mirrors: Path) -> None:
    _git(folder, "clone", "--quiet", str(mirrors / "owner+tool/repo"), "tool")
    short, date = _git(folder / "tool", "log", "-1", "--format=%h %cs").split()
    assert origin(tool, folder) == f"revision {short} of {date}"
    (folder / "plain").mkdir()
    (folder / "plain/a.py").touch()
    assert origin(replace(tool, name="plain"), folder) == "a folder of unknown origin"
    (folder / "broken/.git").mkdir(parents=True)
    (folder / "broken/a.py").touch()
    assert origin(replace(tool, name="broken"), folder) == "a repository that git cannot read"


def test_the_command_says_where_each_repository_came_from(
    tool: Repository, folder: Path, mirrors: Path, tmp_path: Path, use_tiny_model: Path
) -> None:
    data = tmp_path / "data" / "repos"
    data.mkdir(parents=True)
    entry = {"language": "python", "root": None, "url": URL}
    listed = [
        {"name": "tool", "revision": tool.revision, **entry},
        {"name": "lost", "revision": LOST, **entry, "url": "file:///nowhere/lost.git"},
    ]
    (data / "repos.json").write_text(json.dumps(listed))
    asked = {"query": "which version", "relevant": ["a.py"], "secondary": [], "category": "semantic"}
    for name in ("tool", "lost"):
        (data / f"{name}.json").write_text(json.dumps([asked]))
    figures = tmp_path / "figures.json"
    options = ("--data", data.parent, "--checkouts", folder, "--mirrors", mirrors, "--json", figures)
    wanted = [*map(str, options), "--prepare", "--no-rerank"]
    done = CliRunner().invoke(repos_command, wanted, catch_exceptions=False)
    assert done.exit_code == 0
    assert f"tool: {PINNED}\n" in done.stderr
    assert "lost: cannot be had\n  the pinned revision cannot be fetched" in done.stderr
    assert "mean over 1 of 2 repositories" in done.stdout
    assert [each["source"] for each in json.loads(figures.read_text())] == [PINNED]
    with pytest.raises(UsageError, match="None of the repositories can be had"):
        CliRunner().invoke(repos_command, [*wanted, "--only", "lost"], catch_exceptions=False)
