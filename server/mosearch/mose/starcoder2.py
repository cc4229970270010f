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
    """What attention needs to know of a batch."""

    cos: Tensor
    """float32 [b, t, 1, head / 2], as `sin`."""
    sin: Tensor
    attended: Tensor | None
    """bool [b, 1, 1, t], True for keys that are no padding; None when there is no padding."""

    def at(self, token: Tensor) -> tuple[Tensor, Tensor]:
        """`cos` and `sin` [b, 1, 1, head / 2] of one token of each row."""
        rows = torch.arange(len(token), device=token.device)
        return self.cos[rows, token][:, None], self.sin[rows, token][:, None]


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
        hidden = self.embed_tokens(ids)
        places = self._places(mask)
        deepest = max(layers)
        found = {0: _chosen(hidden, token)} if 0 in layers else {}
        for number, layer in enumerate(self.layers[:deepest], start=1):
            if token is not None and number == deepest:
                found[number] = layer(hidden, places, token)[:, 0]
                break
            hidden = layer(hidden, places)
            if number in layers:
                found[number] = _chosen(hidden, token)
        return {number: self.norm(h) if number in self._normed else h for number, h in found.items()}

    def _places(self, mask: Tensor) -> _Places:
        half = self._config.hidden_size // self._config.heads // 2
        steps = torch.arange(half, dtype=torch.float32, device=mask.device)
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        angles = positions[:, :, None, None] * self._config.rope_theta ** -(steps / half)
        attended = None if bool(mask.all()) else mask[:, None, None, :]
        return _Places(angles.cos(), angles.sin(), attended)


class Layer(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.self_attn = Attention(config)
        self.mlp = Mlp(config)
        self.input_layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.post_attention_layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, hidden: Tensor, places: _Places, token: Tensor | None = None) -> Tensor:
        """[b, t, hidden_size] to the same, or to [b, 1, hidden_size] for the one token of each row."""
        mixed = self.self_attn(self.input_layernorm(hidden), places, token)
        if token is not None:
            hidden = _chosen(hidden, token)[:, None]
        hidden = hidden + mixed
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

    def forward(self, hidden: Tensor, places: _Places, token: Tensor | None) -> Tensor:
        """[b, t, hidden_size] to [b, q, hidden_size]; q is 1 if `token` is given, otherwise t."""
        cos, sin = places.cos, places.sin
        key = _rotated(self._split(self.k_proj(hidden)), cos, sin).transpose(1, 2)
        value = self._split(self.v_proj(hidden)).transpose(1, 2)
        if token is not None:
            hidden = _chosen(hidden, token)[:, None]
            cos, sin = places.at(token)
        query = _rotated(self._split(self.q_proj(hidden)), cos, sin)
        # As every query sees the same keys, the query heads that share a key head are simply more queries:
        # [b, q, groups * shared, size] → [b, groups, q * shared, size].
        batch, queries, heads, size = query.shape
        shape = (batch, queries, self._groups, heads // self._groups, size)
        query = query.view(shape).transpose(1, 2).flatten(2, 3)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=places.attended)
        mixed = mixed.reshape(batch, self._groups, queries, -1).transpose(1, 2).reshape(batch, queries, -1)
        output: Tensor = self.o_proj(mixed)
        return output

    def _split(self, x: Tensor) -> Tensor:
        """[b, t, heads * size] → [b, t, heads, size]."""
        return x.view(*x.shape[:2], -1, self._size)


class Mlp(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.c_fc = Linear(config.hidden_size, config.intermediate_size)
        self.c_proj = Linear(config.intermediate_size, config.hidden_size)

    def forward(self, hidden: Tensor) -> Tensor:
        output: Tensor = self.c_proj(F.gelu(self.c_fc(hidden), approximate="tanh"))
        return output


def _rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding of [b, t, heads, size], which pairs dimension i with i + size / 2; in float32."""
    low, high = x.float().chunk(2, dim=-1)
    return torch.cat((low * cos - high * sin, high * cos + low * sin), dim=-1).to(x.dtype)


def _chosen(hidden: Tensor, token: Tensor | None) -> Tensor:
    """[b, t, h] → [b, h]: one token of each row; None leaves all."""
    if token is None:
        return hidden
    return hidden[torch.arange(len(token), device=token.device), token]
