"""Retrieval metrics over a score matrix.  Pure numpy.

All three follow the usual definitions (Manning, Raghavan and Schütze, Introduction to Information
Retrieval, chapter 8) for binary relevance, over the full corpus without a cut-off except NDCG's ten.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NDCG_DEPTH = 10


@dataclass(frozen=True, slots=True)
class Quality:
    """Means over queries, each between 0 and 1."""

    mrr: float
    ndcg10: float
    recall1: float
    """Share of queries whose first result is relevant."""


def quality(scores: NDArray[np.floating], relevant: Sequence[Sequence[int]]) -> Quality:
    """Judge `scores` [queries, documents], where `relevant[i]` lists the right documents of query i.

    Equal scores share the mean of their places, so that a constant scorer gains nothing from the
    corpus's order.  Raises ValueError when a query has no relevant document.
    """
    if len(scores) != len(relevant) or not len(relevant):
        raise ValueError(f"{len(scores)} rows of scores for {len(relevant)} queries")
    reciprocal, gains, first = [], [], []
    for row, right in zip(scores, relevant, strict=True):
        ranks = _ranks(row, right)
        reciprocal.append(1 / ranks[0])
        first.append(float(ranks[0] < 2))
        gains.append(_ndcg(ranks))
    return Quality(float(np.mean(reciprocal)), float(np.mean(gains)), float(np.mean(first)))


def _ranks(row: NDArray[np.floating], right: Sequence[int]) -> NDArray[np.float64]:
    """Ascending 1-based ranks of the right documents."""
    if not len(right):
        raise ValueError("a query has no relevant document")
    mine = row[np.asarray(right)]
    above = (row[None, :] > mine[:, None]).sum(axis=1)
    equal = (row[None, :] == mine[:, None]).sum(axis=1)
    return np.sort(above + (equal + 1) / 2)


def _ndcg(ranks: NDArray[np.float64]) -> float:
    found = ranks[ranks < NDCG_DEPTH + 1]
    ideal = np.arange(1, min(len(ranks), NDCG_DEPTH) + 1)
    return float((1 / np.log2(found + 1)).sum() / (1 / np.log2(ideal + 1)).sum())
