"""The pattern language of `.gitignore`, as git's own matcher reads it.  Pure: bytes in, verdicts out.

git matches bytes, one directory entry at a time, and the last matching pattern decides.  Patterns and
paths are therefore held here as *keys*: strings with one character per byte (see `match_key`).

The `pathspec` library answers another question (which paths does a whole list select), from which
git's answer for one entry cannot be had back; so the translation is ours, and the tests hold it
against `git check-ignore`.  Source: gitignore(5), and git's wildmatch for what the page leaves open.
"""

from __future__ import annotations

import itertools
import re
import string
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

_GLOB = "*?[\\"
_UTF8_BOM = b"\xef\xbb\xbf"
_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}
_STAR = "*"

_Fold = Callable[[str], str]

_POSIX_CLASSES = {
    "alnum": string.ascii_letters + string.digits,
    "alpha": string.ascii_letters,
    "blank": " \t",
    "cntrl": "".join(map(chr, (*range(32), 127))),
    "digit": string.digits,
    "graph": "".join(map(chr, range(33, 127))),
    "lower": string.ascii_lowercase,
    "print": "".join(map(chr, range(32, 127))),
    "punct": string.punctuation,
    "space": " \t\n\r\v\f",
    "upper": string.ascii_uppercase,
    "xdigit": string.hexdigits,
}


def match_key(path: str, *, ignore_case: bool = False) -> str:
    """One character per UTF-8 byte of `path`; ASCII letters in lower case if case does not count."""
    if path.isascii():
        return path.lower() if ignore_case else path
    key = path.encode("utf-8", "surrogateescape").decode("latin-1")
    return key.translate(_LOWER) if ignore_case else key


@dataclass(frozen=True, slots=True)
class _Pattern:
    negated: bool
    dir_only: bool
    anchored: bool
    """Matched against the path below the ignore file's folder, not against the entry's name."""
    glob: str


@dataclass(frozen=True, slots=True)
class _Matcher:
    """Several patterns of one kind; true if any of them matches."""

    names: frozenset[str]
    suffixes: tuple[str, ...]
    name_regex: re.Pattern[str] | None
    path_regex: re.Pattern[str] | None

    def matches(self, path: str, name: str) -> bool:
        return (
            name in self.names
            or name.endswith(self.suffixes)
            or (self.name_regex is not None and self.name_regex.fullmatch(name) is not None)
            or (self.path_regex is not None and self.path_regex.fullmatch(path) is not None)
        )


@dataclass(frozen=True, slots=True)
class _Group:
    """Neighbouring patterns of one polarity, whose order does not matter."""

    ignores: bool
    entries: _Matcher | None
    """Patterns for any entry."""
    folders: _Matcher | None
    """Patterns that end in a slash: for folders only."""


class PatternList:
    """The patterns of one ignore file."""

    __slots__ = ("_groups",)

    def __init__(self, data: bytes, *, ignore_case: bool = False) -> None:
        patterns = [pattern for line in _lines(data) if (pattern := _parse(line)) is not None]
        polarities = itertools.groupby(patterns, key=lambda pattern: pattern.negated)
        groups = [_group(not negated, list(members), ignore_case) for negated, members in polarities]
        self._groups = tuple(reversed(groups))

    def __bool__(self) -> bool:
        return bool(self._groups)

    @property
    def has_negation(self) -> bool:
        return any(not group.ignores for group in self._groups)

    def match(self, path: str, name: str, is_dir: bool) -> bool | None:
        """True: ignored; False: re-included; None: no pattern matches.

        `path` is the key of the entry's path below the ignore file's folder, `name` of its last part.
        """
        for group in self._groups:
            if (group.entries is not None and group.entries.matches(path, name)) or (
                is_dir and group.folders is not None and group.folders.matches(path, name)
            ):
                return group.ignores
        return None


def _lines(data: bytes) -> Iterator[str]:
    for line in data.removeprefix(_UTF8_BOM).split(b"\n"):
        text = line.removesuffix(b"\r").split(b"\0", 1)[0].decode("latin-1")
        if text and not text.startswith("#"):
            yield _strip_trailing_spaces(text)


def _strip_trailing_spaces(text: str) -> str:
    stripped = text.rstrip(" ")
    backslashes = len(stripped) - len(stripped.rstrip("\\"))
    if backslashes % 2 and stripped != text:
        return stripped + " "
    return stripped


def _parse(line: str) -> _Pattern | None:
    negated = line.startswith("!")
    glob = line[negated:]
    dir_only = glob.endswith("/")
    if dir_only:
        glob = glob[:-1]
    anchored = "/" in glob
    glob = glob.removeprefix("/")
    return _Pattern(negated, dir_only, anchored, glob) if glob else None


def _group(ignores: bool, patterns: list[_Pattern], ignore_case: bool) -> _Group:
    return _Group(
        ignores,
        entries=_matcher([pattern for pattern in patterns if not pattern.dir_only], ignore_case),
        folders=_matcher([pattern for pattern in patterns if pattern.dir_only], ignore_case),
    )


def _matcher(patterns: list[_Pattern], ignore_case: bool) -> _Matcher | None:
    if not patterns:
        return None
    fold: _Fold = _lower if ignore_case else str
    names = [pattern.glob for pattern in patterns if not pattern.anchored]
    literals = {glob for glob in names if not _has_glob(glob)}
    suffixes = {glob for glob in names if glob[0] == "*" and not _has_glob(glob[1:])}
    others = [glob for glob in names if glob not in literals and glob not in suffixes]
    paths = [pattern.glob for pattern in patterns if pattern.anchored]
    return _Matcher(
        names=frozenset(map(fold, literals)),
        suffixes=tuple(fold(glob[1:]) for glob in suffixes),
        name_regex=_any_of(others, fold, whole_path=False),
        path_regex=_any_of(paths, fold, whole_path=True),
    )


