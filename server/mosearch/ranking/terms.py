"""Text analysis for full-text search: the same for stored chunks and for queries.

An identifier yields its words and, when it has several, itself in one piece, all in lower case:
`parseHTTPResponse` → parse, http, response, parsehttpresponse.  Plural endings are folded, so that
"retries" finds `retry`; other stemming is left out, as it merges identifiers that mean different
things (`caches`/`caching` fold only as far as English plurals do).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import PurePosixPath

from mosearch.text import identifiers, split_identifier
from mosearch.types import Chunk, SymbolKind

_SYMBOL, _PATH, _DOCSTRING = 3, 2, 2
"""How often a word counts that stands there; one in the body, which holds the signature, counts once.

A field for each, with a BM25 score of its own, boosted and added up, answered no better (NDCG@10 .885 on the
development repositories, .888 so), and to add up scores all that holds one of the words had to be read."""

TERMS_VERSION = 4
"""Raised when the same chunk gives other terms: indexes are then built anew."""

# Longer runs are data (keys, encoded bytes), not words anyone types; a name of many words may be longer.
_LONGEST_TERM = 64
_LONGEST_NAME = 300

_NAMED_BY_FOLDER = frozenset({"__init__", "index", "mod", "lib", "main"})
"""Stems of files that stand for their folder."""

_SHORTEST_BEGINNING = 3
_SHORTEST_STEM = 4
_ENDINGS = frozenset(
    """
    e d r rs ed er ers es ing ings ion ions or ors s able ably al ance ant ate ated ates ating ation ations
    ator ators ce cy ence ency ent ic ical ification ified ifier ify isation ise ised iser ising ity ive
    ization ize ized izer izing ly ment ments ness ous t tion tive ure y
    """.split()
)


def terms_of_text(text: str) -> list[str]:
    """All terms of `text`, in order, repeated as often as they occur."""
    terms: list[str] = []
    for name in identifiers(text):
        if len(name) <= _LONGEST_NAME:
            terms.extend(_terms_of_identifier(name))
    return terms


def terms_of_chunk(path: str, chunk: Chunk) -> str:
    """What full-text search sees: terms separated by spaces, each as often as it counts."""
    return " ".join(
        [
            *terms_of_text(name_of(path, chunk)) * _SYMBOL,
            *terms_of_text(_path_words(path)) * _PATH,
            *terms_of_text(chunk.docstring) * _DOCSTRING,
            *terms_of_text(chunk.text),
        ]
    )


def name_of(path: str, chunk: Chunk) -> str:
    """What a chunk is called: its symbol with the container, or, for code outside definitions, its file."""
    if chunk.symbol or chunk.kind is not SymbolKind.MODULE:
        return f"{chunk.container} {chunk.symbol}"
    pure = PurePosixPath(path)
    return pure.parent.name if pure.stem in _NAMED_BY_FOLDER else pure.stem


def fold(word: str) -> str:
    """Fold an English plural of a lower-case word to its singular (Harman's S-stemmer, 1991)."""
    if len(word) > 4 and word.endswith("ies") and word[-4] not in "ae":
        return word[:-3] + "y"
    if len(word) > 3 and word.endswith("es") and word[-3] not in "aeo":
        return word[:-1]
    if len(word) > 3 and word.endswith("s") and word[-2] not in "us":
        return word[:-1]
    return word


class Kin:
    """The terms of one query, to be compared with the words of many names; each word is looked at once."""

    def __init__(self, terms: Sequence[str]) -> None:
        self._count = len(terms)
        self._akin: dict[str, frozenset[str]] = {}
        # Whatever is akin begins alike.
        self._beginnings: dict[str, list[str]] = {}
        for term in terms:
            self._beginnings.setdefault(term[:_SHORTEST_BEGINNING], []).append(term)

    def share(self, words: Iterable[str]) -> float:
        """Share of the terms that are akin to one of `words`, in [0, 1]; 0 without terms."""
        found = frozenset().union(*map(self._terms, words))
        return len(found) / self._count if self._count else 0.0

    def _terms(self, word: str) -> frozenset[str]:
        if word not in self._akin:
            alike = self._beginnings.get(word[:_SHORTEST_BEGINNING], ())
            self._akin[word] = frozenset(term for term in alike if akin(term, word))
        return self._akin[word]


def akin(word: str, other: str) -> bool:
    """Whether two folded words seem to be forms of one: `decode`, `decoder` and `decoding`.

    The shorter begins the longer, or both are one beginning with English endings.  Too generous for
    an index, it serves where words are few: in the names of symbols, files and folders.
    """
    shorter, longer = sorted((word, other), key=len)
    shared = next((i for i, letter in enumerate(shorter) if letter != longer[i]), len(shorter))
    if shared == len(shorter):
        return shared >= _SHORTEST_BEGINNING or shorter == longer
    return shared >= _SHORTEST_STEM and {shorter[shared:], longer[shared:]} <= _ENDINGS


@lru_cache(maxsize=8_192)  # eight times as many save nothing, and take 10 MB
def _terms_of_identifier(name: str) -> tuple[str, ...]:
    words = [fold(word.lower()) for word in split_identifier(name)]
    if len(words) > 1:
        words.append(name.lower().replace("_", ""))
    return tuple(word for word in words if len(word) <= _LONGEST_TERM)


def _path_words(path: str) -> str:
    pure = PurePosixPath(path)
    return " ".join([*pure.parent.parts, pure.stem])
