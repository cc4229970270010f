"""What kind of place a chunk is in, and whether a query asks for such places."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from mosearch.ranking import systems
from mosearch.ranking.query import Query
from mosearch.ranking.terms import fold
from mosearch.types import Chunk, SymbolKind

TRAITS: Final = ("test", "example", "vendored", "prose", "data", "remainder", "header", "foreign")
"""Each is the name of its factor in `Weights`."""

_TEST = re.compile(
    r"(^|/)([^/]*\.)?(tests?|testing|__tests__|__mocks__|androidTest|e2e|spec|specs|testdata|fixtures)(/|$)",
    re.IGNORECASE,
)
_TEST_FILE = re.compile(
    r"(^|/)(tests?|test_[^/]*|[^/]*([-_.]tests?|[-_.]spec|_unittests?|Tests?|Spec|Suite|conftest))\.\w+$"
)
_TEST_MODULE = frozenset({"tests", "test"})
"""Rust's unit tests stand in a module of the file that they test."""
_EXAMPLE = re.compile(
    r"(^|/)(examples?|docs?|docs_src|samples?|demos?|benchmarks?|bench)(/|$)", re.IGNORECASE
)
_VENDORED = re.compile(r"(^|/)(_?vendor(ed)?|third[_-]?party|external|deps)(/|$)", re.IGNORECASE)
_DATA = re.compile(r"\.(json|ya?ml|toml|xml|ini|cfg|properties|csv)$", re.IGNORECASE)
_HEADER = re.compile(r"\.(h|hh|hpp|hxx)$", re.IGNORECASE)
_PROSE = frozenset({"markdown", "text", "restructuredtext", "asciidoc"})
_PAGE = re.compile(r"(^|/)docs?/.*\.x?html?$", re.IGNORECASE)
"""Documentation that somebody or some program wrote as pages; elsewhere they may be templates."""
_FUNCTIONS = frozenset({SymbolKind.FUNCTION, SymbolKind.METHOD, SymbolKind.CONSTRUCTOR, SymbolKind.OPERATOR})
_ASKED_FOR = {
    "test": {"test", "testing", "tested", "spec", "fixture", "mock"},
    "example": {"example", "sample", "demo", "benchmark", "doc", "documentation"},
    "vendored": {"vendor", "vendored"},
    "prose": {"documentation", "readme", "doc", "changelog", "guide"},
    "data": {"json", "yaml", "yml", "toml", "xml", "ini"},
    "remainder": {"import", "constant", "module"},
    "header": {"header", "struct", "typedef", "macro", "declaration"},
    "foreign": {*map(fold, systems.WORDS), "platform", "portable", "kqueue", "epoll", "inotify", "iocp"},
}


def traits(path: str, chunk: Chunk) -> set[str]:
    """The members of `TRAITS` that a chunk has.  A header's functions are code like any other; what is for
    other operating systems than this one is `foreign`."""
    found = set(_of_path(path))
    if chunk.language == "rust" and not _TEST_MODULE.isdisjoint((*chunk.container.split("."), chunk.symbol)):
        found.add("test")
    if chunk.kind in _FUNCTIONS:
        found.discard("header")
    if chunk.language in _PROSE or "prose" in found:
        found.add("prose")
    elif chunk.kind is SymbolKind.MODULE:
        found.add("remainder")
    return found


@lru_cache(maxsize=16_384)
def _of_path(path: str) -> frozenset[str]:
    patterns = {
        "test": (_TEST, _TEST_FILE),
        "example": (_EXAMPLE,),
        "vendored": (_VENDORED,),
        "data": (_DATA,),
        "header": (_HEADER,),
        "prose": (_PAGE,),
    }
    found = {trait for trait, some in patterns.items() if any(pattern.search(path) for pattern in some)}
    return frozenset(found | {"foreign"} if systems.is_foreign(path) else found)


def asked_for(query: Query) -> set[str]:
    """The traits that the query is after: their factors are left out."""
    return {trait for trait, words in _ASKED_FOR.items() if words.intersection(query.terms)}
