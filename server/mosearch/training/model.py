"""The student before its first step: layers of an existing encoder, and exits fitted in closed form."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mosearch.encoder.config import ExitConfig, ModelConfig
from mosearch.encoder.models import TOKENIZER_FILE, find_model
from mosearch.errors import UsageError
from mosearch.mose import MultiExitEncoder, load_model, save_model
from mosearch.mose.model import Exit
from mosearch.training.packing import Pack, parts_of_like_length
from mosearch.training.recipe import ModelSettings

_FRAME = (101, 102)
"""Ids of BERT's [CLS] and [SEP]."""


def new_student(model: ModelSettings) -> MultiExitEncoder:
    """A multi-exit model over the layers of the base, in training mode.

    What the base has under the same name and shape is taken over, so that a run can go on from another
    one's result.  The exit at the base's own last layer starts as the base itself: mean pooling, its
    head or the identity.  All shallower ones pool with learned token weights.  Raises ModelError when
    the base is no model.
    """
    source = load_model(find_model(model.base))
    old = source.config
    layers = sorted(int(layer) for layer in model.exits)
    config = ModelConfig(
        name=model.name,
        architecture=old.architecture,
        hidden_size=old.hidden_size,
        layers=layers[-1],
        heads=old.heads,
        intermediate_size=old.intermediate_size,
        vocab_size=old.vocab_size,
        max_positions=old.max_positions,
        dim=old.hidden_size,
        exits=tuple(_exit_config(layer, layer == old.layers, model) for layer in layers),
        index_exit=model.index_exit,
        rerank_exit=model.rerank_exit,
        max_tokens=old.max_tokens,
        split_identifiers=True,
        table_dim=model.table_dim,
        layer_norm_eps=old.layer_norm_eps,
        licence="Apache-2.0",
    )
    student = MultiExitEncoder(config)
    wanted = student.state_dict()
    fitted = {
        key: _widened(value, wanted[key].shape) for key, value in source.state_dict().items() if key in wanted
    }
    kept = {key: value for key, value in fitted.items() if value.shape == wanted[key].shape}
    student.load_state_dict(kept, strict=False)
    if layers[-1] == old.layers and f"exits.{old.layers}.head.weight" not in kept:
        nn.init.eye_(_head(student, layers[-1]).weight)
        nn.init.zeros_(_head(student, layers[-1]).bias)
    return student.train()


def _widened(value: Tensor, shape: torch.Size) -> Tensor:
    """A head's weight with columns of zeros for what it did not read before; all else as it is."""
    if value.dim() != 2 or len(value) != shape[0] or value.shape[1] >= shape[1]:
        return value
    return nn.functional.pad(value, (0, shape[1] - value.shape[1]))


def _exit_config(layer: int, is_last: bool, model: ModelSettings) -> ExitConfig:
    return ExitConfig(
        layer,
        "mean" if is_last else "token_weighted",
        "linear",
        stacked=model.deepest_stacked if is_last else model.stacked,
        repeat=model.repeat.get(str(layer), 1.0),
        fade=model.fade.get(str(layer), 0.0),
    )


def stored_or_none(stored: NDArray[np.float16] | None, rows: Sequence[int]) -> Tensor | None:
    """Stored vectors of some texts; None when some text has none, which a row of zeros says."""
    if stored is None:
        return None
    found = stored[rows].astype(np.float32)
    return torch.from_numpy(found) if found.any(axis=1).all() else None


@torch.no_grad()
def blend(student: MultiExitEncoder, start: MultiExitEncoder, share: float) -> None:
    """Average with `start`, of the same shape, which has 1 - `share` of the weight.

    Only what the deepest exit alone reads: the shallow heads stay with the layers that they belong to.
    """
    shallow = (0, *_shallow(student))[-1]
    deep = tuple(f"backbone.layers.{number}." for number in range(shallow, student.config.layers))
    beginnings = (*deep, f"exits.{student.config.exit_layers[-1]}.")
    old = start.state_dict()
    for name, value in student.state_dict().items():
        if name.startswith(beginnings):
            value.copy_(torch.lerp(old[name], value, share))


