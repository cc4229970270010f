"""The multi-exit encoder: one backbone, and at each exit a pooling and a projection of its own."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial

import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody knows it by
from torch import Tensor, bmm, float32, nn, zeros

from mosearch.encoder.config import ExitConfig, ModelConfig
from mosearch.mose.bert import Bert
from mosearch.mose.packed import Packed
from mosearch.mose.starcoder2 import Linear, Starcoder2

_BACKBONES: dict[str, type[Bert] | type[Starcoder2]] = {"bert": Bert, "starcoder2": Starcoder2}
_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "leaky_relu": nn.LeakyReLU,
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "gelu_tanh": partial(nn.GELU, approximate="tanh"),
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "identity": nn.Identity,
}


class MultiExitEncoder(nn.Module):
    """Token ids to one embedding per exit, in a single pass that ends at the deepest exit asked for."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = _BACKBONES[config.architecture](config)
        self.table = nn.Embedding(config.vocab_size, config.table_dim) if config.table_dim else None
        self.exits = nn.ModuleDict({str(e.layer): Exit(config, e) for e in config.exits})
        self._reads = {e.layer: config.head_inputs(e) for e in config.exits}

    def forward(
        self,
        input_ids: Tensor,
        mask: Tensor,
        exits: Collection[int] | None = None,
        pause: Callable[[], None] | None = None,
    ) -> dict[int, Tensor]:
        """`input_ids` int64 [b, t], `mask` bool [b, t] (True: a token, False: padding).

        Returns L2-normalised float32 [b, dim] by exit; None asks for all exits.  A BERT calls `pause`
        between its layers.  Raises KeyError for a layer that is no exit.
        """
        layers = self.config.exit_layers if exits is None else tuple(exits)
        heads = {layer: self._exit(layer) for layer in layers}
        if isinstance(self.backbone, Starcoder2) and all(head.pools_last for head in heads.values()):
            # Nothing that another token's last layer or head would give is looked at.
            states = self.backbone(input_ids, mask, layers, last_token(mask))
            return {layer: head.project(states[layer]) for layer, head in heads.items()}
        needed = {read for layer in layers for read in self._reads[layer]}
        whole = [layer for layer in layers if heads[layer].projects_tokens]
        layers_read = sorted({*whole, *filter(self._has_states, needed)})
        hidden = self._states(input_ids, mask, layers_read, pause)
        found = {layer: heads[layer](hidden[layer], input_ids, mask) for layer in whole}
        pooled = {layer: self._pool(layer, hidden, input_ids, mask) for layer in needed if layer not in whole}
        for layer in layers:
            if layer not in found:
                found[layer] = heads[layer].project(torch.cat([pooled[n] for n in self._reads[layer]], dim=1))
        return found

    def can_pack(self, exits: Collection[int]) -> bool:
        """Whether `packed` can give these exits."""
        return isinstance(self.backbone, Starcoder2) and all(self._exit(e).pools_last for e in exits)

    def packed(
        self, batch: Packed, exits: Collection[int], pause: Callable[[], None] | None = None
    ) -> dict[int, Tensor]:
        """As `forward`, for texts without padding; `pause` is called between small pieces of the work."""
        assert isinstance(self.backbone, Starcoder2)
        states = self.backbone.last_tokens(batch, exits, *([pause] if pause else []))
        return {layer: self._exit(layer).project(states[layer]) for layer in exits}

    def pooled(self, ids: Tensor, mask: Tensor, exits: Collection[int]) -> dict[int, Tensor]:
        """What these exits pool, before any head: float32 [b, width] by exit."""
        hidden = self._states(ids, mask, sorted(filter(self._has_states, exits)))
        return {layer: self._pool(layer, hidden, ids, mask) for layer in exits}

    def _has_states(self, layer: int) -> bool:
        """Whether pooling needs the states of all tokens: a float32 table's rows are added up at once."""
        table = None if layer else self.table
        return table is None or self._exit(0).pools_last or table.weight.dtype != float32

    def _pool(self, layer: int, hidden: dict[int, Tensor], ids: Tensor, mask: Tensor) -> Tensor:
        if self.table is None or self._has_states(layer):
            return self._exit(layer).pool(hidden[layer], ids, mask)
        weights = self._exit(layer).weights(ids, mask)
        return F.embedding_bag(ids, self.table.weight, per_sample_weights=weights, mode="sum")

    def _states(
        self,
        ids: Tensor,
        mask: Tensor,
        layers: Collection[int],
        pause: Callable[[], None] | None = None,
    ) -> dict[int, Tensor]:
        """Hidden states [b, t, width] by layer; those of layer 0 come from the table, where there is one."""
        read = [layer for layer in layers if layer or self.table is None]
        between = [pause] if pause is not None and isinstance(self.backbone, Bert) else []
        found: dict[int, Tensor] = self.backbone(ids, mask, read, *between) if read else {}
        if self.table is not None and 0 in layers:
            found[0] = self.table(ids)
        return found

    def _exit(self, layer: int) -> Exit:
        found = self.exits[str(layer)]
        assert isinstance(found, Exit)
        return found


