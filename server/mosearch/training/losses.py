"""The losses of one batch: contrastive at every exit, and two distillations.  Pure functions over tensors.

The contrastive part follows Radford et al. 2021 (CLIP): in a batch, each left text must find its own
right text among all of them, and the other way round.  Distillation compares distributions of similarity over
the batch (as in Fang et al. 2021, SEED): against a frozen teacher, so that the model keeps what it
knew, and against the deepest exit, so that shallow exits learn from it (MoSE's self-distillation).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody knows it by
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Weights:
    contrastive: float = 1.0
    frozen_text: float = 1.0
    """Distillation from the frozen teacher, in text→code batches."""
    frozen_code: float = 0.3
    """The same in code→code batches, where the teacher is weak."""
    frozen_shallow: float = 1.0
    """Times the two above, for all exits but the deepest."""
    deepest: float = 0.5
    """Distillation of the shallower exits from the deepest one."""
    aligned: float = 0.0
    """Cosine distance of all exits but the deepest to the frozen teacher's own embeddings: it asks more of a
    shallow exit than similarities do, and needs no batch to say it."""


Sides = tuple[Tensor, Tensor]


def total_loss(
    left: Mapping[int, Tensor],
    right: Mapping[int, Tensor],
    teacher: Sides | None,
    exit_weights: Mapping[int, float],
    weights: Weights,
    scale: float,
    is_code: bool,
) -> Tensor:
    """Weighted sum over the exits present.  All embeddings are float32 [n, dim] and L2-normalised.

    Without a teacher, exits learn from the pairs and from the deepest exit alone.
    """
    deepest = max(exit_weights)
    own = (left[deepest].detach(), right[deepest].detach()) if deepest in left else None
    judge = teacher or own
    twins = false_negatives(*judge) if judge else None
    frozen = similarities(*teacher, scale) if teacher else None
    targets = similarities(*own, scale) if own else None
    frozen_weight = weights.frozen_code if is_code else weights.frozen_text
    total = left[min(left)].new_zeros(())
    for exit_ in left:
        mine = similarities(left[exit_], right[exit_], scale)
        loss = weights.contrastive * contrastive(mine[0], twins)
        if frozen:
            keep = frozen_weight * (1.0 if exit_ == deepest else weights.frozen_shallow)
            loss = loss + keep * divergence(frozen, mine)
        if exit_ != deepest:
            loss = loss + (weights.deepest * divergence(targets, mine) if targets else 0.0)
            if teacher and weights.aligned:
                loss = loss + weights.aligned * distance((left[exit_], right[exit_]), teacher)
        total = total + exit_weights[exit_] * loss
    return total / sum(exit_weights[exit_] for exit_ in left)


def distance(mine: Sides, teacher: Sides) -> Tensor:
    """Mean cosine distance of both sides' embeddings to the teacher's."""
    parts = [1 - (own * goal).sum(1).mean() for own, goal in zip(mine, teacher, strict=True)]
    return torch.stack(parts).mean()


def similarities(left: Tensor, right: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """Scaled left-right and right-right similarities [n, n]; the second without its diagonal."""
    within = scale * right @ right.T
    own = torch.eye(len(right), dtype=torch.bool, device=right.device)
    return scale * left @ right.T, within.masked_fill(own, -1e4)


def contrastive(logits: Tensor, twins: Tensor | None) -> Tensor:
    """Symmetric cross entropy with the right answers on the diagonal; `twins` [n, n] are no wrong answers."""
    logits = logits if twins is None else logits.masked_fill(twins, -1e4)
    answers = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, answers) + F.cross_entropy(logits.T, answers)) / 2


def divergence(targets: tuple[Tensor, Tensor], mine: tuple[Tensor, Tensor]) -> Tensor:
    """Mean KL divergence of the rows of both matrices, and of the first one's columns."""
    views = ((targets[0], mine[0]), (targets[0].T, mine[0].T), (targets[1], mine[1]))
    parts = [
        F.kl_div(own.log_softmax(1), target.log_softmax(1), reduction="batchmean", log_target=True)
        for target, own in views
    ]
    return torch.stack(parts).mean()


def false_negatives(left: Tensor, right: Tensor, threshold: float = 0.93) -> Tensor:
    """Off-diagonal places [n, n] whose left or right texts say the same to the teacher."""
    same = (left @ left.T > threshold) | (right @ right.T > threshold)
    return same & ~torch.eye(len(left), dtype=torch.bool, device=left.device)
