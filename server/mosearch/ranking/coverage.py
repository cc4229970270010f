"""How much of what a question names is found in one file, though no chunk of it holds all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_SHORTEST = 3
"""Shorter terms are in every text, as parts of words."""


def covered(terms: Sequence[str], texts: Sequence[str], files: NDArray[np.int64]) -> NDArray[np.float64]:
    """[n]: the share of `terms` that occur in some of the `texts` of the same file, in [0, 1].

    What few of the texts hold counts more, as in BM25.  `texts` are what candidates hold, in lower case, and
    `files` has a number for the file of each.  Parts of words count, too: terms are folded, words in code are
    compound, and to look for letters takes a tenth of the time that it takes to tell words apart.
    """
    looked_for = [term for term in terms if len(term) >= _SHORTEST]
    if not looked_for or not texts:
        return np.zeros(len(texts))
    holds = np.array([[term in text for term in looked_for] for text in texts], bool)
    held_by = holds.sum(axis=0)
    rarity = np.log1p((len(texts) - held_by + 0.5) / (held_by + 0.5))
    in_file = np.zeros((files.max() + 1, len(looked_for)), bool)
    np.logical_or.at(in_file, files, holds)
    shares: NDArray[np.float64] = in_file @ rarity / rarity.sum()
    return shares[files]
