"""Macros that the C++ grammar cannot read without the preprocessor, taken out before parsing.

The C grammar takes `int f(void) UNUSED(x) {` as it is.
"""

from __future__ import annotations

import re

# `bool Insert(int k) const EXCLUSIVE_LOCKS_REQUIRED(mu_) {`: what follows a parameter list.  A macro
# at the margin begins something of its own (`TEST(A, B) {`).
_AFTER_PARAMETERS = re.compile(
    rb"""(?x)
    \) (?:\s* \b(?:const|noexcept|override|final)\b)* (?: [ \t]+ | \s*\n[ \t]+ )
    (?P<macros> [A-Z][A-Z0-9_]{2,} \s* \([^(){};]*\)
      (?: \s+ (?:[A-Z][A-Z0-9_]{2,} \s* \([^(){};]*\) | override | final | const) )* )
    (?= \s* (?: [{:;] | = \s* (?:0|default|delete) ) )"""
)
# `class LEVELDB_EXPORT DB {`, `struct ALIGNED(8) Node : Base {`
_BEFORE_NAME = re.compile(
    rb"""(?x)
    (?: class | struct | union | enum (?:\s+(?:class|struct))? ) \s+
    (?P<macros> [A-Z][A-Z0-9_]{2,} (?:\s* \([^(){};]*\))? ) \s+
    (?= [A-Za-z_][\w:]* (?:<[^<>{};]*>)? (?:\s+final)? \s* (?: \{ | :[^:] ) )"""
)
_NOT_NEWLINE = re.compile(rb"[^\r\n]")


def without_macros(source: bytes) -> bytes:
    """`source` with annotation macros overwritten by blanks: same length, same lines.

    Where the pattern hits a macro in other code (`if (x) ASSERT(y);`) the syntax tree loses a
    statement, and no definition.
    """
    return _BEFORE_NAME.sub(_blank, _AFTER_PARAMETERS.sub(_blank, source))


def _blank(match: re.Match[bytes]) -> bytes:
    start, end = match.start("macros") - match.start(), match.end("macros") - match.start()
    text = match[0]
    return text[:start] + _NOT_NEWLINE.sub(b" ", text[start:end]) + text[end:]
