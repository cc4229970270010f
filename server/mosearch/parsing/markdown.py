"""Markdown by heading.

Headings are found line by line, not with the Markdown grammar: only headings and code fences matter
here, and lines are read many times faster than a syntax tree is built.
"""

from __future__ import annotations

import re

from mosearch.parsing import names
from mosearch.parsing.definitions import Definition

_LINE = re.compile(rb"[^\n]*\n?")
# What is said beside an opening fence of backticks holds none: ```so``` is code within a line.
_FENCE = re.compile(rb" {0,3}(```+(?=[^`]*$)|~~~+)")
_HEADING = re.compile(rb" {0,3}(#{1,6})(?=[ \t\r\n]|$)")
_UNDERLINE = re.compile(rb" {0,3}(=+|-+)[ \t]*\r?\n?$")
# Lines that are no paragraph, so that a line of dashes below them is a rule, not an underline.
_NO_PARAGRAPH = re.compile(rb"\s*(?:$|[#>|]|[-*+][ \t]|\d+[.)][ \t]|---|===|\t| {4})")


def sections(source: bytes) -> list[Definition]:
    """The sections of a Markdown text, each from its heading to the next; a section's path is its
    parent headings.  What stands before the first heading is in none of them."""
    found: list[Definition] = []
    above: list[tuple[int, str]] = []
    for start, level, title in _headings(source):
        while above and above[-1][0] >= level:
            above.pop()
        if found:
            found[-1].end = start
        path = tuple(name for _, name in above)
        found.append(
            Definition("section", title, path, start, start, start, _line_end(source, start), len(source))
        )
        above.append((level, title))
    return found


def _headings(source: bytes) -> list[tuple[int, int, str]]:
    """(offset, level, title) of each heading outside code fences and front matter."""
    found: list[tuple[int, int, str]] = []
    fence = b""
    previous, previous_start = b"", 0
    for match in _LINE.finditer(source, _front_matter_end(source)):
        line = match[0]
        mark = _FENCE.match(line)
        if fence:
            if mark and mark[1].startswith(fence) and not line[mark.end() :].strip():
                fence = b""
            line = b""
        elif mark:
            fence = mark[1]
            line = b""
        elif heading := _HEADING.match(line):
            found.append((match.start(), len(heading[1]), _title(_unclosed(line[heading.end() :]))))
        elif (under := _UNDERLINE.match(line)) and not _NO_PARAGRAPH.match(previous):
            found.append((previous_start, 1 if under[1][:1] == b"=" else 2, _title(previous)))
        previous, previous_start = line, match.start()
    return found


def _unclosed(title: bytes) -> bytes:
    """A heading without the number signs that may close it."""
    title = title.strip()
    bare = title.rstrip(b"#")
    return bare if not bare or bare[-1:].isspace() else title


def _title(line: bytes) -> str:
    """A whole paragraph on one line, or an image within it, may stand above an underline."""
    return names.decode(line).strip()[: names.NAME_CHARS]


def _front_matter_end(source: bytes) -> int:
    if not source.startswith((b"---\n", b"---\r\n")):
        return 0
    end = re.compile(rb"^(?:---|\.\.\.)\s*$", re.MULTILINE).search(source, 4)
    return end.end() if end else 0


def _line_end(source: bytes, start: int) -> int:
    newline = source.find(b"\n", start)
    return len(source) if newline < 0 else newline
