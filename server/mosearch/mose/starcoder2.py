"""The StarCoder2 stack (Lozhkov et al. 2024) with full instead of causal attention, as MoSE trains it.

Pre-norm layers; grouped-query attention with rotary positions; a two-matrix MLP with tanh-GELU.  The
modules carry the names that published checkpoints use.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody knows it by
from torch import Tensor, nn

from mosearch.encoder.config import ModelConfig
from mosearch.mose.packed import (
    Packed,
    Varlen,
    attend_within,
    gelu_is_fused,
    product_and_gelu,
    varlen_kernel,
)

_CPU_TOKENS = 256
"""At once through the widest products on a CPU: as fast as more, and a twentieth of a second or less until
somebody more urgent has a turn."""


class Linear(nn.Linear):
    """Left as the memory came: weights are always loaded, and a billion random numbers take 10 s."""

    def reset_parameters(self) -> None:
        pass


class Embedding(nn.Embedding):
    """See `Linear`."""

    def reset_parameters(self) -> None:
        pass


Pause = Callable[[], None]
"""Called between pieces of work, each a fraction of a layer: may do something else first, or raise."""


def _no_pause() -> None:
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
    """[n, 1, head / 2] in the number format of the stack, as `sin`."""
    sin: Tensor
    attended: Tensor | None
    """bool [b, 1, 1, t], True for keys that are no padding; None when there is no padding."""
    bounds: Tensor | None = None
    """int32 [b + 1]: where each row begins and the last ends; only with `kernel`."""
    kernel: Varlen | None = None
    """Attention that needs no rows of equal length."""
    pause: Pause = _no_pause

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

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """[n, heads, size], or [b, heads, size] for one query of each row, and twice [n, groups, size] →
        as `query`."""
        if self.kernel is not None and self.bounds is not None:
            return attend_within(self.kernel, query, key, value, self.bounds, self.length)
        single = len(query) != len(key)
        key, value = (self.spread(x).transpose(1, 2) for x in (key, value))
        query = query[:, None] if single else self.spread(query)
        # As every query sees the same keys, the query heads that share a key head are simply more queries:
        # [b, q, groups * shared, size] → [b, groups, q * shared, size].
        batch, queries, heads, size = query.shape
        groups = key.shape[1]
        query = query.view(batch, queries, groups, heads // groups, size).transpose(1, 2).flatten(2, 3)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=self.attended)
        mixed = mixed.view(batch, groups, queries, heads // groups, size).transpose(1, 2).flatten(2, 3)
        return mixed[:, 0] if single else self.pack(mixed)


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
        chosen = None if token is None else _packed_place(mask, token)
        found = self._states(places.pack(ids), places, layers, chosen)
        return found if token is not None else {number: places.spread(h) for number, h in found.items()}

    def last_tokens(
        self, batch: Packed, layers: Collection[int], pause: Pause = _no_pause
    ) -> dict[int, Tensor]:
        """As `forward` for the last token of each text: [texts, hidden_size] by layer.

        Nothing in it waits for a GPU.
        """
        lengths, longest = batch.lengths, max(batch.lengths)
        kernel = varlen_kernel(batch.ids.device, self.embed_tokens.weight.dtype)
        filled = attended = None
        if kernel is None and min(lengths) != longest:
            rows = torch.arange(len(lengths), device=batch.ids.device)
            counts = batch.bounds.diff()
            filled = rows.repeat_interleave(counts, output_size=len(batch.ids)) * longest + batch.positions
            steps = torch.arange(longest, device=batch.ids.device)
            attended = (steps < counts[:, None])[:, None, None, :]
        cos, sin = self._angles(batch.positions)
        places = _Places(len(lengths), longest, filled, cos, sin, attended, batch.bounds, kernel, pause)
        return self._states(batch.ids, places, layers, batch.last)

    def _states(
        self, ids: Tensor, places: _Places, layers: Collection[int], chosen: Tensor | None
    ) -> dict[int, Tensor]:
        """Of ids [n]: [n, hidden_size] by layer, or [b, hidden_size] for the `chosen` tokens (int64 [b])."""
        hidden = self.embed_tokens(ids)
        deepest = max(layers)
        found = {0: hidden if chosen is None else hidden[chosen]} if 0 in layers else {}
        for number, layer in enumerate(self.layers[:deepest], start=1):
            only = chosen if number == deepest else None
            hidden = layer(hidden, places, only)
            if number in layers:
                found[number] = hidden if chosen is None or only is not None else hidden[chosen]
        return {number: self.norm(h) if number in self._normed else h for number, h in found.items()}

    def _places(self, mask: Tensor) -> _Places:
        padded = not bool(mask.all())
        filled = mask.flatten().nonzero()[:, 0] if padded else None
        positions = (mask.cumsum(1) - 1).flatten()
        cos, sin = self._angles(positions if filled is None else positions[filled])
        attended = mask[:, None, None, :] if padded else None
        return _Places(mask.shape[0], mask.shape[1], filled, cos, sin, attended)

    def _angles(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Cosine and sine [n, 1, head / 2] of the rotary embedding, worked out in float32."""
        half = self._config.hidden_size // self._config.heads // 2
        steps = torch.arange(half, dtype=torch.float32, device=positions.device)
        angles = positions[:, None, None] * self._config.rope_theta ** -(steps / half)
        dtype = self.embed_tokens.weight.dtype
        return angles.cos().to(dtype), angles.sin().to(dtype)


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
        output: Tensor = hidden + self.mlp(self.post_attention_layernorm(hidden), places.pause)
        return output


