"""Checkouts of the repositories that questions are about: real git repositories, small ones."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from mosearch.errors import UsageError
from mosearch.evaluation.checkouts import NEWEST, PINNED, prepare


def _git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def first(tmp_path: Path) -> str:
    """A mirror with two commits, and the name of the first."""
    mirror = tmp_path / "mirrors" / "owner+tool" / "repo"
    mirror.mkdir(parents=True)
    _git(mirror, "init", "--quiet")
    revisions = []
    for number in (1, 2):
        (mirror / "a.py").write_text(f"VERSION = {number}\n")
        _git(mirror, "add", ".")
        _git(mirror, "commit", "--quiet", "-m", str(number))
        revisions.append(_git(mirror, "rev-parse", "HEAD"))
    return revisions[0]


def _listed(tmp_path: Path, **revisions: str) -> Path:
    folder = tmp_path / "data" / "repos"
    folder.mkdir(parents=True)
    url = "https://git.invalid/owner/tool.git"
    entries = [{"name": name, "url": url, "revision": revision} for name, revision in revisions.items()]
    (folder / "repos.json").write_text(json.dumps(entries))
    return folder.parent


def test_the_pinned_revision_is_checked_out_or_else_the_newest(tmp_path: Path, first: str) -> None:
    data, checkouts = _listed(tmp_path, tool=first, lost="0" * 40), tmp_path / "checkouts"
    mirrors = tmp_path / "mirrors"
    assert prepare(data, checkouts, frozenset(), mirrors) == {"tool": PINNED, "lost": NEWEST}
    assert (checkouts / "tool/a.py").read_text() == "VERSION = 1\n"
    assert (checkouts / "lost/a.py").read_text() == "VERSION = 2\n"
    assert prepare(data, checkouts, frozenset(), mirrors) == {}


def test_only_what_is_named_is_checked_out(tmp_path: Path, first: str) -> None:
    data, checkouts = _listed(tmp_path, tool=first, other=first), tmp_path / "checkouts"
    assert prepare(data, checkouts, frozenset({"other"}), tmp_path / "mirrors") == {"other": PINNED}
    assert not (checkouts / "tool").exists()


def test_what_cannot_be_reached_leaves_nothing_behind(tmp_path: Path, first: str) -> None:
    data, checkouts = _listed(tmp_path, tool=first), tmp_path / "checkouts"
    (tmp_path / "mirrors/owner+tool/repo/.git/HEAD").unlink()
    with pytest.raises(UsageError, match="cannot be fetched"):
        prepare(data, checkouts, frozenset(), tmp_path / "mirrors")
    assert list(checkouts.iterdir()) == []
