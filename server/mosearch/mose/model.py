"""The multi-exit encoder: one backbone, and at each exit a pooling and a projection of its own."""

from __future__ import annotations

from collections.abc import Collection

import torch.nn.functional as F  # noqa: N812 - the name everybody knows it by
from torch import Tensor, bmm, float32, nn, zeros

from mosearch.encoder.config import ExitConfig, ModelConfig
from mosearch.mose.bert import Bert

_BACKBONES = {"bert": Bert}


class MultiExitEncoder(nn.Module):
    """Token ids to one embedding per exit, in a single pass that ends at the deepest exit asked for."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = _BACKBONES[config.architecture](config)
        self.exits = nn.ModuleDict({str(e.layer): Exit(config, e) for e in config.exits})

    def forward(
        self, input_ids: Tensor, mask: Tensor, exits: Collection[int] | None = None
    ) -> dict[int, Tensor]:
        """`input_ids` int64 [b, t], `mask` bool [b, t] (True: a token, False: padding).

        Returns L2-normalised float32 [b, dim] by exit; None asks for all exits.  Raises KeyError for a
        layer that is no exit.
        """
        layers = self.config.exit_layers if exits is None else tuple(exits)
        heads = {layer: self.exits[str(layer)] for layer in layers}
        hidden = self.backbone(input_ids, mask, layers)
        return {layer: head(hidden[layer], input_ids, mask) for layer, head in heads.items()}


class Exit(nn.Module):
    """Pool in float32, project, normalise in float32."""

    def __init__(self, config: ModelConfig, exit_config: ExitConfig) -> None:
        super().__init__()
        self.head: nn.Module = nn.Identity()
        if exit_config.head == "linear":
            self.head = nn.Linear(config.hidden_size, config.dim)
        self.token_logit: nn.Parameter | None = None
        if exit_config.pooling == "token_weighted":
            self.token_logit = nn.Parameter(zeros(config.vocab_size))

    def forward(self, hidden: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
        logits = mask.new_zeros(mask.shape, dtype=float32)
        if self.token_logit is not None:
            logits = self.token_logit[ids].float()
        weights = logits.masked_fill(~mask, float("-inf")).softmax(dim=1)
        pooled = bmm(weights[:, None, :], hidden.float())[:, 0]
        return F.normalize(self.head(pooled).float(), dim=1)