class Attention(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self._size = config.hidden_size // config.heads
        width = (config.kv_heads or config.heads) * self._size
        self.q_proj = Linear(config.hidden_size, config.hidden_size)
        self.k_proj = Linear(config.hidden_size, width)
        self.v_proj = Linear(config.hidden_size, width)
        self.o_proj = Linear(config.hidden_size, config.hidden_size)

    def forward(self, hidden: Tensor, places: _Places, chosen: Tensor | None) -> Tensor:
        """[n, hidden_size] to the same, or to [b, hidden_size] for the `chosen` tokens."""
        cos, sin = places.cos, places.sin
        key = _rotated(self._split(self.k_proj(hidden)), cos, sin)
        value = self._split(self.v_proj(hidden))
        if chosen is not None:
            hidden, cos, sin = hidden[chosen], cos[chosen], sin[chosen]
        query = _rotated(self._split(self.q_proj(hidden)), cos, sin)
        output: Tensor = self.o_proj(places.attend(query, key, value).flatten(1))
        return output

    def _split(self, x: Tensor) -> Tensor:
        """[n, heads * size] → [n, heads, size]."""
        return x.view(len(x), -1, self._size)


class Mlp(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.c_fc = Linear(config.hidden_size, config.intermediate_size)
        self.c_proj = Linear(config.intermediate_size, config.hidden_size)

    def forward(self, hidden: Tensor, pause: Pause = _no_pause) -> Tensor:
        if hidden.device.type != "cpu":
            return self._whole(hidden)
        parts = []
        for start in range(0, len(hidden), _CPU_TOKENS):
            pause()
            parts.append(self._whole(hidden[start : start + _CPU_TOKENS]))
        return torch.cat(parts)

    def _whole(self, hidden: Tensor) -> Tensor:
        if gelu_is_fused(hidden.device, hidden.dtype):
            wide = product_and_gelu(hidden, self.c_fc.weight, self.c_fc.bias)
        else:
            wide = F.gelu(self.c_fc(hidden), approximate="tanh")
        output: Tensor = self.c_proj(wide)
        return output


def _rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding of [n, heads, size], which pairs dimension i with i + size / 2."""
    low, high = x.chunk(2, dim=-1)
    left = torch.addcmul(low * cos, high, sin, value=-1)
    right = torch.addcmul(high * cos, low, sin)
    return torch.cat((left, right), dim=-1)


def _packed_place(mask: Tensor, token: Tensor) -> Tensor:
    """Of one token of each row, given by its place in the row, the place among all that are no padding."""
    before = mask.flatten().cumsum(0) - 1
    return before[torch.arange(len(token), device=token.device) * mask.shape[1] + token]
