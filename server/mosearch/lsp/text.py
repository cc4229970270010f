"""Text as LSP counts it: lines by its three kinds of line end, characters in the client's encoding.  Pure.

Libraries that split lines as Python does see ends that LSP does not (form feed, U+0085, U+2028 …), which
puts every later edit of such a document in the wrong place.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from lsprotocol import types as lsp

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\n|\r|\Z)")
_PAIR_BEGINS = 0x10000
"""From here on a character takes two units of UTF-16."""


class Document:
    """An open document, edited in place: an edit costs what it changes, not the size of the document.

    One thread edits; others may read `source` at the same time.
    """

    def __init__(self, uri: str, text: str, version: int | None, encoding: str) -> None:
        self.uri = uri
        self.version = version
        self.edits = 0
        """Counts up with every edit, so that one can tell whether it is still the same text."""
        self._encoding = encoding
        self._lines = split_lines(text)

    @property
    def source(self) -> str:
        return "".join(self._lines)

    def line(self, number: int) -> str:
        """The 0-based line without its end; empty beyond the document's."""
        return _content(self._lines[number]) if 0 <= number < len(self._lines) else ""

    def width(self, number: int) -> int:
        """The units of a line without its end."""
        return units_of(self.line(number), self._encoding)

    @property
    def line_count(self) -> int:
        return len(self._lines)

    def replace(self, text: str) -> None:
        self._lines = split_lines(text)
        self.edits += 1  # last: whoever reads meanwhile in another thread reads again

    def edit(self, span: lsp.Range, text: str) -> None:
        """Put `text` in the place of `span`.  Positions beyond a line or the document mean its end."""
        first, start = self._place(span.start)
        last, end = max(self._place(span.end), (first, start))
        merged = self._lines[first][:start] + text + self._lines[last][end:]
        if first > 0 and merged.startswith("\n") and self._lines[first - 1].endswith("\r"):
            first -= 1  # the two have become one line end
            merged = self._lines[first] + merged
        lines = split_lines(merged)
        if last + 1 < len(self._lines):
            lines.pop()  # `merged` ends with the end of a line, after which the next line follows
        self._lines[first : last + 1] = lines
        self.edits += 1

    def _place(self, position: lsp.Position) -> tuple[int, int]:
        if position.line >= len(self._lines):
            return len(self._lines) - 1, len(self._lines[-1])
        return position.line, index_of(
            _content(self._lines[position.line]), position.character, self._encoding
        )


def split_lines(text: str) -> list[str]:
    """Lines with their ends; the last, perhaps empty, has none."""
    lines = _LINE.findall(text)
    # The pattern also matches the nothing after a last line that has text.
    return lines[:-1] if len(lines) > 1 and not lines[-1] and not lines[-2].endswith(("\n", "\r")) else lines


def index_of(line: str, character: int, encoding: str) -> int:
    """The index in `line` of the code point at `character` units; at most the line's length."""
    if encoding == lsp.PositionEncodingKind.Utf32 or line.isascii():
        return min(character, len(line))
    units = 0
    for index, letter in enumerate(line):
        units += _units(letter, encoding)
        if units > character:
            return index
    return len(line)


def units_of(text: str, encoding: str) -> int:
    """How many units `text` takes."""
    if encoding == lsp.PositionEncodingKind.Utf32 or text.isascii():
        return len(text)
    return sum(_units(letter, encoding) for letter in text)


def position_at(data: bytes, offset: int, encoding: str) -> lsp.Position:
    """The position of a byte `offset` of a UTF-8 text; the middle of a line end counts as its start."""
    offset = min(offset, len(data))
    if data[offset - 1 : offset + 1] == b"\r\n" and offset > 0:
        offset -= 1
    before = data[:offset]
    line = before.count(b"\n") + before.count(b"\r") - before.count(b"\r\n")
    start = max(before.rfind(b"\n"), before.rfind(b"\r")) + 1
    return lsp.Position(line, units_of(before[start:].decode("utf-8", "surrogatepass"), encoding))


def newlines_before(lines: Sequence[str], line: int) -> int:
    """How many `\\n` come before a line as LSP counts: the number by which parsers know it."""
    return sum(text.endswith("\n") for text in lines[:line])


def _units(letter: str, encoding: str) -> int:
    point = ord(letter)
    if encoding == lsp.PositionEncodingKind.Utf8:
        return 1 if point < 0x80 else 2 if point < 0x800 else 3 if point < _PAIR_BEGINS else 4
    return 1 if point < _PAIR_BEGINS else 2


def _content(line: str) -> str:
    return line.rstrip("\r\n")
