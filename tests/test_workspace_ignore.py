"""Ignore rules beyond the pattern language: where rules come from and how far they reach."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from mosearch.workspace import IgnoreRules, repository_key, scan

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


@pytest.fixture(autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(home / ".gitconfig"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "someone")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "someone@example.org")


@pytest.fixture
def top(tmp_path: Path) -> Path:
    folder = tmp_path / "top"
    folder.mkdir()
    return folder


def _write(top: Path, *paths: str) -> None:
    for path in paths:
        path, _, text = path.partition("=")
        (top / path).parent.mkdir(parents=True, exist_ok=True)
        (top / path).write_text(text or "x")


def _git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", str(folder), *arguments], check=True, capture_output=True)


def _init(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    _git(folder, "init", "-q")


def _files(root: Path) -> set[str]:
    """What the scan finds, less the ignore files; every path asked singly must agree."""
    found = {file.path for file in scan(root).files}
    rules = IgnoreRules.load(root)
    for path in root.rglob("*"):
        if not path.is_dir() and not path.is_symlink():
            relative = path.relative_to(root).as_posix()
            assert rules.is_ignored(relative) == (relative not in found), relative
    return {path for path in found if not path.endswith("ignore")}


class TestOutsideARepository:
    def test_gitignore_counts(self, top: Path) -> None:
        _write(
            top, ".gitignore=*.log\n", "a.py", "a.log", "d/.gitignore=!keep.log\n", "d/keep.log", "d/b.log"
        )
        assert _files(top) == {"a.py", "d/keep.log"}

    @pytest.mark.parametrize(
        "path",
        ["node_modules/x/i.js", "p/.venv/a.py", "__pycache__/a.pyc", ".tox/a", ".svn/a", ".hg/a", ".jj/a"],
    )
    def test_left_out_by_default(self, top: Path, path: str) -> None:
        _write(top, "a.py", path)
        assert _files(top) == {"a.py"}

    def test_virtual_environments_and_caches_go_by_what_they_hold(self, top: Path) -> None:
        _write(
            top, "a.py", "env/pyvenv.cfg", "env/lib/b.py", "target/CACHEDIR.TAG=no signature", "target/c.rs"
        )
        _write(top, "out/CACHEDIR.TAG=Signature: 8a477f597d28d172789f06886806bc55\n", "out/d.rs")
        assert _files(top) == {"a.py", "target/CACHEDIR.TAG", "target/c.rs"}

    @pytest.mark.parametrize("rules_file", [".mosearchignore", ".gitignore"])
    def test_defaults_can_be_taken_back_in(self, top: Path, rules_file: str) -> None:
        _write(
            top, f"{rules_file}=!node_modules/\n!env/\n", "node_modules/a.js", "env/pyvenv.cfg", "env/b.py"
        )
        _write(top, ".tox/c.py")
        assert _files(top) == {"node_modules/a.js", "env/pyvenv.cfg", "env/b.py"}

    def test_own_rules_are_strongest(self, top: Path) -> None:
        _write(
            top, ".gitignore=gen/\n!notes.md\n", ".mosearchignore=!gen/\nnotes.md\n", "gen/a.py", "notes.md"
        )
        _write(
            top, "sub/.gitignore=!notes.md\n", "sub/notes.md", "sub/.mosearchignore=b.py", "sub/b.py", "b.py"
        )
        assert _files(top) == {"gen/a.py", "b.py"}

    def test_without_git_installed(self, top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        _write(
            top,
            ".gitignore=*.log\n",
            "a.py",
            "a.log",
            ".git/HEAD",
            ".git/objects/x",
            ".git/info/exclude=b.*\n",
        )
        _write(top, "b.py", "c.swo")
        _write(Path(os.environ["XDG_CONFIG_HOME"]), "git/ignore=*.swo\n")
        monkeypatch.setenv("PATH", "")
        assert _files(top) == {"a.py"}

    def test_rules_behind_a_link_or_a_fifo_are_not_read(self, top: Path) -> None:
        _write(top, "a/x.py", "b/x.py", "rules=*.py\n")
        (top / "a" / ".gitignore").symlink_to(top / "rules")
        if hasattr(os, "mkfifo"):
            os.mkfifo(top / "b" / ".gitignore")
        assert {"a/x.py", "b/x.py"} <= {file.path for file in scan(top).files}


@needs_git
class TestInARepository:
    def test_exclude_file_global_file_and_their_order(self, top: Path, tmp_path: Path) -> None:
        _init(top)
        _write(tmp_path, "global=*.swo\n*.one\n*.two\n")
        _git(top, "config", "core.excludesFile", str(tmp_path / "global"))
        _write(top, ".git/info/exclude=!a.one\n!a.two\n*.three\n", ".gitignore=a.two\n!a.three\n")
        _write(top, "a.py", "a.swo", "a.one", "a.two", "a.three")
        assert _files(top) == {"a.py", "a.one", "a.three"}

    def test_global_file_in_its_default_place(self, top: Path) -> None:
        _init(top)
        _write(Path(os.environ["XDG_CONFIG_HOME"]), "git/ignore=*.swo\n")
        _write(top, "a.py", "a.swo")
        assert _files(top) == {"a.py"}

    def test_home_is_expanded(self, top: Path) -> None:
        _init(top)
        _git(top, "config", "--global", "core.excludesFile", "~/mine")
        _write(Path(os.environ["HOME"]), "mine=*.swo\n")
        _write(top, "a.py", "a.swo")
        assert _files(top) == {"a.py"}

    def test_tracked_files_are_not_ignored(self, top: Path) -> None:
        _init(top)
        _write(
            top,
            ".gitignore=dist/\n*.gen\n",
            "dist/deep/kept.js",
            "dist/other.js",
            "a.gen",
            "b.gen",
            'odd "é\n.gen',
        )
        _git(top, "add", "-f", "dist/deep/kept.js", "a.gen", 'odd "é\n.gen')
        assert _files(top) == {"dist/deep/kept.js", "a.gen", 'odd "é\n.gen'}
        _write(top, ".mosearchignore=a.gen\n/dist/deep/\n")
        assert _files(top) == {'odd "é\n.gen'}

    def test_case_where_it_does_not_count(self, top: Path) -> None:
        _init(top)
        _git(top, "config", "core.ignoreCase", "yes")
        _write(top, ".gitignore=*.LOG\n/Build/\n", "a.log", "build/x.py", "a.py")
        assert _files(top) == {"a.py"}

    def test_a_nested_repository_starts_afresh(self, top: Path) -> None:
        _init(top)
        _init(top / "inner")
        _write(top, ".gitignore=*.gen\n", ".mosearchignore=*.skip\n", "a.gen", "a.skip")
        _write(top, "inner/a.gen", "inner/a.skip", "inner/.git/info/exclude=b.py\n", "inner/b.py")
        assert _files(top) == {"inner/a.gen"}

    def test_a_folder_that_only_looks_like_a_repository(self, top: Path) -> None:
        _init(top)
        _write(
            top,
            ".gitignore=*.gen\n",
            "inner/.git/readme",
            "inner/a.gen",
            "file/.git=gitdir: nowhere",
            "file/b.gen",
        )
        assert _files(top) == set()

    def test_root_below_the_top(self, top: Path) -> None:
        _init(top)
        _write(
            top,
            ".gitignore=/sub/out/\n*.log\n/x.py\n",
            "sub/out/a.py",
            "sub/a.log",
            "sub/x.py",
            "sub/d/.gitignore=y\n",
        )
        _write(top, "sub/d/y", "sub/kept.gen", "sub/.gitignore=*.gen\n", "sub/.git2/z")
        _git(top, "add", "-f", "sub/kept.gen")
        assert _files(top / "sub") == {"x.py", "kept.gen", ".git2/z"}

    @pytest.mark.parametrize("rule", ["node_modules/", "*", "/node_modules/**", "node_modules/*", "express"])
    def test_root_below_an_ignored_folder(self, top: Path, rule: str) -> None:
        _init(top)
        _write(top, f".gitignore={rule}\n", "node_modules/express/index.js", "node_modules/express/lib/a.js")
        _write(top, "node_modules/express/.gitignore=*.log\n", "node_modules/express/a.log")
        assert _files(top / "node_modules" / "express") == {"index.js", "lib/a.js"}

    @pytest.mark.parametrize("rule", ["/build/**", "build/*"])
    def test_root_of_which_all_is_ignored(self, top: Path, rule: str) -> None:
        _init(top)
        _write(top, f".gitignore={rule}\n", "build/a.py", "build/lib/b.py")
        assert _files(top / "build") == {"a.py", "lib/b.py"}

    def test_a_root_beside_a_chosen_folder_stays_hidden(self, top: Path) -> None:
        _init(top)
        _write(top, ".gitignore=/packages/*\n!/packages/mine/\n", "packages/mine/a.py", "packages/other/b.py")
        assert _files(top / "packages") == {"mine/a.py"}

    def test_git_variables_of_a_hook_do_not_lead_astray(
        self, top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _init(top)
        _init(tmp_path / "other")
        _write(top, ".gitignore=*.gen\n", "a.gen")
        _git(top, "add", "-f", "a.gen")
        monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
        assert _files(top) == {"a.gen"}

    def test_no_program_named_by_the_repository_runs(self, top: Path, tmp_path: Path) -> None:
        _init(top)
        spy = tmp_path / "spy.sh"
        spy.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
        spy.chmod(0o755)
        _write(top, ".gitignore=*.gen\n", "a.gen")
        _git(top, "add", "-f", "a.gen")
        _git(top, "config", "core.fsmonitor", str(spy))
        assert _files(top) == {"a.gen"}
        assert not (tmp_path / "ran").exists()


class TestSinglePaths:
    @pytest.mark.parametrize(
        ("path", "is_dir", "ignored"),
        [
            ("", True, False),
            (".", True, False),
            ("new/file.py", False, False),
            ("new", True, False),
            ("new/out", True, True),
            ("new/out", False, False),
            ("new/out/a.py", False, True),
            (".git/config", False, True),
            ("sub/.git", True, True),
            ("node_modules/a/b.js", False, True),
            ("../a.py", False, True),
            ("/etc/passwd", False, True),
            ("link/a.py", False, True),
        ],
    )
    def test_need_not_exist(self, top: Path, path: str, is_dir: bool, ignored: bool) -> None:
        _write(top, ".gitignore=out/\n", "real/a.py")
        (top / "link").symlink_to(top / "real")
        assert IgnoreRules.load(top).is_ignored(path, is_dir) is ignored


@needs_git
class TestRepositoryKey:
    def test_outside_a_repository_it_is_the_path(self, top: Path) -> None:
        assert repository_key(top) == os.path.normcase(top)

    def test_shared_by_work_trees(self, top: Path, tmp_path: Path) -> None:
        _init(top)
        _write(top, "sub/a.py", "b.py")
        _git(top, "add", ".")
        _git(top, "commit", "-qm", "first")
        _git(top, "worktree", "add", "-q", str(tmp_path / "second"))
        second = tmp_path / "second"
        assert repository_key(top) == repository_key(second)
        assert repository_key(top / "sub") == repository_key(second / "sub") != repository_key(top)
        _write(top, ".git/info/exclude=b.py\n")
        assert _files(second) == {"sub/a.py", "b.py"}, "b.py is tracked"
        _write(second, "new/b.py")
        assert _files(second) == {"sub/a.py", "b.py"}

    def test_a_clone_and_a_submodule_are_their_own(self, top: Path, tmp_path: Path) -> None:
        _init(top)
        _write(top, "a.py", ".gitignore=*.gen\n")
        _git(top, "add", ".")
        _git(top, "commit", "-qm", "first")
        host = tmp_path / "host"
        _init(host)
        _git(host, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(top), "lib")
        _write(host, ".gitignore=lib\n*.py\n", "lib/b.gen", "c.py")
        assert len({repository_key(top), repository_key(host), repository_key(host / "lib")}) == 3
        assert _files(host) == {".gitmodules", "lib/a.py"}, "a tracked submodule, under its own rules"

    def test_work_tree_of_a_bare_repository(self, top: Path, tmp_path: Path) -> None:
        _init(top)
        _write(top, "a.py")
        _git(top, "add", ".")
        _git(top, "commit", "-qm", "first")
        _git(tmp_path, "clone", "-q", "--bare", str(top), "bare.git")
        _git(tmp_path / "bare.git", "worktree", "add", "-q", "-b", "x", str(tmp_path / "x"))
        _git(tmp_path / "bare.git", "worktree", "add", "-q", "-b", "y", str(tmp_path / "y"))
        assert repository_key(tmp_path / "x") == repository_key(tmp_path / "y") != repository_key(top)
