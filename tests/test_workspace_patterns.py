"""The pattern language, held against `git check-ignore` on one fixed tree."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mosearch.workspace.patterns import PatternList, match_key

FILES = ["a", "b.py", "é", "#c", "!d", "x y", "e ", "[a", "A", "-", "\\", "a]", "n\nl", "1", "\t", "*"]
FOLDERS = ["d", "d/ab", "d/ab/b", "B", "a b"]

_fragment = st.sampled_from(
    r"a b ab x .py c d é B 1 * ** *** ? / / **/ /** /**/ /* */ **\/ \* \ \\ \# \! # ! - ] [ [: :]".split()
    + r"[a-c] [!a] [^b] []-a] [a [z-a] [\]] [a- [b/c] [!-] [a\-c] [\\] [!]a] [[:a]".split()
    + r"[[:alpha:]] [[:upper:]b] [[:space:]] [[:punct:]] [[:digit:]-z] [[:x:]]".split()
    + [" ", "\\ ", "\t", "\r"]
)
_pattern = st.lists(_fragment, min_size=1, max_size=7).map("".join)
_rules_file = st.lists(_pattern, min_size=1, max_size=4).flatmap(
    lambda lines: st.sampled_from(["\n", "\r\n"]).map(lambda newline: newline.join(lines).encode())
)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with every name of `FILES` in every folder of `FOLDERS`."""
    if shutil.which("git") is None:
        pytest.skip("git is what we compare with")
    top = tmp_path_factory.mktemp("tree")
    subprocess.run(["git", "init", "-q", "--template=", str(top)], check=True, env=_environment(top))
    for folder in ["", *FOLDERS]:
        (top / folder).mkdir(exist_ok=True)
        for name in FILES:
            (top / folder / name).touch()
    return top


def _environment(top: Path) -> dict[str, str]:
    return {
        **os.environ,
        "HOME": str(top),
        "XDG_CONFIG_HOME": str(top / "none"),
        "GIT_CONFIG_GLOBAL": str(top / "none"),
        "GIT_CONFIG_NOSYSTEM": "1",
    }


def _ignored_by_git(top: Path, data: bytes, ignore_case: bool, paths: list[str]) -> set[str]:
    (top / ".gitignore").write_bytes(data)
    case = f"core.ignorecase={str(ignore_case).lower()}"
    done = subprocess.run(
        ["git", "-c", case, "-C", str(top), "check-ignore", "--no-index", "-z", "--stdin"],
        input=b"\0".join(map(os.fsencode, paths)) + b"\0",
        env=_environment(top),
        capture_output=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    return {os.fsdecode(path) for path in done.stdout.split(b"\0") if path}


def _ignored_by_us(data: bytes, ignore_case: bool, paths: list[str]) -> set[str]:
    patterns = PatternList(data, ignore_case=ignore_case)
    ignored: set[str] = set()
    for path in paths:
        parts = path.split("/")
        for depth in range(1, len(parts) + 1):
            key = match_key("/".join(parts[:depth]), ignore_case=ignore_case)
            is_dir = depth < len(parts) or path in FOLDERS
            if patterns.match(key, key.rpartition("/")[2], is_dir):
                ignored.add(path)
                break
    return ignored


@settings(
    max_examples=400,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(data=_rules_file, ignore_case=st.booleans())
@example(data=b"a**/b.py", ignore_case=False)
@example(data=b"d**b", ignore_case=False)
@example(data=b"d**/b", ignore_case=False)
@example(data=b"\xef\xbb\xbfb.py", ignore_case=False)
@example(data=b"**/**/b/**", ignore_case=False)
@example(data=b"d/**/a", ignore_case=False)
@example(data=b"\xef\xbb\xbf*.py\r\n!b.py\r\n", ignore_case=False)
@example(data=b"e\\ \nx\\ y  \n", ignore_case=False)
@example(data=b"??", ignore_case=False)
@example(data=b"*\n!*/\n!*.py\n", ignore_case=True)
@example(data=b"[[:upper:]]\n", ignore_case=True)
def test_matches_as_git_does(data: bytes, ignore_case: bool, tree: Path) -> None:
    paths = [f"{folder}/{name}" for folder in FOLDERS for name in FILES] + FILES + FOLDERS
    expected = _ignored_by_git(tree, data, ignore_case, paths)
    assert _ignored_by_us(data, ignore_case, paths) == expected


@pytest.mark.parametrize(
    "glob", [b"*a*a*a*a*a*a*a*b", b"**/a/**/a/**/a/**/a/**/a/**/a/b", b"**/**/**/**/**/b/**/c"]
)
def test_hostile_patterns_cost_little(glob: bytes) -> None:
    patterns = PatternList(glob)
    path = "a/" * 200 + "a" * 200
    start = time.perf_counter()
    assert patterns.match(path, "a" * 200, False) is None
    assert time.perf_counter() - start < 0.5
