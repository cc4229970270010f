"""The StarCoder2 stack (Lozhkov et al. 2024) with full instead of causal attention, as MoSE trains it.

Pre-norm layers; grouped-query attention with rotary positions; a two-matrix MLP with tanh-GELU.  The
modules carry the names that published checkpoints use.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody knows it by
from torch import Tensor, nn

from mosearch.encoder.config import ModelConfig


class Linear(nn.Linear):
    """Left as the memory came: weights are always loaded, and a billion random numbers take 10 s."""

    def reset_parameters(self) -> None:
        pass


class Embedding(nn.Embedding):
    """See `Linear`."""

    def reset_parameters(self) -> None:
        pass


@dataclass(frozen=True, slots=True)
class _Places:
    """Where the tokens of a batch are.  What is done token by token is done without padding, on [n, …] for
    the n tokens of all rows together; only attention needs the rows."""

    batch: int
    length: int
    filled: Tensor | None
    """int64 [n]: each token's place among the b * t; None when there is no padding."""
    cos: Tensor
    """float32 [n, 1, head / 2], as `sin`."""
    sin: Tensor
    attended: Tensor | None
    """bool [b, 1, 1, t], True for keys that are no padding; None when there is no padding."""

    def spread(self, packed: Tensor) -> Tensor:
        """[n, …] → [b, t, …], with zeros for padding."""
        if self.filled is not None:
            empty = packed.new_zeros(self.batch * self.length, *packed.shape[1:])
            packed = empty.index_copy_(0, self.filled, packed)
        return packed.view(self.batch, self.length, *packed.shape[1:])

    def pack(self, rows: Tensor) -> Tensor:
        """[b, t, …] → [n, …]."""
        flat = rows.flatten(0, 1)
        return flat if self.filled is None else flat[self.filled]


class Starcoder2(nn.Module):
    """Token ids to hidden states, leaving off after the deepest layer that is asked for."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self._config = config
        self._normed = {e.layer for e in config.exits if e.norm}
        self.embed_tokens = Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(
        self, ids: Tensor, mask: Tensor, layers: Collection[int], token: Tensor | None = None
    ) -> dict[int, Tensor]:
        """`ids` int [b, t], `mask` bool [b, t], True for tokens that are no padding, which may be anywhere.

        Returns hidden states by layer, those of an exit with `norm` after the final LayerNorm: [b, t,
        hidden_size], or [b, hidden_size] for the one token of each row that `token` (int64 [b]) names.
        Then the last layer does for that token alone what is done token by token.
        """
        places = self._places(mask)
        hidden = self.embed_tokens(places.pack(ids))
        chosen = None if token is None else _packed_place(mask, token)
        deepest = max(layers)
        found = {0: hidden if chosen is None else hidden[chosen]} if 0 in layers else {}
        for number, layer in enumerate(self.layers[:deepest], start=1):
            only = chosen if number == deepest else None
            hidden = layer(hidden, places, only)
            if number in layers:
                found[number] = hidden if chosen is None or only is not None else hidden[chosen]
        found = {number: self.norm(h) if number in self._normed else h for number, h in found.items()}
        return found if token is not None else {number: places.spread(h) for number, h in found.items()}

    def _places(self, mask: Tensor) -> _Places:
        half = self._config.hidden_size // self._config.heads // 2
        steps = torch.arange(half, dtype=torch.float32, device=mask.device)
        padded = not bool(mask.all())
        filled = mask.flatten().nonzero()[:, 0] if padded else None
        positions = (mask.cumsum(1) - 1).flatten()
        if filled is not None:
            positions = positions[filled]
        angles = positions[:, None, None] * self._config.rope_theta ** -(steps / half)
        attended = mask[:, None, None, :] if padded else None
        return _Places(mask.shape[0], mask.shape[1], filled, angles.cos(), angles.sin(), attended)


class Layer(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.self_attn = Attention(config)
        self.mlp = Mlp(config)
        self.input_layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.post_attention_layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, hidden: Tensor, places: _Places, chosen: Tensor | None = None) -> Tensor:
        """[n, hidden_size] to the same, or to [b, hidden_size] for the `chosen` (int64 [b]) tokens."""
        mixed = self.self_attn(self.input_layernorm(hidden), places, chosen)
        hidden = (hidden if chosen is None else hidden[chosen]) + mixed
        output: Tensor = hidden + self.mlp(self.post_attention_layernorm(hidden))
        return output


class Attention(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self._size = config.hidden_size // config.heads
        self._groups = config.kv_heads or config.heads
        width = self._groups * self._size
        self.q_proj = Linear(config.hidden_size, config.hidden_size)
        self.k_proj = Linear(config.hidden_size, width)
        self.v_proj = Linear(config.hidden_size, width)
        self.o_proj = Linear(config.hidden_size, config.hidden_size)

    def forward(self, hidden: Tensor, places: _Places, chosen: Tensor | None) -> Tensor:
        """[n, hidden_size] to the same, or to [b, hidden_size] for the `chosen` tokens."""
        cos, sin = places.cos, places.sin
        key = places.spread(_rotated(self._split(self.k_proj(hidden)), cos, sin)).transpose(1, 2)
        value = places.spread(self._split(self.v_proj(hidden))).transpose(1, 2)
        if chosen is None:
            query = places.spread(_rotated(self._split(self.q_proj(hidden)), cos, sin))
        else:
            query = _rotated(self._split(self.q_proj(hidden[chosen])), cos[chosen], sin[chosen])[:, None]
        # As every query sees the same keys, the query heads that share a key head are simply more queries:
        # [b, q, groups * shared, size] → [b, groups, q * shared, size].
        batch, queries, heads, size = query.shape
        shape = (batch, queries, self._groups, heads // self._groups, size)
        query = query.view(shape).transpose(1, 2).flatten(2, 3)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=places.attended)
        mixed = mixed.reshape(batch, self._groups, queries, -1).transpose(1, 2).flatten(2)
        output: Tensor = self.o_proj(places.pack(mixed) if chosen is None else mixed[:, 0])
        return output

    def _split(self, x: Tensor) -> Tensor:
        """[n, heads * size] → [n, heads, size]."""
        return x.view(len(x), -1, self._size)


class Mlp(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.c_fc = Linear(config.hidden_size, config.intermediate_size)
        self.c_proj = Linear(config.intermediate_size, config.hidden_size)

    def forward(self, hidden: Tensor) -> Tensor:
        output: Tensor = self.c_proj(F.gelu(self.c_fc(hidden), approximate="tanh"))
        return output


def _rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding of [n, heads, size], which pairs dimension i with i + size / 2; in float32."""
    low, high = x.float().chunk(2, dim=-1)
    return torch.cat((low * cos - high * sin, high * cos + low * sin), dim=-1).to(x.dtype)


def _packed_place(mask: Tensor, token: Tensor) -> Tensor:
    """Of one token of each row, given by its place in the row, the place among all that are no padding."""
    before = mask.flatten().cumsum(0) - 1
    return before[torch.arange(len(token), device=token.device) * mask.shape[1] + token]
