"""Which text is worth a chunk of its own.  Licences, imports and tables of numbers answer no question."""

from __future__ import annotations

import re
from bisect import bisect_right

from mosearch.parsing.splitting import Piece

_LICENCE_STARTS_WITHIN = 2000
_PROSE_WORDS = 5
_DOC_WORDS = 2
_DATA_SHARE = 0.8
_DATA_DIGITS = 0.1
"""Data has at least this share of digits; a cheap test first, as it is asked of all long texts."""
_BLANKS = b" \t\r\n\f\v"

_LICENCE = re.compile(
    rb"""(?xi)
    \bcopyright\b [^\n]{0,60}? (?:\(c\)|\xc2\xa9|\d{4}) | \(c\)\s*(?:copyright|\d{4})
    | SPDX-License-Identifier
    | \blicen[sc]ed\s+under\b | \bunder\s+the\s+terms\s+of\b | \ball\s+rights\s+reserved\b
    | \bpermission\s+is\s+hereby\s+granted\b | \bredistribution\s+and\s+use\b
    | \breleased\s+to\s+the\s+public\s+domain\b
    | \bgoverned\s+by\s+an?\s+\S+\s+licen[sc]e
    | \b(?:general\s+public|apache|mit|bsd|mozilla)\s+licen[sc]e\b"""
)
_LICENCE_PARAGRAPH = re.compile(
    rb"(?i)copyright|licen[sc]|warrant|permission|redistribut|spdx|rights reserved|\bas is\b|liab"
    rb"|copying|notice|free software|\bauthors?\b"
)
_COMMENT_MARKS = re.compile(rb"^[^\w\n\x80-\xff]+", re.MULTILINE)
_PROSE_WORD = re.compile(rb"[^\W\d_]{2,}|[\x80-\xff]{2,}")
_DIRECTIVE = re.compile(
    rb"(?i)\A(?:#!|[^\w@]*(?:eslint|jshint|jslint|global\b|globals\b|tslint|prettier|istanbul|@ts-|@flow|vim:"
    rb"|clang-format|noqa|pylint|pragma|coding[:=]|-\*-|frozen_string_literal|checkstyle|noinspection))"
)
_NAME = re.compile(rb"[A-Za-z_]{3}")
_WORD = re.compile(rb"[0-9A-Za-z_\x80-\xff]")
# Lines of the C preprocessor that hold no code: `#ifndef POOL_H`, `#endif`.
_CONDITION = re.compile(
    rb"^[ \t]*#[ \t]*(?:if|ifdef|ifndef|elif|else|endif|pragma|undef)\b(?:\\\r?\n|[^\n])*", re.MULTILINE
)
_HEAD = re.compile(
    rb"\s*(?:#\s*(?:include|if|define|pragma)|import|from|package|using|use|module|namespace|declare)\b"
)
_DATA = re.compile(
    rb"""(?x)
    \\(?: x[0-9A-Fa-f]{1,2} | u[0-9A-Fa-f]{4} | [0-7]{1,3} ) | \b0[xX][0-9A-Fa-f]+[uUlL]*
    | [0-9A-Fa-f]{16,} | [A-Za-z0-9+/=]{48,} | \b\d[\d.]*(?:[eE]\d+)?[uUlLfF]*\b | [^\w\s\x80-\xff]"""
)


def is_data(text: bytes) -> bool:
    """Whether `text` is numbers, escapes and what parts them, and names nothing.

    Blanks aside, these make up more than `_DATA_SHARE`.
    """
    size = len(text.translate(None, _BLANKS))
    if (len(text) - len(text.translate(None, b"0123456789"))) < _DATA_DIGITS * size:
        return False
    rest = _DATA.sub(b"", text)
    return len(rest.translate(None, _BLANKS)) < (1 - _DATA_SHARE) * size and not _NAME.search(rest)


def licences(source: bytes, comments: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The comments near the start of a file that hold a licence and nothing else, as ranges.

    `comments` are sorted ranges; line comments without a blank line between count as one.
    """
    found: list[tuple[int, int]] = []
    block: list[tuple[int, int]] = []
    code_above = False
    last = 0
    for start, end in comments:
        if block and (source.startswith(b"/*", start) or _is_break(source[block[-1][1] : start])):
            found += _licence(source, block, code_above)
            block = []
        code_above = code_above or (not block and source[last:start].strip() not in (b"", b"<?php"))
        last = end
        if start > _LICENCE_STARTS_WITHIN and not block:
            break
        block.append((start, end))
    return found + _licence(source, block, code_above) if block else found


def _documents(source: bytes, block: list[tuple[int, int]]) -> bool:
    """Whether a definition seems to begin in the line below."""
    rest = source[block[-1][1] :].split(b"\n", 2)
    return len(rest) > 1 and bool(rest[1].strip()) and not _HEAD.match(rest[1])


def _is_break(gap: bytes) -> bool:
    return bool(gap.strip()) or gap.count(b"\n") > 1


def _licence(source: bytes, block: list[tuple[int, int]], code_above: bool) -> list[tuple[int, int]]:
    """The range of `block`, as a list, if it is a licence; none if it also says what the file does, or
    documents a definition in the midst of code."""
    span = block[0][0], block[-1][1]
    text = source[slice(*span)]
    if not _LICENCE.search(text) or (code_above and _documents(source, block)):
        return []
    paragraphs = re.split(rb"\n{2,}", _COMMENT_MARKS.sub(b"", text.replace(b"\r", b"")))
    hits = [index for index, each in enumerate(paragraphs) if _LICENCE_PARAGRAPH.search(each)]
    others = [*paragraphs[: hits[0]], *paragraphs[hits[-1] + 1 :]] if hits else []
    return [] if any(_is_prose(each) for each in others) else [span]


def _is_prose(text: bytes) -> bool:
    least = _DOC_WORDS if text.startswith((b"/**", b"/*!", b"//!")) else _PROSE_WORDS
    return len(_PROSE_WORD.findall(text)) >= least and not _DIRECTIVE.match(text)


class Preamble:
    """The ranges of a text that make no chunk by themselves: imports, short comments, names of scopes."""

    def __init__(self, source: bytes, ranges: list[tuple[int, int]], comments: list[tuple[int, int]]) -> None:
        self._source = source
        self._ranges = sorted([*((*each, False) for each in ranges), *((*each, True) for each in comments)])

    def is_all_of(self, pieces: list[Piece]) -> bool:
        """Whether `pieces` hold no statement and no prose."""
        return not any(self._says_something(each.start, each.end) for each in pieces if not each.silent)

    def _says_something(self, start: int, end: int) -> bool:
        kept = []
        first = max(bisect_right(self._ranges, (start, end, True)) - 1, 0)
        for index in range(first, len(self._ranges)):
            range_start, range_end, is_comment = self._ranges[index]
            if range_start >= end:
                break
            if is_comment and _is_prose(self._source[max(start, range_start) : range_end]):
                continue
            kept.append(self._source[start : max(start, range_start)])
            start = max(start, range_end)
        kept.append(self._source[start:end])
        text = b"\n".join(kept)
        return bool(_WORD.search(_CONDITION.sub(b"", text) if b"#" in text else text))
