"""Running a model's exits, or BM25, over retrieval tasks; and what each exit costs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from statistics import fmean
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mosearch.evaluation.bm25 import bm25_scores
from mosearch.evaluation.metrics import Quality, quality
from mosearch.evaluation.tasks import Task
from mosearch.mose import Encoder, MultiExitEncoder
from mosearch.types import TextKind

FLOPS_TOKENS = 128
SPEED_CHUNKS = 512


@dataclass(frozen=True, slots=True)
class Cost:
    """What one exit of a model costs."""

    parameters: int
    """Those that a pass to this exit reads; the embedding table counts whole."""
    flops_per_token: int
    """Multiplications and additions, in a text of 128 tokens; looking up embeddings is free."""
    chunks_per_second: float


@dataclass(frozen=True, slots=True)
class Result:
    """One row of the table: a model's exit (None: a method without exits) on one task."""

    model: str
    exit: int | None
    task: str
    group: str
    queries: int
    documents: int
    quality: Quality


@dataclass(frozen=True, slots=True)
class Report:
    results: tuple[Result, ...]
    costs: dict[str, dict[int, Cost]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Plain data, as `--json` writes it."""
        return asdict(self)

    def mean_mrr(self, model: str, exit_: int | None, group: str) -> float:
        """Mean over a group's tasks; NaN when the group was not run."""
        found = [
            row.quality.mrr
            for row in self.results
            if (row.model, row.exit, row.group) == (model, exit_, group)
        ]
        return fmean(found) if found else float("nan")


def evaluate_bm25(tasks: Sequence[Task]) -> Iterator[Result]:
    for task in tasks:
        yield _result("BM25", None, task, bm25_scores(task.queries, task.documents))


def evaluate_encoder(encoder: Encoder, name: str, tasks: Sequence[Task]) -> Iterator[Result]:
    """Every exit on every task, with one forward pass per distinct text of neighbouring tasks."""
    remembered: dict[tuple[TextKind, str], dict[int, NDArray[np.float16]]] = {}
    for task in tasks:
        queries = _vectors(encoder, task.queries, task.query_kind, remembered)
        documents = _vectors(encoder, task.documents, "code", remembered)
        for exit_ in encoder.exits:
            yield _result(name, exit_, task, queries[exit_] @ documents[exit_].T)


def costs(encoder: Encoder, model: MultiExitEncoder, chunks: Sequence[str]) -> dict[int, Cost]:
    """Parameters, operations and measured speed of each exit, the last over real chunks."""
    speed = {exit_: _speed(encoder, chunks[:SPEED_CHUNKS], exit_) for exit_ in encoder.exits}
    return {exit_: Cost(*_size(model, exit_), speed[exit_]) for exit_ in encoder.exits}


def _result(model: str, exit_: int | None, task: Task, scores: NDArray[np.floating]) -> Result:
    found = quality(scores, task.relevant)
    return Result(model, exit_, task.name, task.group, len(task.queries), len(task.documents), found)


def _vectors(
    encoder: Encoder,
    texts: Sequence[str],
    kind: TextKind,
    remembered: dict[tuple[TextKind, str], dict[int, NDArray[np.float16]]],
) -> dict[int, NDArray[np.float32]]:
    missing = list(dict.fromkeys(text for text in texts if (kind, text) not in remembered))
    found = encoder.encode(missing, kind) if missing else {}
    for number, text in enumerate(missing):
        remembered[kind, text] = {exit_: rows[number] for exit_, rows in found.items()}
    return {
        exit_: np.stack([remembered[kind, text][exit_] for text in texts]).astype(np.float32)
        for exit_ in encoder.exits
    }


def _speed(encoder: Encoder, chunks: Sequence[str], exit_: int) -> float:
    warm = max(1, len(chunks) // 8)
    encoder.encode(chunks[:warm], "code", (exit_,))
    return len(chunks) / _seconds(lambda: encoder.encode(chunks, "code", (exit_,)))


def _seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def _size(model: MultiExitEncoder, exit_: int) -> tuple[int, int]:
    """(parameters read, operations per token) of a pass to one exit; a text's tokens share the head's."""
    config = model.config
    reads = config.head_inputs(next(found for found in config.exits if found.layer == exit_))
    layers = list(model.backbone.layers)[:exit_]
    used = [p for layer in layers for p in layer.parameters()]
    matrices = sum(p.numel() for p in used if p.dim() == 2)
    if exit_ or model.table is None:
        used += [p for name, p in model.backbone.named_parameters() if not name.startswith("layers.")]
    if model.table is not None and 0 in reads:
        used += model.table.parameters()
    head = [p for name, p in model.exits[str(exit_)].named_parameters() if name.startswith("head.")]
    used += head
    used += [
        p for read in reads for name, p in model.exits[str(read)].named_parameters() if name == "token_logit"
    ]
    attention = 4 * FLOPS_TOKENS * config.hidden_size * len(layers)
    shared = 2 * sum(p.numel() for p in head if p.dim() == 2) // FLOPS_TOKENS
    return sum(p.numel() for p in used), 2 * matrices + attention + shared


def use_threads(count: int | None) -> None:
    """Limit the processor threads of a measurement; None leaves PyTorch's own choice."""
    if count is not None:
        torch.set_num_threads(count)
