"""The BERT encoder stack (Devlin et al. 2019): post-norm transformer layers over learned positions."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody knows it by
from torch import Tensor, nn

from mosearch.encoder.config import ModelConfig


class Bert(nn.Module):
    """Token ids to hidden states, leaving off after the deepest layer that is asked for."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.token = nn.Embedding(config.vocab_size, config.hidden_size)
        self.position = nn.Embedding(config.max_positions, config.hidden_size)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.layers = nn.ModuleList(BertLayer(config) for _ in range(config.layers))

    def forward(
        self, ids: Tensor, mask: Tensor, layers: Collection[int], pause: Callable[[], None] | None = None
    ) -> dict[int, Tensor]:
        """`ids` int [b, t], `mask` bool [b, t], True for tokens that are no padding.

        Returns hidden states [b, t, hidden_size] by layer; layer 0 is the bare token embeddings, which
        do not depend on a token's neighbours or place.  `pause` is called between layers.
        """
        tokens = self.token(ids)
        found = {0: tokens} if 0 in layers else {}
        deepest = max(layers)
        if deepest == 0:
            return found
        hidden = self.norm(tokens + self.position.weight[: ids.shape[1]])
        attended = mask[:, None, None, :]
        for number, layer in enumerate(self.layers[:deepest], start=1):
            if pause is not None and number > 1:
                pause()
            hidden = layer(hidden, attended)
            if number in layers:
                found[number] = hidden
        return found


class BertLayer(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        hidden, eps = config.hidden_size, config.layer_norm_eps
        self.heads = config.heads
        self.qkv = nn.Linear(hidden, 3 * hidden)
        self.out = nn.Linear(hidden, hidden)
        self.attention_norm = nn.LayerNorm(hidden, eps=eps)
        self.up = nn.Linear(hidden, config.intermediate_size)
        self.down = nn.Linear(config.intermediate_size, hidden)
        self.output_norm = nn.LayerNorm(hidden, eps=eps)

    def forward(self, hidden: Tensor, attended: Tensor) -> Tensor:
        batch, tokens, size = hidden.shape
        split = self.qkv(hidden).view(batch, tokens, 3, self.heads, size // self.heads)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        attend: Callable[..., Tensor]
        if self.training:
            attend = attention
        elif _multiplies_faster(query):
            attend = _attend_by_products
        else:
            attend = F.scaled_dot_product_attention
        mixed = attend(query, key, value, attended)
        mixed = self.out(mixed.transpose(1, 2).reshape(batch, tokens, size))
        hidden = self.attention_norm(hidden + mixed)
        output: Tensor = self.output_norm(hidden + self.down(F.gelu(self.up(hidden))))
        return output


def attention(query: Tensor, key: Tensor, value: Tensor, attended: Tensor) -> Tensor:
    """By plain matrix products over [b, heads, t, d]: on a CPU, the fused kernel's gradient is slow."""
    scores = query @ (key * key.shape[-1] ** -0.5).transpose(-2, -1)
    mixed: Tensor = scores.masked_fill(~attended, -1e4).softmax(-1).to(value.dtype) @ value
    return mixed


def _multiplies_faster(query: Tensor) -> bool:
    """Torch's fused attention is slower than plain products where a CPU has them for bfloat16."""
    return query.device.type == "cpu" and query.dtype == torch.bfloat16 and not query.requires_grad


def _attend_by_products(query: Tensor, key: Tensor, value: Tensor, attended: Tensor) -> Tensor:
    """Of [b, heads, t, size] thrice and bool [b, 1, 1, t], as `scaled_dot_product_attention`."""
    batch, heads, tokens, size = query.shape
    query, key, value = (x.reshape(batch * heads, tokens, size) for x in (query, key, value))
    bias = torch.zeros_like(attended, dtype=query.dtype).masked_fill_(~attended, float("-inf"))
    bias = bias.expand(batch, heads, 1, tokens).reshape(batch * heads, 1, tokens)
    scores = torch.baddbmm(bias, query, key.transpose(1, 2), alpha=size**-0.5)
    return torch.bmm(scores.softmax(-1), value).view(batch, heads, tokens, size)


_RENAMED = {
    "attention.output.dense": "out",
    "attention.output.LayerNorm": "attention_norm",
    "intermediate.dense": "up",
    "output.dense": "down",
    "output.LayerNorm": "output_norm",
}


def from_huggingface(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of a `BertModel` under our names; anything else (pooler, position ids) is left out.

    The embedding of token type 0, the only one that an encoder of single texts ever uses, is added to
    every position.  Raises KeyError for a tensor that is missing.
    """
    plain = {name.removeprefix("bert."): tensor for name, tensor in tensors.items()}
    ours = {
        "token.weight": plain["embeddings.word_embeddings.weight"],
        "position.weight": plain["embeddings.position_embeddings.weight"]
        + plain["embeddings.token_type_embeddings.weight"][0],
        "norm.weight": plain["embeddings.LayerNorm.weight"],
        "norm.bias": plain["embeddings.LayerNorm.bias"],
    }
    numbers = {int(found[1]) for name in plain if (found := re.match(r"encoder\.layer\.(\d+)\.", name))}
    for number in sorted(numbers):
        theirs = f"encoder.layer.{number}."
        for part in ("weight", "bias"):
            projections = [plain[f"{theirs}attention.self.{n}.{part}"] for n in ("query", "key", "value")]
            ours[f"layers.{number}.qkv.{part}"] = torch.cat(projections)
            for old, new in _RENAMED.items():
                ours[f"layers.{number}.{new}.{part}"] = plain[f"{theirs}{old}.{part}"]
    return ours
