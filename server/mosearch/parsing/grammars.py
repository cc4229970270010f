"""Grammars and their queries, loaded on first use, and the bounded run of both over a text."""

from __future__ import annotations

import codecs
import importlib
import threading
import time
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources

from tree_sitter import Language, Node, Parser, Query, QueryCursor, Tree

from mosearch.errors import ParseError
from mosearch.parsing.macros import item_macros, without_macros, without_wrappers

PARSE_SECONDS = 5.0
"""Of the processor, so that what a file gives does not depend on what else runs.  Ordinary code takes about
0.4 s per MB; error recovery on garbage can take minutes."""

_READ_BYTES = 65_536
_SAME_LENGTH = "mosearch.same_length"
_MACROS_DEEP = 4
"""So deep are macros around items followed."""

Match = dict[str, list[Node]]
"""Capture name → nodes.  See `queries/README.md` for the names."""


@dataclass(frozen=True, slots=True)
class Grammar:
    """How one language is parsed."""

    module: str
    """Python package that holds the compiled grammar."""
    query: str
    """Names of the files in `queries/`, without suffix, separated by blanks."""
    function: str = "language"
    separator: str = ""
    """What parts a qualified name in a definition, as in `void Pool::acquire()`; empty: never."""
    merges_clauses: bool = False
    """Whether neighbouring definitions of one name are clauses of one function, or its overloads."""
    has_macros: bool = False
    """Whether annotation macros are taken out before parsing: see `macros.py`."""
    wraps_items: bool = False
    """Whether macros stand around definitions, which are looked for in there, too."""


GRAMMARS: dict[str, Grammar] = {
    "bash": Grammar("tree_sitter_bash", "bash"),
    "c": Grammar("tree_sitter_c", "c"),
    "cpp": Grammar("tree_sitter_cpp", "c cpp", separator="::", has_macros=True),
    "csharp": Grammar("tree_sitter_c_sharp", "csharp"),
    "elixir": Grammar("tree_sitter_elixir", "elixir", separator=".", merges_clauses=True),
    "go": Grammar("tree_sitter_go", "go"),
    "haskell": Grammar("tree_sitter_haskell", "haskell", merges_clauses=True),
    "java": Grammar("tree_sitter_java", "java"),
    "javascript": Grammar("tree_sitter_javascript", "javascript javascript_fields", separator="."),
    "kotlin": Grammar("tree_sitter_kotlin", "kotlin"),
    "lua": Grammar("tree_sitter_lua", "lua", separator=".:"),
    "php": Grammar("tree_sitter_php", "php", function="language_php"),
    "python": Grammar("tree_sitter_python", "python"),
    "ruby": Grammar("tree_sitter_ruby", "ruby", separator="::"),
    "rust": Grammar("tree_sitter_rust", "rust", separator="::", wraps_items=True),
    "scala": Grammar("tree_sitter_scala", "scala"),
    "swift": Grammar("tree_sitter_swift", "swift"),
    "typescript": Grammar(
        "tree_sitter_typescript",
        "javascript typescript",
        function="language_typescript",
        separator=".",
        merges_clauses=True,
    ),
    "zig": Grammar("tree_sitter_zig", "zig"),
}
_TSX = replace(GRAMMARS["typescript"], function="language_tsx")

_local = threading.local()


def grammar_for(language: str, path: str) -> Grammar | None:
    """The grammar of `language`; None for one that is cut without a grammar.

    `path` matters for TypeScript only: `<T>x` is a cast in `.ts` and an element in `.tsx`.
    """
    if language == "typescript" and path.lower().endswith(".tsx"):
        return _TSX
    return GRAMMARS.get(language)


def matches(source: bytes, grammar: Grammar) -> tuple[list[Match], bool]:
    """All matches of the grammar's query, and whether the text has syntax errors.

    Raises ParseError when parsing takes longer than `PARSE_SECONDS`.
    """
    if grammar.has_macros:
        source = without_macros(source)
    source = _decodable(source)
    deadline = time.thread_time() + PARSE_SECONDS
    tree = _parsed(source, grammar, deadline)
    wrappers: list[Node] = []
    if grammar.wraps_items:
        tree, wrappers = _unwrapped(source, grammar, tree, deadline)
    # No time bound here: the query runs in linear time, several times faster than the parser, and
    # in tree-sitter 0.26.1 a progress callback for a query crashes the process.
    found = QueryCursor(_query(grammar)).matches(tree.root_node)
    heads: list[Match] = [{"preamble": [wrapper.children[0]]} for wrapper in wrappers]
    return [*(captures for _, captures in found), *heads], tree.root_node.has_error


def _decodable(source: bytes) -> bytes:
    """As long as `source`, with `?` for bytes that are no UTF-8, on which predicates of queries would fail.

    An editor may send halves of surrogate pairs.
    """
    return source.decode("utf-8", _SAME_LENGTH).encode("utf-8")


def _marked(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return "?" * (error.end - error.start), error.end


codecs.register_error(_SAME_LENGTH, _marked)


def _parsed(source: bytes, grammar: Grammar, deadline: float) -> Tree:
    def late(*_: object) -> bool:
        return time.thread_time() > deadline

    def read(offset: int, _: object) -> bytes:
        return source[offset : offset + _READ_BYTES]

    parser = _parser(grammar)
    try:
        # The bindings take a progress callback only together with a reader.
        return parser.parse(read, progress_callback=late)
    except ValueError as error:
        parser.reset()
        raise ParseError(
            f"parsing {len(source)} bytes with {grammar.module} took over {PARSE_SECONDS} s"
        ) from error


def _unwrapped(source: bytes, grammar: Grammar, tree: Tree, deadline: float) -> tuple[Tree, list[Node]]:
    """The tree with the items that macros wrap, and those macros; a macro whose braces hold something
    else than items of the language stays as it is."""
    wrappers: list[Node] = []
    for _ in range(_MACROS_DEEP):
        macros = item_macros(tree.root_node)
        if not macros:
            break
        plain = without_wrappers(source, macros)
        inner = _parsed(plain, grammar, deadline)
        if inner.root_node.has_error and not tree.root_node.has_error:
            macros = [each for each in macros if _is_sound(inner.root_node, each)]
            plain = without_wrappers(source, macros)
            inner = _parsed(plain, grammar, deadline)
            if not macros or inner.root_node.has_error:
                break
        source, tree = plain, inner
        wrappers += macros
    return tree, wrappers


def _is_sound(root: Node, macro: Node) -> bool:
    """Whether nothing that begins in a macro's braces is an error of the tree without them."""
    return not any(
        each.has_error and each.start_byte < macro.end_byte and macro.start_byte < each.end_byte
        for each in root.children
    )


def _parser(grammar: Grammar) -> Parser:
    """A parser of this thread's own: one must not be used by two threads at once."""
    parsers: dict[Grammar, Parser] = _local.__dict__.setdefault("parsers", {})
    if grammar not in parsers:
        parsers[grammar] = Parser(_language(grammar))
    return parsers[grammar]


@cache
def _language(grammar: Grammar) -> Language:
    return Language(getattr(importlib.import_module(grammar.module), grammar.function)())


@cache
def _query(grammar: Grammar) -> Query:
    folder = resources.files("mosearch.parsing").joinpath("queries")
    sources = [folder.joinpath(f"{name}.scm").read_text("utf-8") for name in grammar.query.split()]
    return Query(_language(grammar), "\n".join(sources))
