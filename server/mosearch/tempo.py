"""How fast texts are embedded, as measured: what fits into the time that is left."""

from __future__ import annotations

import threading
from collections.abc import Sequence

_FIRST_GUESS = 1 / 25_000
"""Seconds per character: a small transformer on one core of 2025."""
_WEIGHT_OF_LAST = 0.3
_DOUBT = 0.9
_LEAST_CHARACTERS = 200
"""A text costs as much as one of this length at least."""
_MOST_CHARACTERS = 1_200
"""What is longer is cut off by most models."""


class Tempo:
    """Of one model at one exit.  For several threads at once."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._seconds_per_character = _FIRST_GUESS

    def fitting(self, texts: Sequence[str], seconds: float) -> int:
        """How many of `texts`, from the first, are likely to be embedded in so many seconds."""
        left = seconds / self._seconds_per_character
        for count, text in enumerate(texts):
            left -= _size(text)
            if left < 0:
                return count
        return len(texts)

    def note(self, texts: Sequence[str], seconds: float) -> None:
        """They took so long."""
        pace = seconds / sum(map(_size, texts))
        with self._mutex:
            self._seconds_per_character += _WEIGHT_OF_LAST * (pace - self._seconds_per_character)

    def doubt(self) -> None:
        """Nothing seemed to fit; perhaps the machine was busy when this was measured."""
        with self._mutex:
            self._seconds_per_character *= _DOUBT


def _size(text: str) -> int:
    return min(max(len(text), _LEAST_CHARACTERS), _MOST_CHARACTERS)
