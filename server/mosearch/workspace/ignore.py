# Strings, not Path objects: these functions are asked for every entry of a tree.
# ruff: noqa: PTH114, PTH118, PTH206
"""Which entries of a workspace are left out: git's rules, `.mosearchignore`, and defaults.

At each level of the tree the strongest rule that matches an entry decides, and what lies below an
ignored folder is never asked about (gitignore(5)).  From strong to weak:

1. `.mosearchignore` files, deeper ones first; they reach into nested repositories;
2. git's own: `.gitignore` files, deeper ones first, then `info/exclude`, then `core.excludesFile`.
   A tracked file is not ignored by these.  A nested repository or submodule starts afresh;
3. `DEFAULT_RULES`, virtual environments (`pyvenv.cfg`) and tagged caches (`CACHEDIR.TAG`), which a
   `!name/` in any of the files above takes back in.

Metadata of version control is never entered.  The workspace root was asked for by the user, so rules
from above it that would ignore the root itself are dropped.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from mosearch.workspace.files import read_small
from mosearch.workspace.patterns import PatternList, match_key
from mosearch.workspace.repository import (
    Repository,
    find_repository,
    git_settings,
    repository_at,
    tracked_despite_rules,
)

GIT_RULES_FILE = ".gitignore"
OWN_RULES_FILE = ".mosearchignore"
METADATA_NAMES = frozenset({".git", ".hg", ".svn", ".jj", ".bzr", "_darcs", "CVS"})
MARKER_NAMES = frozenset({".git", GIT_RULES_FILE, OWN_RULES_FILE, "CACHEDIR.TAG", "pyvenv.cfg"})
"""Names whose presence in a folder changes what holds in it."""

DEFAULT_RULES = b"""\
.cache/
.direnv/
.eggs/
*.egg-info/
.gradle/
.hypothesis/
.idea/
.ipynb_checkpoints/
.mypy_cache/
.next/
.nox/
.nuxt/
.parcel-cache/
.pnpm-store/
.pytest_cache/
.ruff_cache/
.stack-work/
.svelte-kit/
.terraform/
.tox/
.turbo/
.venv/
.yarn/
.zig-cache/
__pycache__/
__pypackages__/
bower_components/
elm-stuff/
jspm_packages/
node_modules/
site-packages/
*.swp
.DS_Store
"""

_CACHE_SIGNATURE = b"Signature: 8a477f597d28d172789f06886806bc55"
_RULES_LIMIT = 10_000_000
# A name that no rule is written for: if it is ignored, so is everything beside it.
_ANY_NAME = "\x01"


class Verdict(Enum):
    NEUTRAL = "no rule ignores it"
    INCLUDED = "a rule takes it in by name"
    TRACKED_ONLY = "a folder that git ignores, save for the tracked files below it"
    IGNORED = "ignored"


@dataclass(frozen=True, slots=True)
class _Rules:
    patterns: PatternList
    depth: int
    """Length of the key of the folder that the patterns are relative to."""


class _Tracked:
    """The tracked files that a rule matches, and the folders above them; asked of git when needed."""

    __slots__ = ("_files", "_folder", "_folders", "_prefix")

    def __init__(self, folder: str, prefix: str) -> None:
        self._folder = folder
        self._prefix = prefix
        self._files: frozenset[str] | None = None
        self._folders: frozenset[str] = frozenset()

    def verdict(self, path: str, is_dir: bool) -> Verdict:
        """For an entry that a rule of git's ignores."""
        if self._files is None:
            self._load()
        if path in (self._files or ()):
            return Verdict.NEUTRAL
        return Verdict.TRACKED_ONLY if is_dir and path in self._folders else Verdict.IGNORED

    def _load(self) -> None:
        files = frozenset(self._prefix + path for path in tracked_despite_rules(self._folder))
        folders = set()
        for path in files:
            while (path := path.rpartition("/")[0]) and path not in folders:
                folders.add(path)
        self._files, self._folders = files, frozenset(folders)


