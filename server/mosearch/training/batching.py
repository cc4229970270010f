"""Which pairs share a batch: pairs of one sort, of similar length and, if wanted, hard to tell apart."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from mosearch.mose import MultiExitEncoder
from mosearch.training.packing import Pack, parts_of_like_length
from mosearch.training.pairs import KINDS

_SHELVES = 4
_SHELF = 64
"""Where pairs that are alike are sought, they are sorted by length into so many shelves of so many batches
each."""
_ROUNDS = 8
_TEXTS = 512


def batches(
    packed: Pack,
    size: int,
    seed: int,
    taught: NDArray[np.bool_] | None = None,
    places: NDArray[np.float16] | None = None,
    alike: int = 1,
    window: int = 16,
) -> list[NDArray[np.int64]]:
    """Pair numbers of one epoch, in batches of exactly `size`; what does not fill a batch is left out.

    A batch holds pairs of one sort (text→code, a function and its variant, the same in two languages), all
    with a teacher's vectors or all without (`taught`, per pair), and of similar length: within a window of
    so many batches, pairs are sorted by length, so that little is padded.  With `places` [pairs, dim], as
    `meanings` gives them, it is made of groups of at least `alike` pairs that mean much the same, and the
    window is wider: to tell those apart teaches more than to tell a parser from a socket.
    """
    draw = np.random.default_rng(seed)
    sorts = packed.is_code_pair().astype(int) + (packed.kinds == KINDS.index("cross"))
    sorts = sorts if taught is None else sorts + 3 * taught
    found: list[NDArray[np.int64]] = []
    for sort in np.unique(sorts):
        mine = draw.permutation(np.flatnonzero(sorts == sort))
        if places is None:
            shelves = _by_length(packed, mine, size * window)
        else:
            wide = _by_length(packed, mine, size * _SHELF * _SHELVES)
            parts = (part for shelf in wide for part in np.array_split(shelf, _SHELVES))
            shelves = (_by_meaning(part, places, alike, draw) for part in parts)
        for shelf in shelves:
            found += [shelf[i : i + size] for i in range(0, len(shelf) - size + 1, size)]
    return [found[i] for i in draw.permutation(len(found))]


def _by_length(packed: Pack, pairs: NDArray[np.int64], size: int) -> Iterator[NDArray[np.int64]]:
    """`size` pairs at a time, each time sorted by length."""
    lengths = packed.lengths
    for start in range(0, len(pairs), size):
        shelf = pairs[start : start + size]
        yield shelf[np.argsort(lengths[packed.pairs[shelf]].max(axis=1), kind="stable")]


def _by_meaning(
    pairs: NDArray[np.int64], places: NDArray[np.float16], alike: int, draw: np.random.Generator
) -> NDArray[np.int64]:
    """The pairs in groups of those that are alike; the groups in drawn order."""
    groups = clusters(places[pairs].astype(np.float32), alike, draw)
    order: NDArray[np.int64] = np.concatenate([groups[i] for i in draw.permutation(len(groups))])
    return pairs[order]


def clusters(vectors: NDArray[np.float32], size: int, draw: np.random.Generator) -> list[NDArray[np.int64]]:
    """Rows of `vectors` [n, dim], each once, in groups of `size` to 2 · `size` - 1; of all, if too few.

    They are halved where they differ most, along their first principal component, again and again.
    """
    if len(vectors) < 2 * size:
        return [np.arange(len(vectors))]
    order = np.argsort(vectors @ _principal(vectors - vectors.mean(axis=0), draw), kind="stable")
    middle = size * (len(vectors) // size // 2)
    halves = (order[:middle], order[middle:])
    return [half[group] for half in halves for group in clusters(vectors[half], size, draw)]


def _principal(centred: NDArray[np.float32], draw: np.random.Generator) -> NDArray[np.float32]:
    """Close to the first principal component, float32 [dim], by power iteration."""
    direction = draw.standard_normal((centred.shape[1],), np.float32)
    for _ in range(_ROUNDS):
        direction = centred.T @ (centred @ direction)
        direction /= max(float(np.linalg.norm(direction)), 1e-12)
    return direction


@torch.inference_mode()
def meanings(model: MultiExitEncoder, packed: Pack) -> NDArray[np.float16]:
    """Both texts of each pair in one vector, float16 [pairs, dim], L2-normalised, by the model's exit 0."""
    rows = np.arange(len(packed.lengths))
    texts = np.empty((len(rows), model.config.dim), np.float16)
    for places, *part in parts_of_like_length(packed, rows, _TEXTS):
        ids, mask = map(torch.from_numpy, part)
        texts[places] = model(ids, mask, (0,))[0].half().numpy()
    sums = texts[packed.pairs[:, 0]] + texts[packed.pairs[:, 1]]
    length = np.linalg.norm(sums.astype(np.float32), axis=1, keepdims=True)
    return np.asarray(sums / np.maximum(length, 1e-6), np.float16)
