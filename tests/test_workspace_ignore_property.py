"""The ignore rules against git itself, on generated trees and generated patterns."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mosearch.workspace import IgnoreRules, scan
from mosearch.workspace import ignore as ignore_module

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is what we compare with")

NAMES = ["a", "b", "ab", "x.py", "B", "é", "#c", "!d", "a b", "e "]
FOLDERS = ["a", "b", "ab", "B", "é"]

_fragment = st.sampled_from(
    [
        *r"a b ab x .py c d e é B * ** ? / / **/ /** /**/ /* */ \ \# \! \* # ! - ] [a-c] [!a]".split(),
        " ",
        "\\ ",
    ]
)
_free_pattern = st.lists(_fragment, min_size=1, max_size=6).map("".join)
_usual_pattern = st.sampled_from(
    r"a /a a/ /a/ * !a !*/ !/a/ a/* !a/b **/b a/** a/**/b *.py !x.py a/b /* !/ab a** a**/b".split()
    + r"? ?? b/ !b/ #c \#c \!d e".split()
)
_line = st.one_of(_usual_pattern, _free_pattern, _free_pattern.map("!".__add__))


@st.composite
def _rules_file(draw: st.DrawFn) -> bytes:
    newline = draw(st.sampled_from(["\n", "\n", "\r\n"]))
    text = newline.join(draw(st.lists(_line, max_size=6)))
    bom = draw(st.sampled_from([b"", b"", b"\xef\xbb\xbf"]))
    return bom + text.encode() + draw(st.sampled_from([b"", newline.encode()]))


_path = st.builds(
    lambda folders, name: "/".join([*folders, name]),
    st.lists(st.sampled_from(FOLDERS), max_size=3),
    st.sampled_from(NAMES),
)
_tree = st.lists(_path, min_size=1, max_size=12)


@pytest.fixture(scope="module")
def git_environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    home = tmp_path_factory.mktemp("home")
    return {
        **os.environ,
        "HOME": str(home),
        "GIT_CONFIG_GLOBAL": str(home / "none"),
        "GIT_CONFIG_NOSYSTEM": "1",
    }


def _git(folder: Path, environment: dict[str, str], *arguments: str, stdin: bytes = b"") -> bytes:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments], env=environment, input=stdin, capture_output=True, check=False
    )
    assert done.returncode in (0, 1), done.stderr
    return done.stdout


def _write_tree(top: Path, paths: list[str], rules: dict[str, bytes]) -> list[str]:
    """Write what fits together (a path that is a folder for another cannot be a file)."""
    written = []
    for path in paths:
        try:
            (top / path).parent.mkdir(parents=True, exist_ok=True)
            (top / path).write_bytes(b"x")
        except OSError:
            continue
        written.append(path)
    for folder, data in rules.items():
        if (top / folder).is_dir():
            (top / folder / ".gitignore").write_bytes(data)
    return written


def _files_for_git(top: Path, environment: dict[str, str]) -> set[str]:
    listing = _git(top, environment, "ls-files", "-co", "--exclude-standard", "-z")
    return {os.fsdecode(path) for path in listing.split(b"\0") if path}


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    paths=_tree,
    rules=st.dictionaries(st.sampled_from(["", "", "a", "b", "a/b"]), _rules_file(), max_size=3),
    info=_rules_file(),
    tracked=st.lists(st.integers(0, 11), max_size=3),
    ignore_case=st.booleans(),
)
def test_same_files_as_git(
    paths: list[str],
    rules: dict[str, bytes],
    info: bytes,
    tracked: list[int],
    ignore_case: bool,
    git_environment: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("HOME", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_NOSYSTEM"):
        monkeypatch.setenv(name, git_environment[name])
    monkeypatch.setattr(ignore_module, "DEFAULT_RULES", b"")
    top = tmp_path_factory.mktemp("tree")
    _git(top, git_environment, "init", "-q", "--template=")
    _git(top, git_environment, "config", "core.ignorecase", str(ignore_case).lower())
    (top / ".git" / "info").mkdir(exist_ok=True)
    (top / ".git" / "info" / "exclude").write_bytes(info)
    if ignore_case:  # where git takes `B` and `b` for one file, there cannot be both
        paths = [path.lower() for path in paths]
    written = _write_tree(top, paths, rules)
    chosen = {written[number] for number in tracked if number < len(written)}
    if chosen:
        _git(top, git_environment, "--literal-pathspecs", "add", "-f", "--", *sorted(chosen))

    expected = _files_for_git(top, git_environment)
    assert {file.path for file in scan(top).files} == expected
    rules_now = IgnoreRules.load(top)
    on_disk = {path.relative_to(top).as_posix() for path in top.rglob("*") if path.is_file()}
    for path in on_disk - {p for p in on_disk if p.startswith(".git/")}:
        assert rules_now.is_ignored(path) == (path not in expected), path
    shutil.rmtree(top)
