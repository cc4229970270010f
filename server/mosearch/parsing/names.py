"""Names, signatures and documentation as people read them, from source bytes."""

from __future__ import annotations

import inspect
import re

SIGNATURE_CHARS = 300
"""Longer ones are cut: a signature is shown on one line and repeated before each part."""
DOCSTRING_CHARS = 1000
"""Longer ones are cut: the whole text is in the chunk, and this copy serves display and ranking."""

NAME_CHARS = 120
"""Longer ones are cut: titles of tests, or what error recovery takes for a name."""

_TYPE_ARGUMENTS = re.compile(r"<[^<>]*>|\[[^\[\]]*\]")
_QUOTES = "\"'`"
# Receivers that say where a function is put, not what it belongs to: `module.exports.f = …`.
_NO_CONTAINER = frozenset(
    {"module", "exports", "prototype", "this", "self", "window", "globalThis", "global"}
)
_PLAIN = re.compile(r"[\w$@#~!?' -]+")
_SIGNATURE_END = re.compile(r"\s*(?:=>|->|[={:;,(\\]|\bdo|\bis|\bwhere|\bend)$")
_SPACES = re.compile(r"\s+")
_LITERAL = re.compile(r"^[A-Za-z~]*(\"\"\"|'''|\"|')(.*?)\1?$", re.DOTALL)
_COMMENT_MARK = re.compile(
    r"^(?:/\*+!?|///?[/!]?|#+!?|--\[\[|-- ?[|^]|--+|\{-[|]?|;+|%+)[ \t]?|(?:\*+/|-\}|\]\])$"
)
_XML_DOC = re.compile(r"</?(?:summary|remarks|returns|param|typeparam|value|exception|para|see|c)\b[^<>]*>")
_BLOCK_LINE = re.compile(r"^\s*\*(?!/)[ \t]?")
# C++: `operator ==` without the blank, `operator bool() const` without its parameters.
_OPERATOR = re.compile(r"(?<!\w)(operator)(?!\w)(?: ?(\(\)|[^\w\s(][^(]*)|( [^(]+))?")
_RUBY_SYMBOL = re.compile(r":[^\W\d]\w*[?!=]?")


def decode(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def split_name(name: str, separator: str) -> tuple[list[str], str]:
    """A name as written in a definition → (what it is qualified with, the name itself).

    `separator` is the language's own, or one character of several; empty: names are never qualified.
    """
    name = _SPACES.sub(" ", name)[: 4 * NAME_CHARS]
    if name[:1] in _QUOTES:
        return [], name.strip(_QUOTES)[:NAME_CHARS]
    if _RUBY_SYMBOL.fullmatch(name):
        return [], name[1 : NAME_CHARS + 1]
    if name.isidentifier() or not separator or name[0] == "[":
        return [], name[:NAME_CHARS]
    if operator := _OPERATOR.search(name):
        return _parts(name[: operator.start()], separator), "".join(operator.groups(""))[:NAME_CHARS].rstrip()
    parts = _parts(name, separator)
    if not parts:
        return [], name[:NAME_CHARS]
    return [part for part in parts[:-1] if part not in _NO_CONTAINER and _PLAIN.fullmatch(part)], parts[-1]


def receiver(text: str, separator: str) -> list[str]:
    """What a definition written elsewhere belongs to: `Reply.prototype` → Reply."""
    containers, last = split_name(text, separator)
    return [*containers, *([] if separator and last in _NO_CONTAINER else [last])]


def _parts(name: str, separator: str) -> list[str]:
    for _ in range(4):  # type arguments nest, rarely deeper
        name = _TYPE_ARGUMENTS.sub("", name)
    name = name.replace(separator, "\0") if separator == "::" else re.sub(f"[{separator}]", "\0", name)
    return [stripped[:NAME_CHARS] for part in name.split("\0") if (stripped := part.strip(" *&"))]


def signature(declaration: str) -> str:
    """One line, without what opens the body."""
    line = _SPACES.sub(" ", declaration[: 4 * SIGNATURE_CHARS]).strip()
    return _SIGNATURE_END.sub("", line)[:SIGNATURE_CHARS].rstrip()


def comment_text(comments: list[str]) -> str:
    """The prose of neighbouring comments, without their markers."""
    lines: list[str] = []
    for comment in comments:
        text = comment.strip()
        if text.startswith(("/*", "{-", "--[[")):
            for _ in range(2):  # once for what opens, once for what closes
                text = _COMMENT_MARK.sub("", text, count=1).rstrip()
            lines += [_BLOCK_LINE.sub("", line) for line in text.splitlines()]
        else:
            lines += [_COMMENT_MARK.sub("", line.strip(), count=1) for line in text.splitlines()]
    text = _XML_DOC.sub("", "\n".join(lines))
    return inspect.cleandoc(text)[:DOCSTRING_CHARS].strip()


def literal_text(literal: str) -> str:
    """The prose of a string literal that documents."""
    match = _LITERAL.match(literal.strip())
    return inspect.cleandoc(match[2] if match else literal)[:DOCSTRING_CHARS].strip()