class Exit(nn.Module):
    """Pool in float32, project, normalise in float32; a head that is not linear projects before pooling."""

    def __init__(self, config: ModelConfig, exit_config: ExitConfig) -> None:
        super().__init__()
        self.pools_last = exit_config.pooling == "last"
        self._repeat, self._fade = exit_config.repeat, exit_config.fade
        self.projects_tokens = exit_config.head == "mlp" and not self.pools_last
        self.head: nn.Module = nn.Identity()
        if exit_config.head == "linear":
            width = sum(map(config.pooled_width, config.head_inputs(exit_config)))
            self.head = nn.Linear(width, config.dim)
        elif exit_config.head == "mlp":
            self.head = nn.Sequential(
                Linear(config.hidden_size, config.hidden_size),
                _ACTIVATIONS[config.head_activation](),
                Linear(config.hidden_size, config.dim),
            )
        self.token_logit: nn.Parameter | None = None
        if exit_config.pooling == "token_weighted":
            self.token_logit = nn.Parameter(zeros(config.vocab_size))

    def pool(self, hidden: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
        """`hidden` [b, t, width] to float32 [b, width]."""
        if self.pools_last:
            return hidden[torch.arange(len(hidden), device=hidden.device), last_token(mask)].float()
        return self._mean(hidden, ids, mask)

    def forward(self, hidden: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
        """`hidden` [b, t, hidden_size] to L2-normalised float32 [b, dim]; not for a stacked exit."""
        if self.projects_tokens:
            return F.normalize(self._mean(self.head(hidden.float()), ids, mask), dim=1)
        return self.project(self.pool(hidden, ids, mask))

    def project(self, pooled: Tensor) -> Tensor:
        """[b, width of all that the head reads] to L2-normalised float32 [b, dim]."""
        return F.normalize(self.head(pooled.float()).float(), dim=1)

    def _mean(self, states: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
        return bmm(self.weights(ids, mask)[:, None, :], states.float())[:, 0]

    def weights(self, ids: Tensor, mask: Tensor) -> Tensor:
        """What each token counts for in this exit's mean: float32 [b, t]; rows add up to 1."""
        logits = mask.new_zeros(mask.shape, dtype=float32)
        if self.token_logit is not None:
            logits = self.token_logit[ids].float()
        if self._repeat != 1 or self._fade:
            logits = logits + prominence(ids, mask, self._repeat, self._fade).log()
        return logits.masked_fill(~mask, float("-inf")).softmax(dim=1)


def prominence(ids: Tensor, mask: Tensor, repeat: float, fade: float) -> Tensor:
    """What each token counts for by its place and by how often the text has it: float32 [b, t].

    The weights by place of equal tokens, added up and raised to `repeat`, are what these count together.
    """
    places = torch.arange(ids.shape[1], device=ids.device)
    by_place = (1 / (1 + places / fade) if fade else torch.ones_like(places)).float()
    texts = torch.arange(len(ids), device=ids.device)[:, None]
    _, group = torch.unique(texts * (ids.max() + 1) + ids, return_inverse=True)
    group = group.flatten()
    total = by_place.new_zeros(ids.numel()).index_add_(0, group, (by_place * mask).flatten())
    together = total[group].view(ids.shape).clamp_min(torch.finfo(torch.float32).tiny)
    return by_place * together ** (repeat - 1)


def last_token(mask: Tensor) -> Tensor:
    """Place of the last True in each row: bool [b, t] → int64 [b]."""
    return mask.shape[1] - 1 - mask.flip(1).int().argmax(1)
