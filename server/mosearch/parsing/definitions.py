"""Query matches to a forest of definitions.

Tree-sitter nodes end here: a `Definition` holds byte offsets and strings only.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from mosearch.parsing import names
from mosearch.parsing.grammars import Grammar, Match
from mosearch.parsing.worth import licences
from mosearch.types import SymbolKind

MIN_NESTED_LINES = 3
"""A shorter definition inside a function (a callback, a local type) stays text of the outer one only."""
MIN_MACRO_LINES = 3
"""A shorter macro is a constant or an alias, and stays with the module's remaining code."""
MAX_TRIVIAL_LINES = 2
MAX_TRIVIAL_BYTES = 100
"""A member of a class that has neither more lines with a word in them nor more bytes, and no comment of
its own (`int size() { return size_; }`), stays text of the class: its name and its class say all it does."""

FUNCTIONS = {
    "function": SymbolKind.FUNCTION,
    "method": SymbolKind.METHOD,
    "constructor": SymbolKind.CONSTRUCTOR,
    "macro": SymbolKind.FUNCTION,
}
CLASSES = {
    "class": SymbolKind.CLASS,
    "struct": SymbolKind.STRUCT,
    "enum": SymbolKind.ENUM,
    "interface": SymbolKind.INTERFACE,
    "module": SymbolKind.MODULE,
    "extension": SymbolKind.CLASS,
    "section": SymbolKind.STRING,
}
BARE = "bare extension"
SCOPES = {"namespace": SymbolKind.NAMESPACE, "object": SymbolKind.OBJECT, BARE: SymbolKind.CLASS}
"""They lend their name to what is inside and are no chunk themselves.  `BARE` is no capture: it is what
becomes of an extension that holds nothing but functions."""

KINDS = FUNCTIONS | CLASSES | SCOPES
_METHOD_HOLDERS = {*CLASSES, "object"} - {"module"}
_ABSORBING = {*CLASSES} - {"module"}
_CONSTRUCTORS = frozenset({"constructor", "__construct"})
_WORD = re.compile(rb"[0-9A-Za-z_\x80-\xff]")
_NAMELESS = "exports"
"""What CommonJS assigns the one thing to that a module is: no name, where the thing has one."""
_MAX_PATH = 8
"""Names kept of a container's path: code generators nest thousands deep."""


@dataclass(slots=True)
class Definition:
    """A named thing in the source.  Offsets are bytes; `start` ≤ `outer` ≤ `head` ≤ `body` ≤ `end`."""

    capture: str
    name: str
    path: tuple[str, ...]
    """Names of what encloses it, outermost first."""
    start: int
    """With leading comments and attributes."""
    outer: int
    """Without leading comments."""
    head: int
    """Where the signature begins: after comments, decorators and attributes."""
    body: int
    """Where the signature ends."""
    end: int
    docstring: str = ""
    children: list[Definition] = field(default_factory=list)

    @property
    def kind(self) -> SymbolKind:
        return KINDS[self.capture]

    @property
    def is_function(self) -> bool:
        return self.capture in FUNCTIONS

    @property
    def is_scope(self) -> bool:
        return self.capture in SCOPES


@dataclass(slots=True)
class Outline:
    """The definitions of one text, and what stands before and inside them."""

    root: Definition
    """Stands for the whole text; it is no definition itself."""
    comments: list[tuple[int, int]] = field(default_factory=list)
    licences: list[tuple[int, int]] = field(default_factory=list)
    """They lead nothing and are in no chunk."""
    preamble: list[tuple[int, int]] = field(default_factory=list)
    """Imports, package lines, heads of namespaces: alone they make no chunk."""


def outline(source: bytes, matches: list[Match], grammar: Grammar) -> Outline:
    """The forest of definitions, in source order, each with its leading comments and docstring."""
    leads = _Leads(source, matches)
    root = Definition("namespace", "", (), 0, 0, 0, 0, len(source))
    for each, parent in _nested(source, _found(source, matches, grammar), root):
        siblings = parent.children
        floor = max(siblings[-1].end if siblings else 0, parent.head)
        previous = siblings[-1] if siblings else None
        leads.attach(each, floor)
        if grammar.merges_clauses and previous and _same_function(source, previous, each):
            previous.end = each.end
            each.children = previous.children
        else:
            siblings.append(each)
    _place_docs(source, matches, root)
    _demote(source, root)
    _absorb_trivial_members(source, root)
    preamble = [(node.start_byte, node.end_byte) for each in matches for node in each.get("preamble", ())]
    preamble += [(each.outer, each.body) for each in walk(root) if each.capture == "namespace"]
    return Outline(root, leads.comments, leads.licences, preamble)


