"""What a model folder holds, whether it can be right, and which of the inferred settings fit it best."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import get_args

import torch
from torch import Tensor

from mosearch.encoder.config import CONFIG_FILE, Activation, ExitConfig, ModelConfig, Pooling, read_json
from mosearch.encoder.models import describe, find_model, load_config
from mosearch.encoder.published import is_published, tensor_places
from mosearch.encoder.tokens import TextTokenizer
from mosearch.encoder.weights import stored_tensors
from mosearch.errors import UsageError
from mosearch.mose.checkpoint import load_model
from mosearch.mose.inference import Encoder, load, padded
from mosearch.mose.model import Exit, MultiExitEncoder
from mosearch.mose.published import load_published
from mosearch.types import TextKind

_POOLINGS: tuple[Pooling, ...] = ("last", "mean")


@dataclass(frozen=True, slots=True)
class ModelReport:
    """A model that was read to its last tensor."""

    name: str
    folder: str
    fingerprint: str
    architecture: str
    layers: int
    exits: tuple[int, ...]
    index_exit: int
    rerank_exit: int
    dim: int
    max_tokens: int
    parameters: int
    stored_types: tuple[str, ...]
    pooling: tuple[str, ...]
    """As the following two, in the order of the exits."""
    heads: tuple[str, ...]
    normed: tuple[bool, ...]
    head_activation: str
    ignored: tuple[str, ...]
    """Tensors that are not part of the encoder."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A question and the code that answers it."""

    query: str
    code: str
    language: str = ""


@dataclass(frozen=True, slots=True)
class Choice:
    """Settings for one exit of a published model, and how well they answer a sample."""

    pooling: Pooling
    head_activation: Activation
    normed: bool
    mrr: float
    """Mean over the pairs of 1 / rank of the right code among all of them."""


def check_model(name_or_path: str | None) -> ModelReport:
    """Load the whole model and its tokeniser.  Raises ModelError, which says what is wrong."""
    folder = find_model(name_or_path)
    config = load_config(folder)
    model = load_model(folder)
    TextTokenizer(folder, config)
    info = describe(folder, config)
    published = is_published(read_json(folder / CONFIG_FILE))
    by_layer = sorted(config.exits, key=lambda e: e.layer)
    return ModelReport(
        name=info.name,
        folder=str(folder),
        fingerprint=info.fingerprint,
        architecture=config.architecture,
        layers=config.layers,
        exits=info.exits,
        index_exit=info.index_exit,
        rerank_exit=info.rerank_exit,
        dim=info.dim,
        max_tokens=config.max_tokens,
        parameters=sum(p.numel() for p in model.parameters()),
        stored_types=tuple(sorted({stored.dtype for stored in stored_tensors(folder).values()})),
        pooling=tuple(e.pooling for e in by_layer),
        heads=tuple(e.head for e in by_layer),
        normed=tuple(e.norm for e in by_layer),
        head_activation=config.head_activation,
        ignored=tuple(tensor_places(folder, config)[1]) if published else (),
    )


def read_pairs(file: Path) -> list[Pair]:
    """A sample: a JSON object per line with `query`, `code` and, if known, `language`.  Raises UsageError."""
    try:
        lines = file.read_text("utf-8").splitlines()
        pairs = [Pair(**json.loads(line)) for line in lines if line.strip()]
    except (OSError, ValueError, TypeError) as error:
        raise UsageError(f"Cannot read the sample {file}: {error}.") from error
    if len(pairs) < 2 or any(type(v) is not str for pair in pairs for v in asdict(pair).values()):
        raise UsageError(f"The sample {file} must hold at least two pairs, with texts only.")
    return pairs


@torch.inference_mode()
def compare_settings(name_or_path: str, pairs: Sequence[Pair], device: str = "auto") -> list[Choice]:
    """Every combination of the inferred settings at the index exit of a published model, the best first.

    The stack, where the time goes, runs once for all of them.  Raises ModelError, and UsageError for a model
    whose settings are known.
    """
    folder = find_model(name_or_path)
    if not is_published(read_json(folder / CONFIG_FILE)):
        raise UsageError(f"Nothing about {folder} has to be inferred: its {CONFIG_FILE} says it all.")
    encoder = load(folder, device)
    config = load_config(folder)
    plain = replace(config, exits=tuple(replace(e, norm=False) for e in config.exits))
    model = load_published(folder, plain, config.index_exit)
    model.backbone.to(encoder.dtype)
    model.to(encoder.device)
    queries = _vectors(model, encoder, [pair.query for pair in pairs], "query", None)
    codes = _vectors(model, encoder, [p.code for p in pairs], "code", [p.language for p in pairs])
    found = [replace(choice, mrr=_mrr(queries[choice] @ codes[choice].T)) for choice in queries]
    return sorted(found, key=lambda choice: -choice.mrr)


def _vectors(
    model: MultiExitEncoder,
    encoder: Encoder,
    texts: Sequence[str],
    kind: TextKind,
    languages: Sequence[str] | None,
) -> dict[Choice, Tensor]:
    """float32 [texts, dim] on the CPU by choice, whose `mrr` is not known yet."""
    config = model.config
    heads = dict(_heads(model, config))
    found = {choice: torch.empty(len(texts), config.dim) for choice in heads}
    for batch in encoder.batches(texts, kind, languages, encoder.batch_tokens((config.index_exit,))):
        ids, mask = (tensor.to(encoder.device) for tensor in padded(batch.ids))
        raw = model.backbone(ids, mask, [config.index_exit])[config.index_exit]
        states = {False: raw, True: model.backbone.norm(raw)}
        for choice, head in heads.items():
            found[choice][list(batch.rows)] = head(states[choice.normed], ids, mask).cpu()
    return found


def _heads(model: MultiExitEncoder, config: ModelConfig) -> Iterator[tuple[Choice, Exit]]:
    weights = model.exits[str(config.index_exit)].state_dict()
    for pooling, activation, normed in itertools.product(_POOLINGS, get_args(Activation), (False, True)):
        head = Exit(
            replace(config, head_activation=activation), ExitConfig(config.index_exit, pooling, "mlp")
        )
        head.load_state_dict(weights, assign=True)
        yield Choice(pooling, activation, normed, 0.0), head.eval()


def _mrr(scores: Tensor) -> float:
    """Of scores [n, n] whose diagonal belongs to the right answers; a tie counts as the worse rank."""
    ranks = (scores >= scores.diagonal()[:, None]).sum(1)
    return float((1 / ranks).mean())