@torch.no_grad()
def average(student: MultiExitEncoder, other: MultiExitEncoder, share: float) -> None:
    """Average all layers and the deepest exit with those of another model, whose head may be the identity."""
    old = other.state_dict()
    head = f"exits.{student.config.exit_layers[-1]}.head."
    for name, value in student.state_dict().items():
        if name.startswith(head):
            plain = torch.eye(len(value)) if value.dim() == 2 else torch.zeros_like(value)
            value.copy_(torch.lerp(_widened(old.get(name, plain), value.shape), value, share))
        elif name.startswith("backbone.") and name in old:
            value.copy_(torch.lerp(old[name], value, share))


@torch.no_grad()
def averaged(models: Sequence[MultiExitEncoder], shares: Sequence[float]) -> MultiExitEncoder:
    """The first of some models of one shape, with the mean of all their weights by `shares`, of any sum.

    Of runs that began alike the mean is often better than each ("model soups", Wortsman et al. 2022).  Raises
    UsageError for models of different shapes.
    """
    if any(other.config != models[0].config for other in models):
        raise UsageError("only models of one shape can be averaged; give runs of one recipe")
    states = [model.state_dict() for model in models]
    for name, value in states[0].items():
        parts = [share / sum(shares) * state[name] for share, state in zip(shares, states, strict=True)]
        value.copy_(torch.stack(parts).sum(dim=0))
    return models[0]


@torch.no_grad()
def lean(student: MultiExitEncoder, packed: Pack, shares: Mapping[int, float], texts: int = 512) -> None:
    """Add exit 0's embedding to those of stacked exits, `shares` times as long, by their heads alone.

    Lengths are measured on the first `texts` texts of the token file.
    """
    if not shares:
        return
    pooled: dict[int, list[Tensor]] = {}
    student.eval()
    for _, *part in parts_of_like_length(packed, range(min(texts, len(packed.lengths))), 64):
        ids, mask = map(torch.from_numpy, part)
        for layer, state in student.pooled(ids, mask, student.config.exit_layers).items():
            pooled.setdefault(layer, []).append(state)
    found = {layer: torch.cat(parts) for layer, parts in pooled.items()}
    static = _head(student, 0)
    length = static(found[0]).norm(dim=1).mean()
    for layer, share in shares.items():
        reads = student.config.head_inputs(_exit_of(student, layer))
        head = _head(student, layer)
        own = head(torch.cat([found[read] for read in reads], dim=1)).norm(dim=1).mean()
        factor = share * own / length
        head.weight[:, -static.in_features :].add_(factor * static.weight)
        head.bias.add_(factor * static.bias)


def _exit_of(student: MultiExitEncoder, layer: int) -> ExitConfig:
    return next(found for found in student.config.exits if found.layer == layer)


def save_snapshot(student: MultiExitEncoder, base: str, folder: Path) -> None:
    """A loadable model folder in float32, with the vocabulary of `base`."""
    save_model(student, folder, torch.float32)
    shutil.copyfile(find_model(base) / TOKENIZER_FILE, folder / TOKENIZER_FILE)


def set_token_weights(student: MultiExitEncoder, packed: Pack, smoothing: float = 1e-3) -> None:
    """Start the pooling weights at log(a / (a + frequency)) (Arora et al. 2017), halved above exit 0."""
    tokens = torch.from_numpy(packed.tokens.astype("int64"))
    counts = torch.bincount(tokens, minlength=student.config.vocab_size)
    logits = torch.log(smoothing / (smoothing + counts / counts.sum()))
    with torch.no_grad():
        for layer in student.config.exit_layers:
            weights = _exit(student, layer).token_logit
            if weights is not None:
                weights.copy_(logits if layer == 0 else logits / 2)