def walk(root: Definition) -> Iterator[Definition]:
    """All definitions below `root`, outer before inner, in source order."""
    stack = root.children[::-1]
    while stack:
        each = stack.pop()
        yield each
        stack += reversed(each.children)


def visible(parent: Definition) -> Iterator[Definition]:
    """The nearest definitions below `parent` that are not its own text: scopes are looked through."""
    stack = parent.children[::-1]
    while stack:
        each = stack.pop()
        if each.is_scope and each.capture != BARE:
            stack += reversed(each.children)
        else:
            yield each


def _found(source: bytes, matches: list[Match], grammar: Grammar) -> list[Definition]:
    """One definition per body (or, without one, per name), outer before inner.

    `const f = function g() {}` matches under both names: the wider match wins, but `module.exports = …` gives
    no name where there is another.
    """
    found: dict[int, Definition] = {}
    for captures in matches:
        name_nodes = captures.get("name")
        capture = next((name for name in captures if name in KINDS), None)
        if not name_nodes or capture is None:
            continue
        node, name_node = captures[capture][0], name_nodes[0]
        body = captures["body"][0].start_byte if "body" in captures else None
        key = name_node.start_byte if body is None else body
        start, end = node.start_byte, node.end_byte
        name = names.decode(source[name_node.start_byte : name_node.end_byte])
        container, name = names.split_name(name, grammar.separator)
        known = found.get(key)
        if known and name == _NAMELESS:
            name, container = known.name, list(known.path)
        if known and (known.end - known.start, bool(known.path)) >= (end - start, "container" in captures):
            if known.name == _NAMELESS:
                known.name, known.path = name, tuple(container)
            continue
        if receiver := captures.get("container"):
            text = names.decode(source[receiver[0].start_byte : receiver[0].end_byte])
            container = [*names.receiver(text, grammar.separator), *container]
        if body is None:
            body = _line_end(source, name_node.end_byte, end)
        found[key] = Definition(capture, name, tuple(container), start, start, start, body, end)
    # An optional body can match with and without: the later signature end is the one without.
    unique = {(each.start, each.end, each.name): each for each in sorted(found.values(), key=_by_body)}
    _widen(unique.values(), matches)
    return sorted(unique.values(), key=lambda each: (each.start, -each.end))


def _by_body(each: Definition) -> int:
    return -each.body


def _widen(found: Iterable[Definition], matches: list[Match]) -> None:
    """Extend each definition to the `export`, the decorators or the `template` around it."""
    wrappers = {}
    for captures in matches:
        if outer := captures.get("wrapper"):
            inner = captures["inner"][0]
            wrappers[inner.start_byte, inner.end_byte] = (outer[0].start_byte, outer[0].end_byte)
    for each in found:
        while span := wrappers.pop((each.start, each.end), None):
            each.start, each.end = span
        each.outer = each.head = each.start


def _line_end(source: bytes, start: int, end: int) -> int:
    newline = source.find(b"\n", start, end)
    return end if newline < 0 else newline


def _nested(
    source: bytes, found: list[Definition], root: Definition
) -> Iterator[tuple[Definition, Definition]]:
    """Each definition that is kept, with its parent; names, paths and kinds are settled on the way."""
    stack = [root]
    for each in found:
        while stack[-1].end < each.end:
            stack.pop()
        parent = stack[-1]
        if _too_small(source, each, stack):
            continue
        receiver = each.path
        each.path = (*parent.path, *([parent.name] if parent.name else []), *receiver)[-_MAX_PATH:]
        if each.capture == "function" and (receiver or parent.capture in _METHOD_HOLDERS):
            each.capture = "method"
        if each.capture == "method" and each.name in (*_CONSTRUCTORS, *each.path[-1:]):
            each.capture = "constructor"
        stack.append(each)
        yield each, parent


def _too_small(source: bytes, each: Definition, stack: list[Definition]) -> bool:
    lines = source.count(b"\n", each.start, each.end) + 1
    if each.capture == "macro":
        return lines < MIN_MACRO_LINES
    holder = next(outer for outer in reversed(stack) if not outer.is_scope or outer is stack[0])
    return not each.is_scope and holder.is_function and lines < MIN_NESTED_LINES


def _same_function(source: bytes, previous: Definition, each: Definition) -> bool:
    between = source[previous.end : each.start]
    return (
        each.is_function
        and (previous.name, previous.path) == (each.name, each.path)
        and not between.strip(b"; \t\r\n")
    )


_LEADS = ("comment", "lead", "signature")


