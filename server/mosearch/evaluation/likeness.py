"""Labelled pairs of code, and the fit that makes a probability of what they share.

A pair is a query with one of its nearest texts.  Solutions of one task are similar, in whatever languages;
so are a function and its clone.  Solutions of two tasks, and functions of two projects, are not.  Pairs
within one project are left out: nobody has said which of them are siblings.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mosearch import parsing, workspace
from mosearch.evaluation.clones import MAKERS
from mosearch.evaluation.tasks import solutions
from mosearch.ranking.likeness import Likeness, compared, signs
from mosearch.types import Chunk, SymbolKind

NEAREST = 30
"""So many of a query's nearest texts make pairs."""
PRECISION = 0.9
"""Of what is called similar, this share shall be."""

_FOLDS = 5
_STEPS = 60
_RIDGE = 1.0
_LEAST_LINES, _MOST_BYTES = 6, 1200
FUNCTIONS = frozenset({SymbolKind.FUNCTION, SymbolKind.METHOD})

Vectors = Callable[[Sequence[str], Sequence[str], int], NDArray[np.float32]]
"""Texts, their languages, an exit → [n, dim], normalised."""


@dataclass(frozen=True, slots=True)
class Item:
    text: str
    language: str
    key: str
    """Items of one key are similar."""
    source: str
    """Items of one source with other keys may or may not be."""
    is_query: bool


@dataclass(frozen=True, slots=True)
class Pairs:
    """`n` pairs at one exit."""

    features: NDArray[np.float64]
    """[n, 9]: 1, cosine, what is `Shared`, and the cosine once more for texts of two languages."""
    similar: NDArray[np.bool_]
    groups: NDArray[np.int64]
    """[n]: a number for the query's key."""
    missed: int
    """Similar pairs that are not among the nearest."""


@dataclass(frozen=True, slots=True)
class Fit:
    weights: Likeness
    held_out: NDArray[np.float64]
    """[n]: probabilities by weights fitted without the pair's own group's fold."""
    area: float
    """Under the ROC curve, of the held-out probabilities; `cosine_area` is that of the cosine alone."""
    cosine_area: float


def labelled(data: Path, roots: Sequence[Path], tasks: int, functions: int, seed: int = 0) -> list[Item]:
    """Solutions of `tasks` tasks in all languages, and functions of each root with a clone each.

    Raises `UsageError` when the data is not there.
    """
    rng = random.Random(seed)
    items = [
        Item(each.masked, each.language, each.task, f"solution {each.task}", each.language in _ASKING)
        for each in solutions(data, tasks)
    ]
    makers = list(MAKERS.values())
    for root in roots:
        found = functions_of(root)
        for number, (_, chunk) in enumerate(rng.sample(found, min(functions, len(found)))):
            key = f"{root.name} {number}"
            clone = makers[number % len(makers)](chunk.text, rng)
            items.append(Item(chunk.text, chunk.language, key, root.name, True))
            items.append(Item(clone, chunk.language, key, root.name, False))
    return items


_ASKING = frozenset({"python", "java", "go", "javascript"})


def functions_of(root: Path) -> list[tuple[str, Chunk]]:
    """The functions of a tree that are neither tiny nor longer than one chunk, with their paths."""
    return [
        (path, chunk)
        for path, chunks in _parsed(root)
        for chunk in chunks
        if chunk.kind in FUNCTIONS
        and chunk.parts == 1
        and chunk.end_line - chunk.start_line + 1 >= _LEAST_LINES
        and len(chunk.text) <= _MOST_BYTES
    ]


def _parsed(root: Path) -> Iterator[tuple[str, Sequence[Chunk]]]:
    for stat in workspace.scan(workspace.resolve_root(root)).files:
        source = workspace.read_source(root, stat)
        if isinstance(source, workspace.Source):
            yield stat.path, parsing.parse_file(stat.path, source.data).chunks


