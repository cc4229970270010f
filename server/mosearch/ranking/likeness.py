"""How likely it is that two pieces of code are similar: copies, clones with other names, the same job done
elsewhere or in another language.

A cosine similarity says little by itself: what is high differs from exit to exit.  Together with what two
texts share in words and in shape it becomes a probability, by a logistic regression that `mosearch eval
similar --fit` fits to labelled pairs; `docs/similar.md` says to which.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from mosearch.ranking.candidate import Candidate
from mosearch.ranking.terms import terms_of_text
from mosearch.types import Chunk

_SHINGLE = 4
"""Tokens in a row that make one piece of a text's shape."""

_COMMENT = re.compile(
    r"/\*.*?\*/|//[^\n]*|(?m:^\s*(?:#(?!include|define|if|el|end)|--|%|;)[^\n]*)", re.DOTALL
)
_TOKEN = re.compile(
    r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|`(?:\\.|[^`\\])*`|[^\W\d]\w*|\d[\w.]*|[^\w\s]'
)
KEYWORDS = frozenset(
    """
    abstract and as assert async await begin bool boolean break byte case catch char class const
    continue def default defer del delete do double elif else elsif end ensure enum except export
    extends extern false final finally float fn for foreach from fun func function go goto guard if
    impl implements import in int interface is lambda let long loop match module mut namespace new
    nil none not null object of operator or override package pass private protected pub public raise
    ref rescue return self short static string struct super switch then this throw throws trait true
    try type typedef union unless unsafe unsigned until use using val var void when where while with
    yield
    """.split()
)


@dataclass(frozen=True, slots=True)
class Signs:
    """What is compared of a text beside its vector."""

    words: frozenset[str]
    shape: frozenset[tuple[str, ...]]
    """Runs of tokens with names, numbers and strings masked, comments and blanks left out."""
    tokens: int


@dataclass(frozen=True, slots=True)
class Likeness:
    """Weights of one exit's logistic regression."""

    base: float
    cosine: float
    words: float
    shape: float
    length: float
    foreign: float
    """For texts of two languages."""

    def probability(self, cosine: float, features: tuple[float, float, float, float]) -> float:
        """P(similar) in (0, 1); `features` as `compared` gives them."""
        words, shape, length, foreign = features
        logit = (
            self.base
            + self.cosine * cosine
            + self.words * words
            + self.shape * shape
            + self.length * length
            + self.foreign * foreign
        )
        return 1 / (1 + math.exp(-max(-60.0, min(60.0, logit))))


FITTED: Final[Mapping[str, Mapping[int, Likeness]]] = {
    "mosearch-mini": {
        0: Likeness(base=-14.743, cosine=6.82, words=7.539, shape=10.705, length=0.343, foreign=6.519),
        6: Likeness(base=-15.804, cosine=13.153, words=3.471, shape=8.726, length=0.52, foreign=4.987),
    }
}
"""Model name → exit → weights.  Scores of other models stay cosine similarities."""

SIMILAR: Final = 0.52
"""At this probability and above, nine of ten answers are similar: see `docs/similar.md`."""
DUPLICATE: Final = 0.999
"""At this probability and above, two functions are nearly the same: see `docs/similar.md`."""

SIMILAR_COSINE: Final = 0.8
DUPLICATE_COSINE: Final = 0.95
"""The same for models whose scores are cosine similarities: a guess."""


@lru_cache(maxsize=4096)
def signs(text: str) -> Signs:
    """What `compared` looks at; never fails, whatever the text."""
    plain = _COMMENT.sub(" ", text)
    tokens = [_masked(token) for token in _TOKEN.findall(plain)]
    shape = frozenset(
        tuple(tokens[start : start + _SHINGLE]) for start in range(max(1, len(tokens) - _SHINGLE + 1))
    )
    return Signs(frozenset(terms_of_text(plain)) - KEYWORDS, shape, len(tokens))


def compared(one: Signs, other: Signs, *, foreign: bool) -> tuple[float, float, float, float]:
    """Shared words, shared shape (each a Jaccard index), how unlike in length (|ln ratio|), `foreign`."""
    length = abs(math.log((one.tokens + 1) / (other.tokens + 1)))
    return _jaccard(one.words, other.words), _jaccard(one.shape, other.shape), length, float(foreign)


def _masked(token: str) -> str:
    first = token[0]
    if first in "\"'`":
        return '"'
    if first.isdigit():
        return "0"
    if (first.isalpha() or first == "_") and token.lower() not in KEYWORDS:
        return "a"
    return token


def _jaccard(one: frozenset[object], other: frozenset[object]) -> float:
    together = len(one | other)
    return len(one & other) / together if together else 1.0


def by_likeness(
    chunk: Chunk, candidates: Sequence[Candidate], weights: Mapping[int, Likeness]
) -> list[Candidate]:
    """Candidates whose scores are cosine similarities to `chunk`, scored by probability, best first.

    The same text is similar for certain.  All exits of the candidates must have weights.
    """
    own = signs(chunk.text)
    scored = []
    for candidate in candidates:
        other = candidate.stored.chunk
        if other.digest == chunk.digest:
            scored.append(candidate.rescored(1.0))
        elif candidate.exit is not None:
            shared = compared(own, signs(other.text), foreign=other.language != chunk.language)
            scored.append(candidate.rescored(weights[candidate.exit].probability(candidate.score, shared)))
    return sorted(scored, key=lambda candidate: -candidate.score)
