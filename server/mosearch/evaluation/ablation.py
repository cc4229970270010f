"""What each part of ranking adds, with confidence intervals.  Pure functions over judged questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from mosearch.evaluation.judging import Place, ndcg
from mosearch.evaluation.tuning import Judged
from mosearch.ranking import Pool, Weights
from mosearch.ranking.traits import TRAITS

_RESAMPLES = 2000

Scores = Mapping[str, Sequence[float]]
"""Repository → one figure for each of its questions, in their order."""


@dataclass(frozen=True, slots=True)
class Step:
    name: str
    weights: Weights
    words: bool = True
    vectors: bool = True


def steps(weights: Weights) -> tuple[Step, ...]:
    """From plain lists to all rules; each but the first three adds to the one before it."""
    plain = replace(
        weights,
        **dict.fromkeys(
            ("name", "place", "place_lead", "definition", "definition_as_written", "definition_of_type"), 0.0
        ),
        **dict.fromkeys(TRAITS, 1.0),
        coherence=0.0,
        lead=0.0,
        coverage=0.0,
        coverage_shallow=0.0,
        file_decay=1.0,
        dense_within=weights.dense,
        dense_within_shallow=weights.dense_shallow,
    )
    page = replace(plain, file_decay=weights.file_decay)
    files = replace(
        page,
        **{name: getattr(weights, name) for name in ("coherence", "lead", "coverage", "coverage_shallow")},
    )
    names = replace(weights, **{name: getattr(plain, name) for name in TRAITS})
    return (
        Step("words only (BM25)", plain, vectors=False),
        Step("vectors only", plain, words=False),
        Step("both, fused", plain),
        Step("+ other files are seen, too", page),
        Step("+ files in which many chunks answer", files),
        Step("+ names of symbols, files, folders; definitions", names),
        Step("+ tests, prose, data, headers, other systems put last", weights),
        Step("all rules, but words only", weights, vectors=False),
        Step("all rules, but vectors only", weights, words=False),
    )


def page(question: Judged, step: Step) -> list[Place]:
    """The first ten hits at one step."""
    return replace(question, pool=_seen(question.pool, step)).page(step.weights)


def measure(step: Step, questions: Mapping[str, Sequence[Judged]]) -> dict[str, list[float]]:
    """NDCG@10 of every question at one step."""
    return {
        name: [ndcg(page(each, step), each.targets) for each in asked] for name, asked in questions.items()
    }


def _seen(pool: Pool, step: Step) -> Pool:
    nowhere = np.full(len(pool.chunks), np.inf)
    return replace(
        pool,
        lexical=pool.lexical if step.words else nowhere,
        dense=pool.dense if step.vectors else nowhere,
    )


def mean(scores: Scores) -> float:
    """Mean over repositories of their means."""
    return fmean(fmean(row) for row in scores.values())


def interval(one: Scores, other: Scores, seed: int = 0) -> tuple[float, float]:
    """95 % interval of mean(other) - mean(one), by a paired bootstrap over each repository's questions."""
    random = np.random.default_rng(seed)
    total: NDArray[np.float64] = np.zeros(_RESAMPLES)
    for name, row in one.items():
        gained = np.asarray(other[name], float) - np.asarray(row, float)
        drawn = random.integers(0, len(gained), (_RESAMPLES, len(gained)))
        total += gained[drawn].mean(axis=1)
    low, high = np.percentile(total / len(one), [2.5, 97.5])
    return float(low), float(high)
