"""Cosine similarities of a few vectors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

_Key = TypeVar("_Key")


def cosines(vectors: Mapping[_Key, NDArray[np.float16]], query: NDArray[np.floating]) -> dict[_Key, float]:
    """Of each of `vectors` to `query`, all of unit length, [dim]; reckoned in float32."""
    direction = query.astype(np.float32)
    return {key: float(vector.astype(np.float32) @ direction) for key, vector in vectors.items()}
