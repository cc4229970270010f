"""Clones made on purpose: the same function under other names, laid out anew, with statements moved.

Rough on purpose, too: what they are made of is text, so that one maker serves all languages.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping

from mosearch.ranking.likeness import KEYWORDS

_NAME = re.compile(r"(?<![\w$\"'])[A-Za-z_]\w{1,}")
_PROSE_OR_NAME = re.compile(
    r"//[^\n]*|/\*.*?\*/|(?m:^\s*#(?!include|define)[^\n]*)|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'"
    rf"|(?P<name>{_NAME.pattern})",
    re.DOTALL,
)
_VARIABLE = re.compile(r"(?<![\w$\"'.>:])[a-z_]\w+\b(?!\s*[(.:]{1,2}\w*\()")
_CALLED = re.compile(r"\b([A-Za-z_]\w+)\s*\(")
_OTHER_NAMES = tuple(
    """
    item value entry node data result buffer index key part piece source target first last current
    next prev left right size count total limit offset start stop text line word name label flag
    mode state kind level depth score rank weight ratio box slot cell row column page block group
    list map table queue stack tree path file folder
    """.split()
)
_COMMENT_LINE = re.compile(r"^\s*(?://|#(?!include|define|if|el|end)|--|\*|/\*)")
_STATEMENT = re.compile(r"^(\s+)\S.*[;)\w\"'\]]\s*$")
_BLOCK = re.compile(
    r"^\s*(?:if|for|while|switch|else|elif|try|catch|except|return|def|fn|func|function|case|end|with|do"
    r"|break|continue|throw|raise|yield|@)\b|[{}:,(\[]\s*$|^\s*[})\].]|=>|\bdo\b"
)


def renamed(code: str, random: random.Random) -> str:
    """Variables and the function itself get other names, everywhere the same; calls and types stay."""
    variables = set(_VARIABLE.findall(code)) - set(_CALLED.findall(code))
    own = _CALLED.search(code)
    return _with_others(code, variables | ({own[1]} if own else set()), random)


def all_renamed(code: str, random: random.Random) -> str:
    """Every name that is no keyword gets another one."""
    return _with_others(code, set(_NAME.findall(code)), random)


def _with_others(code: str, names: set[str], random: random.Random) -> str:
    old = sorted(name for name in names if name.lower() not in KEYWORDS)
    doubled = [f"{one}_{other}" for one in _OTHER_NAMES for other in _OTHER_NAMES if one != other]
    free = [name for name in (*_OTHER_NAMES, *doubled) if name not in names]
    head = free[: max(len(_OTHER_NAMES) // 2, len(old))]
    others = dict(zip(old, random.sample(head, len(old)), strict=True))
    return _PROSE_OR_NAME.sub(lambda found: others.get(found["name"], found[0]), code)


def laid_out(code: str, random: random.Random) -> str:
    """Other indentation, blank lines between, comments gone."""
    lines = [line for line in code.splitlines() if line.strip() and not _COMMENT_LINE.match(line)]
    wide = []
    for line in lines:
        body = line.lstrip()
        wide.append("  " * (len(line) - len(body)) + body)
        if random.random() < 0.3:
            wide.append("")
    return "\n".join(wide)


def reordered(code: str) -> str:
    """Neighbouring plain statements at one depth change places."""
    lines = code.splitlines()
    index = 1
    while index < len(lines) - 1:
        one, other = (_STATEMENT.match(line) for line in lines[index : index + 2])
        plain = one and other and one[1] == other[1]
        if plain and not any(_BLOCK.search(line) for line in lines[index : index + 2]):
            lines[index], lines[index + 1] = lines[index + 1], lines[index]
            index += 1
        index += 1
    return "\n".join(lines)


MAKERS: Mapping[str, Callable[[str, random.Random], str]] = {
    "variables renamed": renamed,
    "all renamed": all_renamed,
    "laid out anew": laid_out,
    "reordered": lambda code, _: reordered(code),
    "variables renamed, reordered": lambda code, random: renamed(reordered(code), random),
}
"""What was done → how."""
