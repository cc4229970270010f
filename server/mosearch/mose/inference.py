"""The encoder as a function from texts to vectors: batching, and what to do when a device fails."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from mosearch.encoder.config import ModelConfig
from mosearch.encoder.models import describe, find_model, load_config
from mosearch.encoder.tokens import TextTokenizer
from mosearch.errors import ModelError, UsageError
from mosearch.mose.checkpoint import load_model
from mosearch.mose.devices import (
    check_room,
    chosen_device,
    failure_of,
    fastest_dtype,
    give_back_memory,
    limit_memory,
)
from mosearch.mose.model import MultiExitEncoder
from mosearch.mose.packed import Packed
from mosearch.types import ModelInfo, TextKind

_log = logging.getLogger(__name__)

Found = dict[int, NDArray[np.float16]]
"""L2-normalised vectors [texts, dim] by exit."""

_LAYER_TOKENS_PER_THREAD = 1536
_GPU_LAYER_TOKENS = 1 << 21
"""Tokens times layers in one forward pass: large enough for full speed, small enough that an urgent request
which waits for the pass to end does not wait long.  On one core of 2025 with bfloat16 and a width of 384, a
pass takes about 20 ms; larger ones gain less by their size than they lose by padding.  On a large GPU it
takes about 10 ms, and smaller ones would end before the next could be prepared."""
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
    """A loaded model.  `batches` may be called by any thread, `encode`, `begin` and `run` by one at a time.

    `deepen` loads the model anew, at least as deep as the exit it is given: it is called when an exit is
    asked for that `model` does not reach, and when the device is lost.
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
        self.trouble = ""
        """What the user should know, e.g. that the GPU was lost and the CPU computes."""
        self.info = info
        self.device = device
        self.dtype = dtype
        self._tokenizer = tokenizer
        self._deepen = deepen
        self._deepening = threading.Lock()
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

    @property
    def overlaps(self) -> bool:
        """Whether `begin` returns before the pass is done, so that the next can be prepared meanwhile."""
        return self.device.type == "cuda"

    def encode(
        self,
        texts: Sequence[str],
        kind: TextKind = "code",
        exits: Collection[int] | None = None,
        languages: Sequence[str] | None = None,
    ) -> Found:
        """L2-normalised float16 [len(texts), dim] by exit, in the order of `texts`; None asks for all exits.

        `languages` (one per text) matters only to models with an instruction prefix for code.
        Raises UsageError for an exit that the model does not have.
        """
        wanted = self.checked_exits(exits)
        found = {layer: np.empty((len(texts), self.dim), np.float16) for layer in wanted}
        running: tuple[Batch, Callable[[], Found]] | None = None

        def collect(batch: Batch, wait: Callable[[], Found]) -> None:
            for layer, vectors in wait().items():
                found[layer][list(batch.rows)] = vectors

        for batch in self.batches(texts, kind, languages, self.batch_tokens(wanted)):
            started = self.begin(batch, wanted)
            if running:
                collect(*running)
            running = batch, started
        if running:
            collect(*running)
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
        """How many tokens, those that pad included, one forward pass to these exits should have."""
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

    def run(self, batch: Batch, exits: Collection[int], pause: Callable[[], None] | None = None) -> Found:
        """One forward pass: float16 [len(batch.rows), dim] by exit.  See `begin`."""
        return self.begin(batch, exits, pause)()

    def begin(
        self, batch: Batch, exits: Collection[int], pause: Callable[[], None] | None = None
    ) -> Callable[[], Found]:
        """Start one forward pass; what is returned waits for its result.

        `pause` is called between small pieces of the work on a CPU: it may run other
        batches, or raise, which ends the pass.  What the device has no memory for is done in halves; when
        the device itself is lost, the CPU takes over, and `trouble` says so.  Raises ModelError when the
        part of the model that is needed first now is damaged or has no room.
        """
        if max(exits) > self._model.config.layers:
            self.prepare(max(exits))
        return self._begin(batch.ids, exits, pause)

    def prepare(self, exit_: int) -> None:
        """Load what an exit needs, if it is not there; from any thread, while passes go on."""
        with self._deepening:
            if exit_ > self._model.config.layers:
                self._model = self._placed(self._deepen(exit_))

    @property
    def deepest_loaded(self) -> int:
        """The deepest exit for which nothing has to be read any more."""
        return max(layer for layer in self.exits if layer <= self._model.config.layers)

    def warm_up(self, exit_: int) -> None:
        """Let libraries and kernels be loaded before anybody waits for them."""
        self.run(Batch((0,), tuple(self._tokenizer(["x"], "query"))), (exit_,))

    def give_back_memory(self) -> None:
        give_back_memory(self.device)

    def _begin(
        self, ids: tuple[list[int], ...], exits: Collection[int], pause: Callable[[], None] | None
    ) -> Callable[[], Found]:
        failure, device = None, self.device
        try:
            wait = self._launched(ids, exits, pause)
        except (RuntimeError, MemoryError) as error:
            failure = self._dealt_with(error, ids, device)
        # Outside the handler, whose exception would keep the failed pass's tensors alive.
        if failure:
            found = self._again(ids, exits, pause, failure)
            return lambda: found
        return partial(self._collected, wait, device, ids, exits, pause)

    def _collected(
        self,
        wait: Callable[[], Found],
        device: torch.device,
        ids: tuple[list[int], ...],
        exits: Collection[int],
        pause: Callable[[], None] | None,
    ) -> Found:
        """A GPU reports some failures only when it is waited for."""
        try:
            return wait()
        except (RuntimeError, MemoryError) as error:
            failure = self._dealt_with(error, ids, device)
        return self._again(ids, exits, pause, failure)

    def _dealt_with(self, error: Exception, ids: tuple[list[int], ...], device: torch.device) -> str:
        """What failed on `device`, after which the same can be tried again; raises `error` when it cannot."""
        failure = failure_of(error)
        if failure is None or (failure == "memory" and len(ids) == 1):
            raise error
        if failure == "memory":
            _log.warning("no memory for %d texts of up to %d tokens at once", len(ids), max(map(len, ids)))
        elif device != self.device:
            pass  # It was under way when another pass found that the device is lost.
        elif self.trouble:
            raise error  # The CPU fails, too.
        else:
            self._leave_device(error)
        return failure

    def _leave_device(self, error: Exception) -> None:
        lost, reason = self.device, str(error).strip().splitlines()[0]
        _log.error("lost %s: %s", lost, error)
        self.trouble = (
            f"The device {lost} failed ({reason}), so the CPU embeds, more slowly. "
            f"To use the device again, end the encoder host, process {os.getpid()}."
        )
        depth = self._model.config.exit_layers[-1]
        self.device = torch.device("cpu")
        self.dtype = fastest_dtype(self.device)
        with self._deepening:
            self._model = self._placed(self._deepen(depth))

    def _again(
        self,
        ids: tuple[list[int], ...],
        exits: Collection[int],
        pause: Callable[[], None] | None,
        failure: str,
    ) -> Found:
        if failure == "device":
            return self._begin(ids, exits, pause)()
        self.give_back_memory()
        middle = len(ids) // 2
        first, second = (self._begin(half, exits, pause)() for half in (ids[:middle], ids[middle:]))
        return {layer: np.concatenate([first[layer], second[layer]]) for layer in first}

    @torch.inference_mode()
    def _launched(
        self, ids: tuple[list[int], ...], exits: Collection[int], pause: Callable[[], None] | None
    ) -> Callable[[], Found]:
        model = self._model
        if model.can_pack(exits):
            found = model.packed(Packed.of(ids, self.device), exits, pause)
        else:
            tokens, mask = padded(ids)
            # A GPU runs ahead of whoever gives it work: there is nothing to come in between.
            between = pause if self.device.type == "cpu" else None
            found = model(tokens.to(self.device), mask.to(self.device), exits, between)
        halves = {layer: vectors.half() for layer, vectors in found.items()}
        if self.device.type != "cuda":
            ready = {layer: vectors.cpu().numpy() for layer, vectors in halves.items()}
            return lambda: ready
        copies = {layer: torch.empty(v.shape, dtype=v.dtype, pin_memory=True) for layer, v in halves.items()}
        for layer, copy in copies.items():
            copy.copy_(halves[layer], non_blocking=True)
        done: torch.cuda.Event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        done.record(torch.cuda.current_stream(self.device))

        def wait() -> Found:
            done.synchronize()
            return {layer: copy.numpy() for layer, copy in copies.items()}

        return wait

    def _placed(self, model: MultiExitEncoder) -> MultiExitEncoder:
        # The exits stay in float32: they cost next to nothing, and pooling is where rounding adds up.
        model.backbone.to(self.dtype)
        return model.to(self.device)


