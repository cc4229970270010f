"""Lexical ranking rules: each feature is a pure function of query and chunk, each weight one number.

A rule multiplies the fused score.  The weights are few and meant to be fitted together on the
development repositories, never moved for one query.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

from mosearch.ranking.fusion import Candidate
from mosearch.ranking.query import Query
from mosearch.ranking.terms import terms_of_text
from mosearch.types import Chunk, SymbolKind

DEFINITION_BOOST = 1.5
"""Added for a chunk that defines a symbol which the query names."""
SYMBOL_BOOST = 0.5
"""Added, at most, for query terms that are words of the symbol's name."""
FILE_BOOST = 0.4
"""Added, at most, for query terms that are words of the file's name or its folder's."""
PENALTIES = {"test": 0.5, "example": 0.7, "vendored": 0.5, "prose": 0.75, "remainder": 0.9}
"""Factors by what a chunk is, unless the query asks for just that."""

_TEST = re.compile(r"(^|/)(tests?|testing|__tests__|spec|specs|testdata|fixtures)(/|$)", re.IGNORECASE)
_TEST_FILE = re.compile(r"(^|/)(test_[^/]*|[^/]*(_test|_spec|\.test|\.spec|Tests?|conftest))\.\w+$")
_EXAMPLE = re.compile(
    r"(^|/)(examples?|docs?|docs_src|samples?|demos?|benchmarks?|bench)(/|$)", re.IGNORECASE
)
_VENDORED = re.compile(r"(^|/)(_?vendor(ed)?|third[_-]?party|external|deps)(/|$)", re.IGNORECASE)
_PROSE = frozenset({"markdown", "text", "rst"})
_ASKED_FOR = {
    "test": {"test", "testing", "tested", "spec", "fixture", "mock"},
    "example": {"example", "sample", "demo", "benchmark", "doc", "documentation"},
    "vendored": {"vendor", "vendored"},
    "prose": {"documentation", "readme", "doc", "changelog", "guide"},
    "remainder": {"import", "constant", "module"},
}


def apply_rules(query: Query, candidates: Iterable[Candidate]) -> list[Candidate]:
    """Scale each candidate's score by what its name, place and kind say; best first."""
    scaled = [
        candidate.rescored(candidate.score * _factor(query, candidate)) for candidate in candidates
    ]
    return sorted(scaled, key=lambda candidate: -candidate.score)


def _factor(query: Query, candidate: Candidate) -> float:
    path, chunk = candidate.stored.path, candidate.stored.chunk
    factor = 1.0 + SYMBOL_BOOST * _overlap(query, f"{chunk.container} {chunk.symbol}")
    factor += FILE_BOOST * _overlap(query, _file_words(path))
    if defines(query, chunk):
        factor += DEFINITION_BOOST
    for trait in traits(path, chunk):
        if not _ASKED_FOR[trait].intersection(query.terms):
            factor *= PENALTIES[trait]
    return factor


def defines(query: Query, chunk: Chunk) -> bool:
    """Whether the chunk defines a symbol that the query writes as a name."""
    return bool(chunk.symbol) and chunk.symbol.lower() in query.symbols


def traits(path: str, chunk: Chunk) -> set[str]:
    """What kind of place a chunk is in: keys of `PENALTIES`."""
    found = set()
    if _TEST.search(path) or _TEST_FILE.search(path):
        found.add("test")
    if _EXAMPLE.search(path):
        found.add("example")
    if _VENDORED.search(path):
        found.add("vendored")
    if chunk.language in _PROSE:
        found.add("prose")
    elif chunk.kind is SymbolKind.MODULE:
        found.add("remainder")
    return found


def _overlap(query: Query, words: str) -> float:
    """Share of the query's terms found among `words`, in [0, 1]."""
    if not query.terms:
        return 0.0
    have = set(terms_of_text(words))
    return sum(term in have for term in query.terms) / len(query.terms)


def _file_words(path: str) -> str:
    pure = PurePosixPath(path)
    return f"{pure.parent.name} {pure.stem}"
