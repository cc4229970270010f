"""From a pool of candidates to an order: fusion of two lists, rules, coherence of files."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mosearch.ranking.candidate import Candidate
from mosearch.ranking.pool import Pool
from mosearch.ranking.traits import TRAITS
from mosearch.ranking.weights import Weights

# So many chunks of a file say that it is about the question; more would favour long files.
_COHERENT_CHUNKS = 10

_NO_CODE = [TRAITS.index("prose"), TRAITS.index("data")]
_UNQUOTED = 1e-3
"""What lacks a text that the query quotes comes after all that has it: no weight, quotes leave no doubt."""


def rank(pool: Pool, weights: Weights) -> list[Candidate]:
    """The candidates of the pool, best first."""
    found, within = scores(pool, weights), scores_within(pool, weights)
    return [
        Candidate(pool.chunks[index], float(found[index]), pool.exits[index], float(within[index]))
        for index in np.argsort(-found, kind="stable")
    ]


def scores(pool: Pool, weights: Weights) -> NDArray[np.float64]:
    """[n], each at least 0; without boosts, 1 is first place in both lists."""
    fused = _fused(pool, weights, weights.dense_shallow, weights.dense)
    coverage = _at_depth(pool, weights.coverage_shallow, weights.coverage)
    lead = fused.max(initial=0.0) * (weights.place_lead * pool.place + coverage * pool.covered)
    single = (fused * (1 + _boosts(pool, weights)) + lead) * _factors(pool, weights)
    return _coherent(single, pool.files, weights)


def scores_within(pool: Pool, weights: Weights) -> NDArray[np.float64]:
    """[n], comparable among the chunks of one file."""
    fused = _fused(pool, weights, weights.dense_within_shallow, weights.dense_within)
    return fused * (1 + _boosts(pool, weights)) * _factors(pool, weights)


def _boosts(pool: Pool, weights: Weights) -> NDArray[np.float64]:
    boosts: NDArray[np.float64] = (
        weights.name * pool.name
        + weights.place * pool.place
        + weights.definition * pool.defines
        + weights.definition_as_written * pool.as_written
        + weights.definition_of_type * pool.of_type
    )
    return boosts


def _factors(pool: Pool, weights: Weights) -> NDArray[np.float64]:
    factors = np.array([getattr(weights, trait) for trait in TRAITS])
    product: NDArray[np.float64] = np.where(pool.traits, factors, 1.0).prod(axis=1)
    code = pool.defines & ~pool.traits[:, _NO_CODE].any(axis=1)
    if pool.is_symbol and code.any():  # the only definition is wanted, wherever it stands
        product = np.where(code, product / product[code].max(), product)
    return product * np.where(pool.unquoted, _UNQUOTED, 1.0)


def _fused(pool: Pool, weights: Weights, shallow: float, deep: float) -> NDArray[np.float64]:
    """Reciprocal rank fusion, scaled so that first place in both lists gives 1.

    `shallow` and `deep` are the dense list's share where shallower exits and where the deepest ordered it.
    """
    k = weights.rank_constant
    share = weights.dense_for_symbols if pool.is_symbol else _at_depth(pool, shallow, deep)
    return (k + 1) * ((1 - share) / (k + pool.lexical) + share / (k + pool.dense))


def _at_depth(pool: Pool, shallow: float, deep: float) -> float:
    """Between two weights, by how much of the dense list's head the deepest exit has ordered."""
    return shallow + pool.depth * (deep - shallow)


def _coherent(single: NDArray[np.float64], files: NDArray[np.int64], weights: Weights) -> NDArray[np.float64]:
    """Raise the chunks of files in which many chunks score well, and the best of each such file more."""
    if not len(single):
        return single
    order = np.lexsort((-single, files))
    starts = np.flatnonzero(np.diff(files[order], prepend=-1))
    within = np.arange(len(order)) - np.repeat(starts, np.diff(starts, append=len(order)))
    counted = np.where(within < _COHERENT_CHUNKS, single[order], 0.0)
    sums = np.zeros(files.max() + 1)
    np.add.at(sums, files[order], counted)
    share = sums / (sums.max() or 1.0)
    raised: NDArray[np.float64] = single * (1 + weights.coherence * share[files])
    best = order[starts]
    raised[best] += weights.lead * raised.max() * share[files[best]]
    return raised
