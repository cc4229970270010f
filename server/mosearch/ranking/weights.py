"""Every number that ranking is balanced by, in one place.

They are fitted by `mosearch eval tune` on the development repositories and reported there with each
repository left out in turn; none is moved by hand, or for one query.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Weights:
    """A score is the fused rank in (0, 1], times 1 + the boosts, plus what a place adds, times the factors of
    its traits."""

    dense: float = 0.7
    """Share of the dense list in the fusion where the deepest exit ordered it; the rest is full text's."""
    dense_shallow: float = 0.6
    """The same where only shallower exits did."""
    dense_within: float = 0.9
    """The same among the chunks of one file: which file answers is told by words and names, which of its
    functions by what they mean."""
    dense_within_shallow: float = 0.6
    """The same where only shallower exits did."""
    dense_for_symbols: float = 0.2
    """The same when the whole query is one name."""
    rank_constant: float = 15.0
    """k of reciprocal rank fusion (Cormack, Clarke, Büttcher, SIGIR 2009, who use 60 for long lists)."""

    name: float = 0.3
    """Boost, at most, for query terms that are akin to words of the symbol's name."""
    place: float = 1.2
    """Boost, at most, for query terms that are akin to words of the file's name or its folder's."""
    place_lead: float = 0.9
    """Added for them, at most, in units of the best fused rank: a file that the query names is seen even
    when its chunks rank low."""
    coverage: float = 0.2
    """Added for the query's terms that a file's candidates hold together, at most, in the same units, where
    the deepest exit ordered them: several functions may answer what none of them answers alone."""
    coverage_shallow: float = 0.5
    """The same where only shallower exits did."""
    definition: float = 2.0
    """Boost where the definition of a symbol begins that the query names."""
    definition_as_written: float = 1.0
    """Added to it when upper and lower case agree."""
    definition_of_type: float = 1.0
    """Added to it when the symbol is a type."""

    coherence: float = 0.4
    """Boost, at most, for all chunks of a file in which many answer."""
    lead: float = 0.3
    """Boost, at most, for the best chunk of such a file, in units of the best score of all."""
    file_decay: float = 0.4
    """The second hit of a file on the page counts this much, further ones slowly less."""

    test: float = 0.2
    """Factors by what a chunk is, unless the query asks for just that."""
    example: float = 0.7
    vendored: float = 0.5
    prose: float = 0.2
    data: float = 0.5
    remainder: float = 1.0
    header: float = 0.6
    foreign: float = 0.4
