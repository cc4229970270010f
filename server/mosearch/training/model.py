"""The student before its first step: layers of an existing encoder, and exits fitted in closed form."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from mosearch.encoder.config import ExitConfig, ModelConfig
from mosearch.encoder.models import TOKENIZER_FILE, find_model
from mosearch.mose import MultiExitEncoder, load_model, save_model
from mosearch.mose.model import Exit
from mosearch.training.packing import Pack, padded


def new_student(
    base: str, exits: Sequence[int], index_exit: int, rerank_exit: int, name: str
) -> MultiExitEncoder:
    """A multi-exit model over the layers of `base`, in training mode.

    The exit at the base's own last layer starts as the base itself: mean pooling, the head the identity.
    All shallower ones pool with learned token weights.  Raises ModelError when `base` is no model.
    """
    source = load_model(find_model(base))
    old = source.config
    deepest = max(exits)
    config = ModelConfig(
        name=name,
        architecture=old.architecture,
        hidden_size=old.hidden_size,
        layers=deepest,
        heads=old.heads,
        intermediate_size=old.intermediate_size,
        vocab_size=old.vocab_size,
        max_positions=old.max_positions,
        dim=old.hidden_size,
        exits=tuple(
            ExitConfig(layer, "mean" if layer == old.layers else "token_weighted", "linear")
            for layer in sorted(exits)
        ),
        index_exit=index_exit,
        rerank_exit=rerank_exit,
        max_tokens=old.max_tokens,
        split_identifiers=True,
        layer_norm_eps=old.layer_norm_eps,
        licence="Apache-2.0",
    )
    student = MultiExitEncoder(config)
    kept = {
        key: value
        for key, value in source.backbone.state_dict().items()
        if key in student.backbone.state_dict()
    }
    student.backbone.load_state_dict(kept)
    if deepest == old.layers:
        nn.init.eye_(_head(student, deepest).weight)
        nn.init.zeros_(_head(student, deepest).bias)
    return student.train()


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


def fit_heads(
    student: MultiExitEncoder, teacher: MultiExitEncoder, packed: Pack, rows: Sequence[int]
) -> None:
    """Ridge regression of every shallow head onto the teacher's embeddings of some texts.

    Shallow exits of an encoder that was never trained for it are useless at first; a linear map that is
    fitted in seconds saves them many steps.
    """
    layers = _shallow(student)
    pooled, wanted = _features(student, teacher, packed, rows)
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
    student: MultiExitEncoder, teacher: MultiExitEncoder, packed: Pack, rows: Sequence[int], size: int = 64
) -> tuple[dict[int, Tensor], Tensor]:
    """Pooled states before each shallow head, and the teacher's embeddings, of the given texts."""
    layers = _shallow(student)
    pooled: dict[int, list[Tensor]] = {layer: [] for layer in layers}
    wanted = []
    ordered = sorted(rows, key=lambda row: int(packed.lengths[row]))
    with ExitStack() as hooks:
        for layer in layers:
            into = pooled[layer]
            hook = _head(student, layer).register_forward_pre_hook(
                lambda _, inputs, into=into: into.append(inputs[0].float())
            )
            hooks.callback(hook.remove)
        for start in range(0, len(ordered), size):
            ids, mask = (torch.from_numpy(part) for part in padded(packed, ordered[start : start + size]))
            with torch.autocast("cpu", torch.bfloat16):
                student(ids, mask, layers)
                wanted.append(teacher(ids, mask)[teacher.config.layers].float())
    return {layer: torch.cat(parts) for layer, parts in pooled.items()}, torch.cat(wanted)
