"""Macros that hide definitions from a grammar, overwritten by blanks: same length, same lines.

C++ annotations are taken out before parsing; the C grammar takes `int f(void) UNUSED(x) {` as it is.
What Rust wraps around items (`cfg_rt! { … }`) can only be told from other macros once it is parsed.
"""

from __future__ import annotations

import re

from tree_sitter import Node

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
# What a macro's braces begin with when items stand in them: attributes, comments, then a keyword.
_ITEMS = re.compile(
    rb"""(?x)
    \{ (?: \s | //[^\n]*\n | /\*(?:[^*]|\*(?!/))*\*/ | \#!?\[[^\]]*\] )*
    (?: (?: pub | fn | impl | struct | enum | union | trait | mod | use | type | const | async | unsafe
        | extern )\b
      | [a-z_][\w:]*! \s* \{ )"""
)
_ITEM_HOLDERS = frozenset({"source_file", "declaration_list"})
_NOT_NEWLINE = re.compile(rb"[^\r\n]")


def without_macros(source: bytes) -> bytes:
    """`source` with annotation macros overwritten by blanks: same length, same lines.

    Where the pattern hits a macro in other code (`if (x) ASSERT(y);`) the syntax tree loses a
    statement, and no definition.
    """
    return _BEFORE_NAME.sub(_blank, _AFTER_PARAMETERS.sub(_blank, source))


def item_macros(root: Node) -> list[Node]:
    """The macro calls below the root of a Rust tree in whose braces items seem to stand, outer ones only."""
    found, holders = [], [root]
    while holders:
        for child in holders.pop().children:
            if child.type == "macro_invocation" and _ITEMS.match(_braces(child).text or b""):
                found.append(child)
            holders += [grandchild for grandchild in child.children if grandchild.type in _ITEM_HOLDERS]
    return sorted(found, key=lambda macro: macro.start_byte)


def without_wrappers(source: bytes, macros: list[Node]) -> bytes:
    """`source` with the names and outer braces of macro calls overwritten by blanks."""
    text = bytearray(source)
    for macro in macros:
        opening, closing = _braces(macro).start_byte, macro.end_byte - 1
        text[macro.start_byte : opening + 1] = _NOT_NEWLINE.sub(b" ", source[macro.start_byte : opening + 1])
        text[closing : closing + 1] = b" "
    return bytes(text)


def _braces(macro: Node) -> Node:
    return macro.children[-1]


def _blank(match: re.Match[bytes]) -> bytes:
    start, end = match.start("macros") - match.start(), match.end("macros") - match.start()
    text = match[0]
    return text[:start] + _NOT_NEWLINE.sub(b" ", text[start:end]) + text[end:]
