"""Lexical ranking rules: each feature is a pure function of query and chunk, each weight one number.

A rule multiplies the fused score.  The weights are few; they were fitted together, one after the
other and twice over, on the development repositories (`mosearch eval repos`), then rounded.  None is
moved for one query.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from mosearch.ranking.fusion import Candidate
from mosearch.ranking.query import Query
from mosearch.ranking.terms import terms_of_text
from mosearch.types import Chunk, SymbolKind

DEFINITION_BOOST = 2.0
"""Added for a chunk that begins the definition of a symbol which the query names."""
SYMBOL_BOOST = 0.2
"""Added, at most, for query terms that are words of the symbol's name."""
FILE_BOOST = 0.4
"""Added, at most, for query terms that are words of the file's name or its folder's."""
COHERENCE_BOOST = 0.4
"""Added, at most, for a file in which several chunks answer."""
PENALTIES = {"test": 0.5, "example": 0.7, "vendored": 0.5, "prose": 0.4, "remainder": 0.9}
"""Factors by what a chunk is, unless the query asks for just that."""

# As many chunks as a file that is about the question shows; more would favour long files.
_COHERENT_CHUNKS = 3

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
    scaled = [candidate.rescored(candidate.score * _factor(query, candidate)) for candidate in candidates]
    return sorted(_coherent(scaled), key=lambda candidate: -candidate.score)


def _factor(query: Query, candidate: Candidate) -> float:
    path, chunk = candidate.stored.path, candidate.stored.chunk
    factor = 1.0 + SYMBOL_BOOST * _overlap(query, f"{chunk.container} {chunk.symbol}")
    factor += FILE_BOOST * _overlap(query, _file_words(path))
    if defines(query, chunk) and chunk.part == 0:
        factor += DEFINITION_BOOST
    for trait in traits(path, chunk):
        if not _ASKED_FOR[trait].intersection(query.terms):
            factor *= PENALTIES[trait]
    return factor


def _coherent(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Raise the chunks of files in which several chunks score well."""
    files: defaultdict[str, list[float]] = defaultdict(list)
    for candidate in candidates:
        files[candidate.stored.path].append(candidate.score)
    sums = {path: sum(sorted(scores)[-_COHERENT_CHUNKS:]) for path, scores in files.items()}
    best = max(sums.values(), default=0.0) or 1.0
    return [
        candidate.rescored(candidate.score * (1 + COHERENCE_BOOST * sums[candidate.stored.path] / best))
        for candidate in candidates
    ]


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