@torch.no_grad()
def set_table(student: MultiExitEncoder, teacher: MultiExitEncoder, size: int = 1024) -> None:
    """Start exit 0's table from the teacher's embeddings of single tokens, reduced to their principal
    components (as Tulkens and van Dongen 2024, Model2Vec)."""
    assert student.table is not None
    deepest, vocabulary = teacher.config.exit_layers[-1], student.config.vocab_size
    start, end = _FRAME
    found = []
    for first in range(0, vocabulary, size):
        ids = torch.arange(first, min(first + size, vocabulary))
        framed = torch.stack([torch.full_like(ids, start), ids, torch.full_like(ids, end)], dim=1)
        found.append(teacher(framed, torch.ones_like(framed, dtype=torch.bool), (deepest,))[deepest])
    vectors = torch.cat(found)
    centred = vectors - vectors.mean(0)
    _, axes = torch.linalg.eigh(centred.T @ centred)
    student.table.weight.copy_(centred @ axes.flip(1)[:, : student.config.table_dim])


def fit_heads(
    student: MultiExitEncoder,
    teacher: MultiExitEncoder,
    packed: Pack,
    rows: Sequence[int],
    fitted: Collection[int],
) -> None:
    """Ridge regression of the shallow heads in `fitted` onto the teacher's embeddings of some texts.

    Shallow exits of an encoder that was never trained for it are useless at first; a linear map that is
    fitted in seconds saves them many steps.
    """
    layers = tuple(layer for layer in _shallow(student) if layer in fitted)
    if not layers:
        return
    pooled, wanted = _features(student, teacher, packed, rows, layers)
    with torch.no_grad():
        for layer in layers:
            weight, bias = ridge(pooled[layer], wanted)
            _head(student, layer).weight.copy_(weight)
            _head(student, layer).bias.copy_(bias)


def ridge(features: Tensor, wanted: Tensor, strength: float = 1e-3) -> tuple[Tensor, Tensor]:
    """Weight [out, in] and bias [out] of the regularised least-squares map from [n, in] to [n, out]."""
    features, wanted = features.double(), wanted.double()
    centre, target = features.mean(0), wanted.mean(0)
    x, y = features - centre, wanted - target
    gram = x.T @ x
    gram += strength * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype)
    weight = torch.linalg.solve(gram, x.T @ y).T
    return weight.float(), (target - weight @ centre).float()


def _shallow(student: MultiExitEncoder) -> tuple[int, ...]:
    """The exits that stop before the base's last layer."""
    return tuple(found.layer for found in student.config.exits if found.pooling == "token_weighted")


def _exit(model: MultiExitEncoder, layer: int) -> Exit:
    return cast(Exit, model.exits[str(layer)])


def _head(model: MultiExitEncoder, layer: int) -> nn.Linear:
    return cast(nn.Linear, _exit(model, layer).head)


@torch.no_grad()
def _features(
    student: MultiExitEncoder,
    teacher: MultiExitEncoder,
    packed: Pack,
    rows: Sequence[int],
    layers: tuple[int, ...],
    size: int = 64,
) -> tuple[dict[int, Tensor], Tensor]:
    """Pooled states before each shallow head, and the teacher's embeddings, of the given texts."""
    pooled: dict[int, list[Tensor]] = {layer: [] for layer in layers}
    wanted = []
    with ExitStack() as hooks:
        for layer in layers:
            into = pooled[layer]
            hook = _head(student, layer).register_forward_pre_hook(
                lambda _, inputs, into=into: into.append(inputs[0].float())
            )
            hooks.callback(hook.remove)
        for _, *part in parts_of_like_length(packed, rows, size):
            ids, mask = map(torch.from_numpy, part)
            with torch.autocast("cpu", torch.bfloat16):
                student(ids, mask, layers)
                wanted.append(teacher(ids, mask)[teacher.config.layers].float())
    return {layer: torch.cat(parts) for layer, parts in pooled.items()}, torch.cat(wanted)
