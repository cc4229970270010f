"""Ranges of source to parts of bounded size.  Knows lines and indentation, no language."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

PART_BYTES = 1200
"""The most source in one chunk.  The bundled encoder reads 256 tokens, 700 to 900 bytes of code.  On five
repositories in as many languages, a bound of 1600 hid 15 % of all tokens from it, 1200 hides 9 % for 5 % more
chunks, 1000 hides 5 % for 11 % more; but a function kept whole has one vector that tells all it does."""
PART_LINES = 60
"""The most lines in one chunk: what fits a screen."""

_LINE_COST = PART_BYTES / PART_LINES
_LINE = re.compile(rb"[^\n]+")
_WORD = re.compile(rb"[0-9A-Za-z_\x80-\xff]")
# A line that goes on with, or closes, what came before is no place to begin a part.
_CONTINUES = re.compile(rb"[ \t]*(?:[)\]}]|(?:end|else|elif|elsif|except|rescue|finally|catch|fi|done)\b)")


@dataclass(slots=True)
class Piece:
    """Source from `start` to `end`, standing for all of `span_start` to `span_end`.

    The two differ where a member is shown by its signature only.  A silent piece (closing
    brackets left over between members) extends the span of its part and adds no text.
    """

    start: int
    end: int
    span_start: int
    span_end: int
    silent: bool = False


def piece(source: bytes, start: int, end: int) -> Piece | None:
    """The non-blank core of `source[start:end]`, with its first line's indentation; None if blank."""
    text = source[start:end]
    core = text.strip()
    if not core:
        return None
    first = start + len(text) - len(text.lstrip())
    last = first + len(core)
    line = source.rfind(b"\n", 0, first) + 1
    if source[line:first].isspace():
        first = line
    return Piece(first, last, first, last, silent=not _WORD.search(core))


def split(source: bytes, pieces: list[Piece], head: int = 0) -> list[list[Piece]]:
    """Groups of pieces, each at most `PART_BYTES` and `PART_LINES` long.

    Breaks fall where the next line is least indented, best after a blank line, and parts come out
    of like size.  Only a line longer than the bound is cut inside.  The first part goes beyond the
    offset `head`, where a declaration begins, if what leads to it leaves room.
    """
    lines: list[Piece] = []
    cost = [0.0]
    if sum(_cost(source, each) for each in pieces) <= PART_BYTES:
        return [pieces]
    for each in pieces:
        for line in _lines(source, each):
            lines.append(line)
            cost.append(cost[-1] + (0 if line.silent else max(line.end - line.start, _LINE_COST)))
    parts = []
    begin = 0
    while begin < len(lines):
        end = _break(source, lines, cost, begin, 0 if begin else head)
        if cost[end] == cost[-1]:
            end = len(lines)  # what is left is silent, and no part is without text
        parts.append(_joined(source, lines[begin:end]))
        begin = end
    return parts


def _cost(source: bytes, each: Piece) -> float:
    if each.silent:
        return 0
    return max(each.end - each.start, _LINE_COST * (source.count(b"\n", each.start, each.end) + 1))


def _lines(source: bytes, each: Piece) -> list[Piece]:
    if not _whole(each):
        return [each]
    lines = []
    for match in _LINE.finditer(source, each.start, each.end):
        if match[0].isspace():
            continue
        start, end = match.span()
        while end - start > PART_BYTES:
            cut = char_boundary(source, start + PART_BYTES)
            lines.append(Piece(start, cut, start, cut))
            start = cut
        lines.append(Piece(start, end, start, end))
    return lines


def char_boundary(source: bytes, offset: int) -> int:
    """The last UTF-8 character boundary at or before `offset` (invalid text: within 3 bytes)."""
    for back in range(4):
        if offset - back >= len(source) or source[offset - back] & 0xC0 != 0x80:
            return offset - back
    return offset


def _break(source: bytes, lines: list[Piece], cost: list[float], begin: int, head: int) -> int:
    """Index of the line after the part that begins at `begin`, and holds the line of `head` if that fits."""
    rest = cost[-1] - cost[begin]
    ideal = rest / max(1, math.ceil(rest / PART_BYTES))
    if ideal == rest:
        return len(lines)
    shown = next((index for index in range(begin, len(lines)) if lines[index].start > head), len(lines))
    least = cost[shown] - cost[begin]
    least = least if least <= PART_BYTES else 0
    best, best_score = begin + 1, (math.inf, True, math.inf)
    for index in range(begin + 1, len(lines)):
        size = cost[index] - cost[begin]
        if size > PART_BYTES:
            break
        if size < max(ideal / 2, least):
            best = index
            continue
        line = lines[index]
        gap = source[lines[index - 1].end : line.start]
        score = (_indent(source, line), gap.count(b"\n") < 2, abs(size - ideal))
        if score < best_score:
            best, best_score = index, score
    return best


def _indent(source: bytes, line: Piece) -> float:
    text = source[line.start : line.end]
    if line.silent or _CONTINUES.match(text):
        return math.inf
    return len(text) - len(text.lstrip())


def _joined(source: bytes, lines: list[Piece]) -> list[Piece]:
    """Neighbouring lines with nothing but blank between, as written, become one piece again."""
    joined: list[Piece] = []
    for line in lines:
        last = joined[-1] if joined else None
        if last and _whole(last) and _whole(line) and not source[last.end : line.start].strip():
            joined[-1] = Piece(last.start, line.end, last.start, line.end)
        else:
            joined.append(line)
    return joined


def _whole(each: Piece) -> bool:
    return not each.silent and (each.start, each.end) == (each.span_start, each.span_end)
