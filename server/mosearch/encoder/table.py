"""The static exit without torch: a token's vector is read from a table, a text's is their weighted mean.

For a process that searches: no library to load but the tokeniser, nothing to wait for, and the same
vectors as the host's, but for rounding.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from mosearch.encoder.config import CONFIG_FILE, ExitConfig, ModelConfig, read_json
from mosearch.encoder.published import is_published
from mosearch.encoder.tokens import TextTokenizer
from mosearch.encoder.weights import WEIGHTS_FILE
from mosearch.errors import ModelError
from mosearch.types import TextKind

STATIC_EXIT = 0

Floats = NDArray[np.float32]

_TEXTS_AT_ONCE = 256
_OWN_TABLE = "table.weight"
_BACKBONE_TABLE = "backbone.token.weight"


@dataclass(frozen=True, slots=True)
class _Weights:
    rows: NDArray[np.generic]
    """[vocabulary, width], int8 or a float type: a token's vector is its row times its scale."""
    scale: Floats
    """[vocabulary]."""
    importance: Floats
    """[vocabulary]: a token's weight in the mean is the softmax of this over its text."""
    head: Floats | None
    """[dim, width]; None: the mean is the embedding."""
    bias: Floats | None
    """[dim]."""
    repeat: float
    by_place: Floats
    """[max_tokens]: what a token counts for by its place."""

    def prominent(self, tokens: Sequence[int]) -> tuple[NDArray[np.int64], Floats]:
        """The distinct tokens of a text, and what each counts for by how often and where it stands."""
        distinct, group = np.unique(tokens, return_inverse=True)
        together = np.bincount(group, weights=self.by_place[: len(tokens)])
        return distinct, (together**self.repeat).astype(np.float32)


class TokenTable:
    """Embeds at the static exit.  For several threads at once."""

    def __init__(self, tokenizer: TextTokenizer, weights: _Weights) -> None:
        self._tokenizer = tokenizer
        self._weights = weights

    def encode(
        self, texts: Sequence[str], kind: TextKind, languages: Sequence[str] | None = None
    ) -> NDArray[np.float16]:
        """L2-normalised float16 [len(texts), dim], in the order of `texts`.

        `languages`, one per text, matters only to models with an instruction prefix.
        """
        parts = range(0, len(texts), _TEXTS_AT_ONCE)
        blocks = [
            self._embed(
                self._tokenizer(
                    texts[start : start + _TEXTS_AT_ONCE],
                    kind,
                    languages[start : start + _TEXTS_AT_ONCE] if languages else None,
                )
            )
            for start in parts
        ]
        return np.concatenate(blocks) if blocks else self._embed([])

    def _embed(self, ids: Sequence[list[int]]) -> NDArray[np.float16]:
        weights = self._weights
        pooled = np.empty((len(ids), weights.rows.shape[1]), np.float32)
        for row, tokens in enumerate(ids):
            places, share = weights.prominent(tokens)
            importance = weights.importance[places]
            share *= np.exp(importance - importance.max())
            share *= weights.scale[places] / share.sum()
            np.dot(share, weights.rows[places].astype(np.float32), out=pooled[row])
        if weights.head is not None:
            pooled = pooled @ weights.head.T
        if weights.bias is not None:
            pooled += weights.bias
        lengths = np.linalg.norm(pooled, axis=1, keepdims=True)
        found: NDArray[np.float16] = (pooled / np.maximum(lengths, 1e-12)).astype(np.float16)
        return found


def load_table(folder: Path, config: ModelConfig) -> TokenTable | None:
    """The static exit of a model folder; None if the model has none, or one that only torch can read.

    Raises ModelError for weights that are missing, damaged or do not fit the configuration.
    """
    static = next((e for e in config.exits if e.layer == STATIC_EXIT), None)
    if static is None or not _is_plain(config, static) or is_published(read_json(folder / CONFIG_FILE)):
        return None
    weights = _read(folder / WEIGHTS_FILE, config, static)
    if weights is None:
        return None
    # The cores are others', too; and a process that forks would be warned about threads.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    return TokenTable(TextTokenizer(folder, config), weights)


def _is_plain(config: ModelConfig, static: ExitConfig) -> bool:
    return (
        config.architecture == "bert"
        and static.pooling in ("mean", "token_weighted")
        and static.head in ("identity", "linear")
    )


def _read(file: Path, config: ModelConfig, static: ExitConfig) -> _Weights | None:
    """None for a number format that numpy lacks."""
    name = _OWN_TABLE if config.table_dim else _BACKBONE_TABLE
    prefix = f"exits.{STATIC_EXIT}"
    try:
        with safe_open(file, framework="np") as stored:
            present = set(stored.keys())
            wanted = [name, f"{name}.scale", f"{prefix}.token_logit"]
            wanted += [f"{prefix}.head.weight", f"{prefix}.head.weight.scale", f"{prefix}.head.bias"]
            used = [each for each in wanted if each in present]
            if any(stored.get_slice(each).get_dtype() == "BF16" for each in used):
                return None
            tensors = {each: stored.get_tensor(each) for each in used}
    except (OSError, SafetensorError) as error:
        raise ModelError(f"Cannot read the weights {file}: {error}. Fetch the model again.") from error
    width = config.pooled_width(STATIC_EXIT)
    try:
        scale = tensors.get(f"{name}.scale", np.ones(config.vocab_size))
        importance = np.zeros(config.vocab_size)
        if static.pooling == "token_weighted":
            importance = tensors[f"{prefix}.token_logit"]
        head = bias = None
        if static.head == "linear":
            head = tensors[f"{prefix}.head.weight"].astype(np.float32)
            head *= tensors.get(f"{prefix}.head.weight.scale", np.ones(1)).astype(np.float32)
            head = head.reshape(config.dim, width)
            bias = _checked(tensors[f"{prefix}.head.bias"], config.dim)
        return _Weights(
            rows=tensors[name].reshape(config.vocab_size, width),
            scale=_checked(scale, config.vocab_size),
            importance=_checked(importance, config.vocab_size),
            head=head,
            bias=bias,
            repeat=static.repeat,
            by_place=_by_place(config.max_tokens, static.fade),
        )
    except (KeyError, ValueError) as error:
        raise ModelError(
            f"The weights in {file} do not fit {CONFIG_FILE}: {error}. Fetch the model again."
        ) from error


def _by_place(count: int, fade: float) -> Floats:
    """What a token counts at each place: float32 [count]."""
    places = np.arange(count) / (fade or np.inf)
    return (1 / (1 + places)).astype(np.float32)


def _checked(values: NDArray[np.generic], count: int) -> Floats:
    """float32 [count].  Raises ValueError for anything else, and for what is not finite."""
    found: Floats = values.reshape(count).astype(np.float32)
    if not np.isfinite(found).all():
        raise ValueError("a weight is not finite")
    return found