def _lower(key: str) -> str:
    return key.translate(_LOWER)


def _has_glob(text: str) -> bool:
    return any(char in _GLOB for char in text)


def _any_of(globs: Iterable[str], fold: _Fold, *, whole_path: bool) -> re.Pattern[str] | None:
    numbers = itertools.count()
    regexes = [regex for glob in globs if (regex := _translate(glob, fold, whole_path, numbers)) is not None]
    return re.compile("|".join(regexes), re.DOTALL) if regexes else None


@dataclass(slots=True)
class _Section:
    """What follows one `**`: the regex that the `**` itself stands for, and the tokens after it."""

    opener: str
    tokens: list[str]


def _translate(glob: str, fold: _Fold, whole_path: bool, numbers: Iterator[int]) -> str | None:
    """A regular expression for one glob; None if git's matcher would never match it."""
    sections = _sections(glob, fold, whole_path)
    if sections is None:
        return None
    first, *rest = sections
    regex = _section_regex(first.tokens, numbers)
    for section in rest[:-1]:
        regex += _atomic(section.opener + _section_regex(section.tokens, numbers), numbers)
    for section in rest[-1:]:
        regex += section.opener + _section_regex(section.tokens, numbers)
    return regex


def _sections(glob: str, fold: _Fold, whole_path: bool) -> list[_Section] | None:
    """Split at each `**` that spans folders; a token is a regex for one byte, or `_STAR`."""
    # git compares the part before the first special character by itself and starts its matcher
    # after it, so that a `**` there counts as leading: `a**/b` is `a`, then `**/b`.
    start = next((i for i, char in enumerate(glob) if char in _GLOB), len(glob))
    sections = [_Section("", [])]
    i = 0
    while i < len(glob):
        tokens = sections[-1].tokens
        char = glob[i]
        if char == "*":
            end = i
            while end < len(glob) and glob[end] == "*":
                end += 1
            leads = i == start or glob[i - 1] == "/"
            if whole_path and end - i > 1 and leads and glob[end : end + 1] == "/":
                sections.append(_Section("(?:.*?/)??", []))
                end += 1
            elif whole_path and end - i > 1 and leads and (end == len(glob) or glob.startswith("\\/", end)):
                sections.append(_Section(".*?", []))
            else:
                tokens.append(_STAR)
            i = end
        elif char == "[":
            parsed = _bracket(glob, i + 1, fold)
            if parsed is None:
                return None
            regex, i = parsed
            tokens.append(regex)
        elif char == "\\":
            if i + 1 == len(glob):
                return None
            tokens.append(re.escape(glob[i + 1]))
            i += 2
        else:
            tokens.append("[^/]" if char == "?" else re.escape(fold(char)))
            i += 1
    return sections


def _section_regex(tokens: list[str], numbers: Iterator[int]) -> str:
    """Join tokens; within a path component every star but the last takes the shortest match for good.

    A later star can make up for whatever an earlier one leaves, so the shortest match loses nothing,
    and a pattern like `*a*a*a*a*b` costs no more than its length times the name's.
    """
    regex = ""
    run: list[str] = []
    starred = False
    for token in tokens:
        if token == _STAR and starred:
            regex += _atomic("[^/]*?" + "".join(run), numbers)
            run = []
        elif token == _STAR or token == "/":
            regex += ("[^/]*" if starred else "") + "".join(run)
            run = ["/"] if token == "/" else []
            starred = token == _STAR
        else:
            run.append(token)
    return regex + ("[^/]*" if starred else "") + "".join(run)


def _atomic(regex: str, numbers: Iterator[int]) -> str:
    """`regex`, never matched another way once it has matched (`(?>…)` needs Python 3.11)."""
    name = f"g{next(numbers)}"
    return f"(?=(?P<{name}>{regex}))(?P={name})"


def _bracket(glob: str, i: int, fold: _Fold) -> tuple[str, int] | None:
    """The set that starts after the `[` before `i`: its regex and the index after its `]`.

    None if it is not closed or names an unknown class: git then matches nothing.  Where case does not
    count, git lowers the name but neither an escaped character nor a single one in a set.
    """
    negated = glob[i : i + 1] in ("!", "^")
    i += negated
    members: set[str] = set()
    previous = ""
    first = True
    while i < len(glob) and (first or glob[i] != "]"):
        first = False
        char = glob[i]
        if char == "-" and previous and i + 1 < len(glob) and glob[i + 1] != "]":
            i += 2 if glob[i + 1] == "\\" else 1
            span = map(chr, range(ord(previous), ord(glob[i : i + 1] or "\0") + 1))
            members.update(itertools.chain.from_iterable((char, fold(char)) for char in span))
            previous = ""
        elif char == "[" and glob[i + 1 : i + 2] == ":":
            close = glob.find("]", i + 2)
            if close < 0:
                return None
            if close == i + 2 or glob[close - 1] != ":":
                members.add("[")
                previous = "["
            else:
                named = _POSIX_CLASSES.get(glob[i + 2 : close - 1])
                if named is None:
                    return None
                members.update(named, fold(named))
                previous = ""
                i = close
        else:
            i += char == "\\"
            previous = glob[i : i + 1]
            members.add(previous)
        i += 1
    if i >= len(glob):
        return None
    return _set_regex(members, negated), i + 1


def _set_regex(members: set[str], negated: bool) -> str:
    inside = "".join(re.escape(char) for char in sorted(members))
    if negated:
        return f"[^/{inside}]"
    return f"(?!/)[{inside}]" if members else "(?!)"