class _Leads:
    """The comments and attributes of a text, ready to be attached to the definition they precede."""

    def __init__(self, source: bytes, matches: list[Match]) -> None:
        self._source = source
        found = set()
        for captures in matches:
            for capture in _LEADS:
                for node in captures.get(capture, ()):
                    start, end = node.start_byte, node.end_byte
                    # Some grammars count the line's end as part of a line comment.
                    found.add((start + len(source[start:end].rstrip()), start, capture))
        self.comments = sorted((start, end) for end, start, capture in found if capture == "comment")
        self.licences = licences(source, self.comments)
        self._found = sorted(each for each in found if not self._is_licence(each[1]))
        self._ends = [end for end, _, _ in self._found]
        self._at = {start: end for end, start, capture in self._found if capture == "lead"}

    def _is_licence(self, start: int) -> bool:
        return any(first <= start < last for first, last in self.licences)

    def attach(self, each: Definition, floor: int) -> None:
        """Extend `each` backwards over what leads it, no further than `floor`, and find its head."""
        self._find_head(each)
        comments: list[str] = []
        for index in range(bisect_right(self._ends, each.start) - 1, -1, -1):
            end, start, capture = self._found[index]
            if start < floor or not self._leads_to(each.start, start, end, capture):
                break
            if capture == "comment":
                comments.insert(0, names.decode(self._source[start:end]))
            else:
                each.outer = start
            if capture == "signature":
                each.head, each.body = start, end
            each.start = start
        if comments:
            each.docstring = names.comment_text(comments)

    def _leads_to(self, target: int, start: int, end: int, capture: str) -> bool:
        source = self._source
        gap = source[end:target]
        # `/** … */`, unless it heads the file, is meant for what follows even after a blank line.
        is_doc = capture == "comment" and start > 0 and source.startswith(b"/**", start)
        if gap.strip(b"; \t\r\n" if capture == "lead" else None) or gap.count(b"\n") > 1 + is_doc:
            return False
        if capture != "comment":
            return True
        line = source.rfind(b"\n", 0, start) + 1
        indent = source[line:start]
        if indent.strip():
            return False  # it trails other code
        target_line = source.rfind(b"\n", 0, target) + 1
        # A comment indented deeper ends the block before; one column is a slip of the hand.
        return target_line <= start or len(indent) <= target - target_line + 1

    def _find_head(self, each: Definition) -> None:
        position = each.head
        while (end := self._at.get(position)) is not None and end < each.body:
            rest = self._source[end : each.body]
            position = end + len(rest) - len(rest.lstrip())
        each.head = position


def _place_docs(source: bytes, matches: list[Match], root: Definition) -> None:
    """Give each documenting string to the innermost definition around it, first come first served."""
    docs = sorted(
        (node.start_byte, node.end_byte) for captures in matches for node in captures.get("doc", ())
    )
    if not docs:
        return
    definitions = [root, *walk(root)]
    stack: list[Definition] = []
    position = 0
    given: set[int] = set()
    for start, end in docs:
        while position < len(definitions) and definitions[position].start <= start:
            stack.append(definitions[position])
            position += 1
        # Definitions that ended before this string never hold a later one either.
        while stack[-1].end < end:
            stack.pop()
        owner = stack[-1]
        if id(owner) not in given:
            given.add(id(owner))
            owner.docstring = names.literal_text(names.decode(source[start:end]))


def _demote(source: bytes, root: Definition) -> None:
    """Make scopes of what is no text of its own.

    That is a module that only holds types (`module Net; class Pool`), and an extension (Rust's `impl`)
    that only holds functions.
    """
    for each in walk(root):
        if each.docstring:
            continue
        if each.capture == "module" and each.children and not any(c.is_function for c in each.children):
            each.capture = "namespace"
        elif each.capture == "extension" and each.children and not _own_text(source, each):
            each.capture = BARE


def _own_text(source: bytes, each: Definition) -> bool:
    """Whether there is a word in the body beside the definitions."""
    start = each.body
    for child in each.children:
        if _WORD.search(source, start, child.start):
            return True
        start = child.end
    return bool(_WORD.search(source, start, each.end))


def _absorb_trivial_members(source: bytes, root: Definition) -> None:
    for each in walk(root):
        if each.capture in _ABSORBING:
            each.children = [child for child in each.children if not _is_trivial(source, child)]


def _is_trivial(source: bytes, member: Definition) -> bool:
    if not member.is_function or member.children or member.docstring or member.start < member.outer:
        return False
    if member.end - member.start > MAX_TRIVIAL_BYTES:
        return False
    lines = source[member.head : member.end].split(b"\n")
    return sum(bool(_WORD.search(line)) for line in lines) <= MAX_TRIVIAL_LINES
