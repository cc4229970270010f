"""The encoder as a function from texts to vectors: device, number format, batching."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from mosearch.encoder.config import ModelConfig
from mosearch.encoder.models import describe, find_model, load_config
from mosearch.errors import ModelError, UsageError
from mosearch.mose.checkpoint import load_model
from mosearch.mose.model import MultiExitEncoder
from mosearch.mose.tokens import TextTokenizer
from mosearch.types import ModelInfo, TextKind

_log = logging.getLogger(__name__)

_LAYER_TOKENS_PER_THREAD = 1536
_GPU_LAYER_TOKENS = 1 << 19
"""Padded tokens times layers in one forward pass: large enough for full speed, small enough that an urgent
request which waits for the pass to end does not wait long.  On one core of 2025 with bfloat16 and a width of
384, a pass takes about 20 ms; larger ones gain less by their size than they lose by padding."""
_LAYER_WEIGHTS = 12 * 384**2
"""In a layer of such a model; one with more of them gets as many fewer tokens."""

_ROW_STEP = 16


@dataclass(frozen=True, slots=True)
class Batch:
    """Some of a request's texts, of similar length, ready for one forward pass."""

    rows: tuple[int, ...]
    """Their places in the request."""
    ids: tuple[list[int], ...]


class Encoder:
    """A loaded model.  `batches` may be called by any thread, `encode` and `run` by one at a time.

    `deepen` loads the model anew, at least as deep as the exit it is given: it is called when an exit is
    asked for that `model` does not reach.
    """

    def __init__(
        self,
        model: MultiExitEncoder,
        tokenizer: TextTokenizer,
        info: ModelInfo,
        device: torch.device,
        dtype: torch.dtype,
        deepen: Callable[[int], MultiExitEncoder],
    ) -> None:
        self._tokenizer = tokenizer
        self._deepen = deepen
        self.info = info
        self.device = device
        self.dtype = dtype
        self._layer_factor = max(1.0, _layer_weights(model.config) / _LAYER_WEIGHTS)
        self._model = self._placed(model)

    @property
    def exits(self) -> tuple[int, ...]:
        return self.info.exits

    @property
    def dim(self) -> int:
        return self.info.dim

    @property
    def fingerprint(self) -> str:
        return self.info.fingerprint

    def encode(
        self,
        texts: Sequence[str],
        kind: TextKind = "code",
        exits: Collection[int] | None = None,
        languages: Sequence[str] | None = None,
    ) -> dict[int, NDArray[np.float16]]:
        """L2-normalised float16 [len(texts), dim] by exit, in the order of `texts`; None asks for all exits.

        `languages` (one per text) matters only to models with an instruction prefix for code.
        Raises UsageError for an exit that the model does not have.
        """
        wanted = self.checked_exits(exits)
        found = {layer: np.empty((len(texts), self.dim), np.float16) for layer in wanted}
        for batch in self.batches(texts, kind, languages, self.batch_tokens(wanted)):
            for layer, vectors in self.run(batch, wanted).items():
                found[layer][list(batch.rows)] = vectors
        return found

    def checked_exits(self, exits: Collection[int] | None) -> tuple[int, ...]:
        wanted = self.exits if exits is None else tuple(sorted(set(exits)))
        unknown = [layer for layer in wanted if layer not in self.exits]
        if unknown or not wanted:
            raise UsageError(
                f"Model {self.info.name} has no exits {unknown}. Ask for some of {list(self.exits)}."
            )
        return wanted

    def batch_tokens(self, exits: Collection[int]) -> int:
        """How many padded tokens one forward pass to these exits should have."""
        layer_tokens = _GPU_LAYER_TOKENS
        if self.device.type == "cpu":
            layer_tokens = _LAYER_TOKENS_PER_THREAD * torch.get_num_threads()
        return int(layer_tokens / self._layer_factor) // max(1, *exits)

    def batches(
        self, texts: Sequence[str], kind: TextKind, languages: Sequence[str] | None, limit: int
    ) -> Iterator[Batch]:
        """Tokenise at once, then hand out batches of at most `limit` padded tokens (or one text)."""
        ids = self._tokenizer(texts, kind, languages) if texts else []
        rows: list[int] = []
        for row in sorted(range(len(ids)), key=lambda row: len(ids[row])):
            if rows and len(ids[row]) * (len(rows) + 1) > limit:
                yield Batch(tuple(rows), tuple(ids[r] for r in rows))
                rows = []
            rows.append(row)
        if rows:
            yield Batch(tuple(rows), tuple(ids[r] for r in rows))

    @torch.inference_mode()
    def run(self, batch: Batch, exits: Collection[int]) -> dict[int, NDArray[np.float16]]:
        """One forward pass: float16 [len(batch.rows), dim] by exit.

        Raises ModelError when the part of the model that is needed first now is damaged.
        """
        if max(exits) > self._model.config.layers:
            self._model = self._placed(self._deepen(max(exits)))
        return self._run(batch.ids, exits)

    def _run(self, ids: tuple[list[int], ...], exits: Collection[int]) -> dict[int, NDArray[np.float16]]:
        """As `run`; what the device has no memory for is done in halves."""
        try:
            tokens, mask = padded(ids)
            found = self._model(tokens.to(self.device), mask.to(self.device), exits)
            return {layer: vectors.half().cpu().numpy() for layer, vectors in found.items()}
        except torch.OutOfMemoryError:
            if len(ids) == 1:
                raise
        # Outside the handler, whose exception would keep the failed pass's tensors alive.
        _log.warning("no memory for %d texts of up to %d tokens at once", len(ids), max(map(len, ids)))
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        middle = len(ids) // 2
        first, second = self._run(ids[:middle], exits), self._run(ids[middle:], exits)
        return {layer: np.concatenate([first[layer], second[layer]]) for layer in first}

    def _placed(self, model: MultiExitEncoder) -> MultiExitEncoder:
        # The exits stay in float32: they cost next to nothing, and pooling is where rounding adds up.
        model.backbone.to(self.dtype)
        return model.to(self.device)


