# Strings, not Path objects: these functions are asked for every entry of a tree.
# ruff: noqa: PTH111, PTH112, PTH113, PTH117, PTH118, PTH120, PTH123
"""What git knows of a folder: which repository it belongs to, its settings, its tracked files.

The repository is found by reading `.git`, so that it works without git; settings and tracked files
are asked of git where it is installed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

_CONFIG_TIMEOUT_S = 5.0
_INDEX_TIMEOUT_S = 20.0
# Set inside hooks and by some tools; they would make git speak of another repository.
_REDIRECTING = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_COMMON_DIR",
    "GIT_PREFIX",
    "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY",
)


@dataclass(frozen=True, slots=True)
class Repository:
    top: str
    """Absolute path of the top folder of the work tree."""
    common_dir: str
    """Absolute path of the folder that all work trees of the repository share (`.git` of the first)."""


@dataclass(frozen=True, slots=True)
class GitSettings:
    excludes_file: str
    """Absolute path of the user's own ignore file; it need not exist."""
    ignore_case: bool


def repository_at(folder: str) -> Repository | None:
    """The repository whose work tree has its top at `folder`, an absolute path."""
    git_dir = _git_dir(os.path.join(folder, ".git"))
    if git_dir is None:
        return None
    common = _first_line(os.path.join(git_dir, "commondir"))
    common_dir = os.path.join(git_dir, common) if common else git_dir
    return Repository(folder, os.path.realpath(common_dir))


def find_repository(folder: str) -> Repository | None:
    """The innermost repository whose work tree holds `folder`, an absolute path."""
    while True:
        repository = repository_at(folder)
        parent = os.path.dirname(folder)
        if repository is not None or parent == folder:
            return repository
        folder = parent


def repository_key(root: Path) -> str:
    """The identity of `root` (as `resolve_root` returns it) across work trees.

    All work trees of one repository give the same key for the same sub-folder; a submodule is a
    repository of its own; outside a repository the key is the path itself.
    """
    folder = os.fspath(root)
    repository = find_repository(folder)
    if repository is None:
        return os.path.normcase(folder)
    inner = os.path.relpath(folder, repository.top).replace(os.sep, "/")
    return f"{os.path.normcase(repository.common_dir)}:{inner}"


def git_settings(folder: str) -> GitSettings:
    """`core.excludesFile` and `core.ignoreCase` as they hold in `folder`; git's defaults without git."""
    values: dict[str, str] = {}
    output = _git(folder, "config", "-z", "--get-regexp", r"^core\.(excludesfile|ignorecase)$")
    for item in (output or b"").split(b"\0"):
        key, newline, value = os.fsdecode(item).partition("\n")
        values[key] = value if newline else "true"
    excludes_file = values.get("core.excludesfile")
    if excludes_file is None:
        config_home = os.environ.get("XDG_CONFIG_HOME") or os.path.join("~", ".config")
        excludes_file = os.path.join(config_home, "git", "ignore")
    return GitSettings(
        excludes_file=os.path.join(folder, os.path.expanduser(excludes_file)) if excludes_file else "",
        ignore_case=values.get("core.ignorecase", "").lower() in ("true", "yes", "on", "1"),
    )


def tracked_despite_rules(folder: str) -> frozenset[str]:
    """Paths below `folder`, relative to it, that git tracks although a rule matches them.

    Empty without git, and if git does not answer in time: the rules then hold without exception.
    """
    output = _git(folder, "ls-files", "-ci", "--exclude-standard", "-z", timeout_s=_INDEX_TIMEOUT_S)
    return frozenset(os.fsdecode(path) for path in (output or b"").split(b"\0") if path)


def _git_dir(dot_git: str) -> str | None:
    """The folder that `.git` is or, being a file (work trees, submodules), points to."""
    if os.path.isdir(dot_git):
        git_dir = dot_git
    else:
        target = _first_line(dot_git)
        if target is None or not target.startswith("gitdir: "):
            return None
        git_dir = os.path.join(os.path.dirname(dot_git), target.removeprefix("gitdir: "))
    has_store = os.path.isfile(os.path.join(git_dir, "commondir")) or os.path.isdir(
        os.path.join(git_dir, "objects")
    )
    return git_dir if has_store and os.path.lexists(os.path.join(git_dir, "HEAD")) else None


def _first_line(path: str) -> str | None:
    if not os.path.isfile(path):
        return None
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.readline().rstrip("\r\n")
    except OSError:
        return None


def _git(folder: str, *arguments: str, timeout_s: float = _CONFIG_TIMEOUT_S) -> bytes | None:
    """What git prints when run in `folder`; None if it is missing, fails, or takes too long."""
    program = shutil.which("git")
    # On Windows the current folder is searched too: a workspace must not bring its own git.
    if program is None or not os.path.isabs(program):
        return None
    environment = {name: value for name, value in os.environ.items() if name not in _REDIRECTING}
    try:
        # A repository can name a program as its file-system monitor; a question must not start it.
        done = subprocess.run(
            [program, "-c", "core.fsmonitor=false", "-C", folder, *arguments],
            env=environment | {"GIT_OPTIONAL_LOCKS": "0"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=timeout_s,
            check=False,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
