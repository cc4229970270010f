"""What a forward pass of a published model multiplies, to compare its speed with the machine's peak."""

from __future__ import annotations

from mosearch.encoder import ModelConfig


def multiplications(config: ModelConfig, exit_: int, tokens: int) -> int:
    """In the matrix products of one text; the last layer computes but one query."""
    hidden, wide = config.hidden_size, config.intermediate_size
    narrow = hidden // config.heads * config.kv_heads
    keys, rest = 2 * hidden * narrow, 2 * hidden * (hidden + wide)
    layers = tokens * keys * exit_ + (tokens * (exit_ - 1) + 1) * rest
    attention = 2 * hidden * tokens * (tokens * (exit_ - 1) + 1)
    return layers + attention + hidden * (hidden + config.dim)