@dataclass(frozen=True, slots=True)
class Level:
    """What holds for the entries of one folder.  Paths are relative to the top of the work tree."""

    folder: str
    """Absolute path."""
    prefix: str
    """Path of the folder with a slash at its end; empty at the top."""
    key_prefix: str
    own_rules: tuple[_Rules, ...]
    """Strongest first, as are `git_rules`."""
    git_rules: tuple[_Rules, ...]
    tracked: _Tracked | None
    tracked_only: bool = False


class IgnoreRules:
    """A snapshot of the rules of one workspace: load it anew when an ignore file has changed.

    Folders are looked at when first asked about, then remembered.
    """

    def __init__(self, root: Path) -> None:
        folder = os.fspath(root)
        settings = git_settings(folder)
        self._excludes_file = settings.excludes_file
        self._ignore_case = settings.ignore_case
        self._defaults = PatternList(DEFAULT_RULES, ignore_case=settings.ignore_case)
        self.root_level = self._root_level(folder, find_repository(folder))
        self._levels: dict[str, Level | None] = {"": self.root_level}

    @classmethod
    def load(cls, root: Path) -> IgnoreRules:
        """The rules for `root`, a path as `resolve_root` returns it."""
        return cls(root)

    def is_ignored(self, path: str, is_dir: bool = False) -> bool:
        """Whether a scan leaves out the entry at `path`, relative to the root, existing or not.

        What lies outside the root, in metadata of version control, or behind a symbolic link to a
        folder is ignored.
        """
        parts = [part for part in path.split("/") if part not in ("", ".")]
        if ".." in parts or path.startswith("/"):
            return True
        folder = ""
        level = self._levels[""]
        for name in parts if is_dir else parts[:-1]:
            folder = f"{folder}/{name}" if folder else name
            if folder not in self._levels:
                self._levels[folder] = self._look_into(level, name) if level else None
            level = self._levels[folder]
        if level is None:
            return True
        return not is_dir and bool(parts) and self.verdict(level, parts[-1], False) is Verdict.IGNORED

    def verdict(self, level: Level, name: str, is_dir: bool) -> Verdict:
        """What the rules say of the entry `name` in the folder of `level`."""
        if name in METADATA_NAMES:
            return Verdict.IGNORED
        result = Verdict.NEUTRAL
        if level.tracked_only and level.tracked is not None:
            result = level.tracked.verdict(level.prefix + name, is_dir)
            if result is Verdict.IGNORED:
                return result
        key_name = match_key(name, ignore_case=self._ignore_case)
        key = level.key_prefix + key_name
        ignored = _strongest(level.own_rules, key, key_name, is_dir)
        if ignored is not None:
            return Verdict.IGNORED if ignored else _at_least_included(result)
        if not level.tracked_only:
            ignored = _strongest(level.git_rules, key, key_name, is_dir)
            if ignored is False:
                return Verdict.INCLUDED
            if ignored:
                if level.tracked is None:
                    return Verdict.IGNORED
                result = level.tracked.verdict(level.prefix + name, is_dir)
                if result is Verdict.IGNORED:
                    return result
        if self._defaults.match(key_name, key_name, is_dir):
            return Verdict.IGNORED
        return result

    def enter(self, level: Level, name: str, verdict: Verdict, markers: Collection[str]) -> Level | None:
        """The level of the sub-folder `name`, given its verdict and which `MARKER_NAMES` it holds.

        None if the markers show a virtual environment or a cache that no rule takes in.
        """
        folder = os.path.join(level.folder, name)
        prefix = f"{level.prefix}{name}/"
        if verdict is not Verdict.INCLUDED and _is_derived(folder, markers):
            return None
        if not markers:
            return replace(
                level,
                folder=folder,
                prefix=prefix,
                key_prefix=self._key(prefix),
                tracked_only=verdict is Verdict.TRACKED_ONLY,
            )
        repository = repository_at(folder) if ".git" in markers else None
        inner = Level(
            folder=folder,
            prefix=prefix,
            key_prefix=self._key(prefix),
            own_rules=level.own_rules,
            git_rules=self._top_rules(repository, prefix) if repository else level.git_rules,
            tracked=_Tracked(folder, prefix) if repository else level.tracked,
            tracked_only=verdict is Verdict.TRACKED_ONLY,
        )
        return self._with_own_files(inner, markers)

    def _look_into(self, level: Level, name: str) -> Level | None:
        verdict = self.verdict(level, name, True)
        folder = os.path.join(level.folder, name)
        if verdict is Verdict.IGNORED or os.path.islink(folder):
            return None
        return self.enter(level, name, verdict, _markers_in(folder))

    def _root_level(self, root: str, repository: Repository | None) -> Level:
        top = repository.top if repository else root
        tracked = _Tracked(top, "") if repository else None
        level = Level(top, "", "", (), self._top_rules(repository, ""), tracked)
        inner = os.path.relpath(root, top)
        parts = [] if inner == "." else inner.split(os.sep)
        hidden = False
        for name in parts:
            level = self._with_own_files(level, _markers_in(level.folder))
            verdict = self.verdict(level, name, True)
            hidden = hidden or verdict in (Verdict.IGNORED, Verdict.TRACKED_ONLY)
            prefix = f"{level.prefix}{name}/"
            level = replace(
                level, folder=os.path.join(level.folder, name), prefix=prefix, key_prefix=self._key(prefix)
            )
        if hidden or (parts and self._hides_everything(level)):
            level = replace(level, own_rules=(), git_rules=self._top_rules(None, level.prefix), tracked=None)
        return self._with_own_files(level, _markers_in(root))

    def _hides_everything(self, level: Level) -> bool:
        """As `build/**` does to a root `build`.  A rule that takes something back in shows a choice: no."""
        if any(rules.patterns.has_negation for rules in (*level.own_rules, *level.git_rules)):
            return False
        return self.verdict(level, _ANY_NAME, True) is Verdict.IGNORED

    def _top_rules(self, repository: Repository | None, prefix: str) -> tuple[_Rules, ...]:
        """The rules of git's that are not in the work tree, for a tree with its top at `prefix`."""
        paths = [self._excludes_file]
        if repository is not None:
            paths.insert(0, os.path.join(repository.common_dir, "info", "exclude"))
        lists = [self._read(path, prefix, follow=True) for path in paths]
        return tuple(rules for rules in lists if rules.patterns)

    def _with_own_files(self, level: Level, markers: Collection[str]) -> Level:
        """`level` with the rules of the ignore files in its folder."""
        own, git = level.own_rules, level.git_rules
        if OWN_RULES_FILE in markers:
            own = (self._read(os.path.join(level.folder, OWN_RULES_FILE), level.prefix), *own)
        if GIT_RULES_FILE in markers:
            git = (self._read(os.path.join(level.folder, GIT_RULES_FILE), level.prefix), *git)
        return replace(level, own_rules=own, git_rules=git)

    def _read(self, path: str, prefix: str, *, follow: bool = False) -> _Rules:
        # git does not follow a symbolic link in the work tree either.
        data = read_small(path, _RULES_LIMIT, follow=follow) if path else b""
        return _Rules(PatternList(data, ignore_case=self._ignore_case), len(self._key(prefix)))

    def _key(self, path: str) -> str:
        return match_key(path, ignore_case=self._ignore_case)


def _strongest(chain: tuple[_Rules, ...], key: str, key_name: str, is_dir: bool) -> bool | None:
    for rules in chain:
        ignored = rules.patterns.match(key[rules.depth :], key_name, is_dir)
        if ignored is not None:
            return ignored
    return None


def _at_least_included(verdict: Verdict) -> Verdict:
    return Verdict.INCLUDED if verdict is Verdict.NEUTRAL else verdict


def _is_derived(folder: str, markers: Collection[str]) -> bool:
    if "pyvenv.cfg" in markers:
        return True
    if "CACHEDIR.TAG" not in markers:
        return False
    start = read_small(os.path.join(folder, "CACHEDIR.TAG"), len(_CACHE_SIGNATURE))
    return start == _CACHE_SIGNATURE


def _markers_in(folder: str) -> frozenset[str]:
    return frozenset(name for name in MARKER_NAMES if os.path.lexists(os.path.join(folder, name)))
