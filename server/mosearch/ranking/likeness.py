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
from typing import Final, NamedTuple

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
_STRING, _NUMBER = '"', "0"
_LITERALS = frozenset({_STRING, _NUMBER})
"""What stands for these in a text's shape."""
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
    literals: frozenset[str]
    """Numbers, and strings without their quotes: in whatever language, they stay what they are."""
    tokens: int


class Shared(NamedTuple):
    """What two texts have in common beside their vectors' direction."""

    words: float
    """Jaccard index of their words, in [0, 1]."""
    shape: float
    """The same of their shapes."""
    length: float
    """How unlike they are in length: |ln of the ratio|."""
    foreign: float
    """1 for texts of two languages, else 0."""
    common: float
    """ln(1 + number of words in both): of short texts a few say much, which the index does not show."""
    literals: float
    """Jaccard index of their literals; 0 where neither has any."""


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
    common: float
    literals: float
    foreign_cosine: float
    """Added to `cosine` for texts of two languages, which lie apart also where they mean the same."""

    def probability(self, cosine: float, shared: Shared) -> float:
        """P(similar) in (0, 1)."""
        logit = (
            self.base
            + (self.cosine + self.foreign_cosine * shared.foreign) * cosine
            + self.words * shared.words
            + self.shape * shared.shape
            + self.length * shared.length
            + self.foreign * shared.foreign
            + self.common * shared.common
            + self.literals * shared.literals
        )
        return 1 / (1 + math.exp(-max(-60.0, min(60.0, logit))))


FITTED: Final[Mapping[str, Mapping[int, Likeness]]] = {
    "mosearch-mini": {
        0: Likeness(
            base=-11.995,
            cosine=0.146,
            words=3.318,
            shape=10.38,
            length=0.419,
            foreign=2.021,
            common=0.971,
            literals=1.572,
            foreign_cosine=8.472,
        ),
        6: Likeness(
            base=-11.605,
            cosine=4.732,
            words=1.371,
            shape=8.123,
            length=0.763,
            foreign=-1.579,
            common=0.63,
            literals=1.039,
            foreign_cosine=10.777,
        ),
    }
}
"""Model name → exit → weights.  Scores of other models stay cosine similarities."""

SIMILAR: Final = 0.51
"""At this probability and above, nine of ten answers are similar: see `docs/similar.md`."""
DUPLICATE: Final = 0.99
"""At this probability and above, two functions are nearly the same: see `docs/similar.md`."""

SIMILAR_COSINE: Final = 0.8
DUPLICATE_COSINE: Final = 0.95
"""The same for models whose scores are cosine similarities: a guess."""


@lru_cache(maxsize=1024)  # 15 kB each
def signs(text: str) -> Signs:
    """What `compared` looks at; never fails, whatever the text."""
    plain = _COMMENT.sub(" ", text)
    found = _TOKEN.findall(plain)
    tokens = [_masked(token) for token in found]
    shape = frozenset(
        tuple(tokens[start : start + _SHINGLE]) for start in range(max(1, len(tokens) - _SHINGLE + 1))
    )
    literals = frozenset(
        token.strip("\"'`") for token, mask in zip(found, tokens, strict=True) if mask in _LITERALS
    )
    return Signs(frozenset(terms_of_text(plain)) - KEYWORDS, shape, literals, len(tokens))


def compared(one: Signs, other: Signs, *, foreign: bool) -> Shared:
    """What two texts share, of which `foreign` says that they are in two languages."""
    return Shared(
        words=_jaccard(one.words, other.words),
        shape=_jaccard(one.shape, other.shape),
        length=abs(math.log((one.tokens + 1) / (other.tokens + 1))),
        foreign=float(foreign),
        common=math.log1p(len(one.words & other.words)),
        literals=_jaccard(one.literals, other.literals) if one.literals or other.literals else 0.0,
    )


def _masked(token: str) -> str:
    first = token[0]
    if first in "\"'`":
        return _STRING
    if first.isdigit():
        return _NUMBER
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

    The same text is similar for certain; of unknown language counts as the candidate's own.  All exits of the
    candidates must have weights.
    """
    own = signs(chunk.text)
    scored = []
    for candidate in candidates:
        other = candidate.stored.chunk
        if other.digest == chunk.digest:
            scored.append(candidate.rescored(1.0))
        elif candidate.exit is not None:
            foreign = bool(chunk.language) and other.language != chunk.language
            shared = compared(own, signs(other.text), foreign=foreign)
            scored.append(candidate.rescored(weights[candidate.exit].probability(candidate.score, shared)))
    return sorted(scored, key=lambda candidate: -candidate.score)
