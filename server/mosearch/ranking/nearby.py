"""Full-text scores for a few chunks that are in no index, on the scale of an index's own scores.

The chunks of unsaved buffers must be ranked among stored ones, but an index's term statistics are
its own.  So both the new chunks and a sample of the index's hits are scored here, by BM25 with the
statistics of just these chunks, and the result is scaled so that the sample keeps the scores that
the index gave it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from statistics import median

from mosearch.types import StoredChunk

K1, B = 1.2, 0.75
"""The usual parameters of BM25; the index uses the same."""

SAMPLE = 24
"""As many hits as settle the scale; analysing more would only cost time."""


def scores_beside(
    query_terms: Sequence[str],
    new: Sequence[str],
    hits: Sequence[tuple[str, float]],
) -> list[float]:
    """One score for each of `new`, comparable with the scores of `hits`; 0 where no term occurs.

    Both are given by their terms, as `terms_of_chunk` gives them.  `hits` are an index's best hits for the
    same terms, with their scores; without any, the scores are comparable among themselves.
    """
    sample = hits[:SAMPLE]
    documents = [*new, *(terms for terms, _ in sample)]
    local = _bm25(query_terms, documents)
    pairs = zip(local[len(new) :], (score for _, score in sample), strict=True)
    ratios = [score / found for found, score in pairs if found > 0]
    scale = median(ratios) if ratios else 1.0
    return [score * scale for score in local[: len(new)]]


def _bm25(query_terms: Sequence[str], documents: Sequence[str]) -> list[float]:
    totals = [0.0] * len(documents)
    counts = [Counter(document.split()) for document in documents]
    lengths = [sum(count.values()) for count in counts]
    mean = sum(lengths) / len(lengths) if lengths else 0.0
    for term in query_terms:
        frequency = sum(term in count for count in counts)
        if frequency == 0:
            continue
        weight = math.log(1 + (len(documents) - frequency + 0.5) / (frequency + 0.5))
        for index, count in enumerate(counts):
            if term in count:
                norm = K1 * (1 - B + B * lengths[index] / mean)
                totals[index] += weight * count[term] * (K1 + 1) / (count[term] + norm)
    return totals


def merged(
    hits: Sequence[tuple[StoredChunk, float]], new: Sequence[tuple[StoredChunk, float]]
) -> list[tuple[StoredChunk, float]]:
    """Both lists as one, best first; entries of `new` without a score are left out."""
    return sorted([*hits, *(item for item in new if item[1] > 0)], key=lambda item: -item[1])