def load(
    name_or_path: str | os.PathLike[str] | None = None, device: str = "auto", dtype: torch.dtype | None = None
) -> Encoder:
    """Load a model folder (None: the one that comes with the package).

    `device` is `auto`, `cpu`, `cuda`, `cuda:1`, `mps`, …; `dtype` None picks the fastest that the device
    computes well.  Raises ModelError for a model or a device that cannot be used.
    """
    folder = find_model(name_or_path)
    config = load_config(folder)
    place = _device(device)
    return Encoder(
        load_model(folder, config.index_exit),
        TextTokenizer(folder, config),
        describe(folder, config),
        place,
        dtype or _fastest_dtype(place),
        partial(load_model, folder),
    )


def _layer_weights(config: ModelConfig) -> int:
    """Weights of one layer's matrices."""
    shared = (config.kv_heads or config.heads) / config.heads
    return int(2 * config.hidden_size * (config.hidden_size * (1 + shared) + config.intermediate_size))


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ModelError(f"Cannot compute on device {name!r}: {error}. Choose auto or cpu.") from error
    return device


def _fastest_dtype(device: torch.device) -> torch.dtype:
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    if device.type == "cpu" and _cpu_multiplies_bf16():
        return torch.bfloat16
    return torch.float32


def _cpu_multiplies_bf16() -> bool:
    """Whether the CPU has instructions for bfloat16 products; emulated, they are slower than float32."""
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(probe() for name in probes if (probe := getattr(torch.cpu, name, None)))


def padded(ids: Sequence[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """int64 ids, padded with 0 on the right, and a bool mask, True for tokens; both [rows, t].

    t is the longest row's length, rounded up: kernels that are made for a shape are kept, and there are few.
    """
    longest = -(-max(len(row) for row in ids) // _ROW_STEP) * _ROW_STEP
    padded = np.zeros((len(ids), longest), np.int64)
    mask = np.zeros((len(ids), longest), np.bool_)
    for number, row in enumerate(ids):
        padded[number, : len(row)] = row
        mask[number, : len(row)] = True
    return torch.from_numpy(padded), torch.from_numpy(mask)