def load(
    name_or_path: str | os.PathLike[str] | None = None,
    device: str = "auto",
    dtype: torch.dtype | None = None,
    memory_mb: int | None = None,
) -> Encoder:
    """Load a model folder (None: the one that comes with the package).

    `device` is `auto`, `cpu`, `cuda`, `cuda:1`, `mps`, …; `dtype` None picks the fastest that the device
    computes well; `memory_mb` is how much memory the device may be asked for (on a CPU, that of this
    process).  Raises ModelError for a model or a device that cannot be used, or for which there is no room.
    """
    folder = find_model(name_or_path)
    config = load_config(folder)
    place = chosen_device(device)
    number = dtype or fastest_dtype(place)
    if memory_mb is not None:
        limit_memory(place, memory_mb)

    def deepen(exit_: int) -> MultiExitEncoder:
        if memory_mb is not None:
            needed = _weights(config, exit_) * number.itemsize
            check_room(needed, place, memory_mb, f"Exit {exit_} of {config.name}")
        model = load_model(folder, exit_)
        if describe(folder, load_config(folder)).fingerprint != info.fingerprint:
            raise ModelError(
                f"The model in {folder} was replaced while this process used it. Start it again."
            )
        return model

    info = describe(folder, config)
    return Encoder(
        deepen(config.index_exit),
        TextTokenizer(folder, config),
        info,
        place,
        number,
        deepen,
    )


def _weights(config: ModelConfig, exit_: int) -> int:
    """How many there are down to an exit, nearly; all of them in a model that is never loaded in part."""
    layers = exit_ if config.architecture == "starcoder2" else config.layers
    return layers * _layer_weights(config) + config.vocab_size * config.hidden_size


def _layer_weights(config: ModelConfig) -> int:
    """Weights of one layer's matrices."""
    shared = (config.kv_heads or config.heads) / config.heads
    return int(2 * config.hidden_size * (config.hidden_size * (1 + shared) + config.intermediate_size))


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