def pairs(items: Sequence[Item], vectors: NDArray[np.float32]) -> Pairs:
    """Each query with its nearest texts, as far as somebody can say whether they are similar."""
    similar = np.array([[one.key == other.key for other in items] for one in items])
    unsaid = np.array([[one.source == other.source for other in items] for one in items]) & ~similar
    rows: list[list[float]] = []
    labels: list[bool] = []
    groups: list[int] = []
    missed = 0
    keys = {key: number for number, key in enumerate(dict.fromkeys(each.key for each in items))}
    for index, item in enumerate(items):
        if not item.is_query:
            continue
        cosines = vectors @ vectors[index]
        allowed = ~unsaid[index]
        allowed[index] = False
        nearest = [other for other in np.argsort(-cosines, kind="stable") if allowed[other]][:NEAREST]
        missed += int(similar[index].sum()) - 1 - int(similar[index][nearest].sum())
        for other in nearest:
            near = items[other]
            foreign = near.language != item.language
            shared = compared(signs(item.text), signs(near.text), foreign=foreign)
            cosine = float(cosines[other])
            rows.append([1.0, cosine, *shared, cosine * shared.foreign])
            labels.append(bool(similar[index, other]))
            groups.append(keys[item.key])
    return Pairs(np.array(rows), np.array(labels), np.array(groups), missed)


def fit(found: Pairs) -> Fit:
    """The regression on all pairs, and its held-out probabilities, folds made by the queries' keys."""
    folds = found.groups % _FOLDS
    held_out = np.zeros(len(folds))
    for fold in range(_FOLDS):
        weights = _regression(found.features[folds != fold], found.similar[folds != fold])
        held_out[folds == fold] = _sigmoid(found.features[folds == fold] @ weights)
    weights = _regression(found.features, found.similar)
    return Fit(
        weights=Likeness(*(round(float(weight), 3) for weight in weights)),
        held_out=held_out,
        area=_area(held_out, found.similar),
        cosine_area=_area(found.features[:, 1], found.similar),
    )


def cut(probabilities: NDArray[np.float64], similar: NDArray[np.bool_]) -> tuple[float, float]:
    """The least probability at which `PRECISION` of all pairs above are similar, and the recall there."""
    order = np.argsort(-probabilities, kind="stable")
    hits = np.cumsum(similar[order])
    precision = hits / np.arange(1, len(order) + 1)
    good = np.flatnonzero(precision >= PRECISION)
    if not len(good):
        return 1.0, 0.0
    return float(probabilities[order[good[-1]]]), float(hits[good[-1]] / similar.sum())


def bins(
    probabilities: NDArray[np.float64], similar: NDArray[np.bool_]
) -> list[tuple[float, int, float, float]]:
    """By tenths of the probability: lower bound, pairs, mean probability, share that is similar."""
    rows = []
    for low in np.arange(10) / 10:
        inside = (probabilities >= low) & (probabilities < low + 0.1 + (low > 0.85))
        if inside.any():
            mean = float(probabilities[inside].mean())
            rows.append((float(low), int(inside.sum()), mean, float(similar[inside].mean())))
    return rows


def _regression(features: NDArray[np.float64], similar: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Newton's method on the log-likelihood with a small ridge."""
    weights = np.zeros(features.shape[1])
    ridge = _RIDGE * np.eye(features.shape[1])
    for _ in range(_STEPS):
        predicted = _sigmoid(features @ weights)
        slope = features.T @ (predicted - similar) + ridge @ weights
        curve = (features * (predicted * (1 - predicted))[:, None]).T @ features + ridge
        step = np.linalg.solve(curve, slope)
        weights -= step
        if np.abs(step).max() < 1e-8:
            break
    return weights


def _sigmoid(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = 1 / (1 + np.exp(-np.clip(logits, -60, 60)))
    return found


def _area(scores: NDArray[Any], similar: NDArray[np.bool_]) -> float:
    """Chance that a similar pair scores higher than another one; ties count for half by their order."""
    ranks = np.empty(len(scores))
    ranks[np.argsort(scores, kind="stable")] = np.arange(1, len(scores) + 1)
    count = int(similar.sum())
    others = len(scores) - count
    return float((ranks[similar].sum() - count * (count + 1) / 2) / (count * others))
