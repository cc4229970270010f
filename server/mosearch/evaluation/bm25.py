"""BM25 over code words: the lexical baseline (Robertson and Zaragoza 2009, the +1 inside the log)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mosearch.text import identifiers, split_identifier

K1 = 1.2
B = 0.75


def words(text: str) -> list[str]:
    """Lower-case words of all identifiers, split at case changes and underscores."""
    return [word.lower() for name in identifiers(text) for word in split_identifier(name)]


def bm25_scores(queries: Sequence[str], documents: Sequence[str]) -> NDArray[np.float32]:
    """BM25 scores [queries, documents]."""
    postings: dict[str, list[tuple[int, int]]] = {}
    lengths = np.zeros(len(documents))
    for number, document in enumerate(documents):
        counts = Counter(words(document))
        lengths[number] = sum(counts.values())
        for word, count in counts.items():
            postings.setdefault(word, []).append((number, count))
    norm = K1 * (1 - B + B * lengths / max(lengths.mean(), 1))
    scores = np.zeros((len(queries), len(documents)), np.float32)
    for row, query in zip(scores, queries, strict=True):
        for word in words(query):
            found = postings.get(word)
            if found:
                _add(row, np.asarray(found), norm, len(documents))
    return scores


def _add(row: NDArray[np.float32], found: NDArray[np.int64], norm: NDArray[np.float64], total: int) -> None:
    where, count = found[:, 0], found[:, 1]
    rarity = np.log(1 + (total - len(found) + 0.5) / (len(found) + 0.5))
    row[where] += rarity * count * (K1 + 1) / (count + norm[where])
