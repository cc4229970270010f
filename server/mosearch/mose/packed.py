"""Texts one after the other, without padding, and attention that stays inside each of them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody knows it by
from numpy.typing import NDArray
from torch import Tensor

_log = logging.getLogger(__name__)

Varlen = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, int, int], Any]
"""Query, key and value [tokens, heads, size] of all texts, where those of each text begin and the last ends
(int32 [texts + 1]) for queries and for keys, and the longest text for both → [query tokens, heads, size]."""

_AMPERE = (8, 0)
"""Compute capability from which on torch's kernel for texts of any length works."""
_CLOSE = 0.02
"""Largest difference between two bfloat16 kernels on values of about 1."""


@dataclass(frozen=True, slots=True)
class Packed:
    ids: Tensor
    """int64 [tokens of all texts]."""
    positions: Tensor
    """int64 [tokens]: of each token in its own text."""
    bounds: Tensor
    """int32 [texts + 1]: where each text begins, and where the last ends."""
    lengths: tuple[int, ...]
    """Known without asking the device, which would have to finish its work first."""

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]], device: torch.device) -> Packed:
        """`rows` of token ids, none empty.  The copy to a GPU does not wait for what the GPU is doing."""
        lengths = tuple(map(len, rows))
        bounds = np.zeros(len(rows) + 1, np.int32)
        np.cumsum(lengths, out=bounds[1:])
        positions = np.arange(bounds[-1]) - np.repeat(bounds[:-1], lengths)
        ids = np.fromiter((i for row in rows for i in row), np.int64, int(bounds[-1]))
        return cls(_sent(ids, device), _sent(positions, device), _sent(bounds, device), lengths)

    @property
    def last(self) -> Tensor:
        """int64 [texts]: the place of each text's last token among all tokens."""
        return self.bounds[1:].long() - 1


def _sent(array: NDArray[Any], device: torch.device) -> Tensor:
    tensor = torch.from_numpy(array)
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def attend_within(
    kernel: Varlen, query: Tensor, key: Tensor, value: Tensor, bounds: Tensor, longest: int
) -> Tensor:
    """Each text's queries over its own keys: [q, heads, size] and twice [n, groups, size] → as `query`.

    q is n, or the number of texts: then each has a single query.  As every query sees the same keys, the
    heads that share a key head are simply more queries of it.
    """
    queries, heads, size = query.shape
    groups = key.shape[1]
    shared = heads // groups
    single = queries != len(key)
    ends = torch.arange(len(bounds), dtype=torch.int32, device=bounds.device) if single else bounds
    rows = query.view(queries, groups, shared, size).transpose(1, 2).reshape(-1, groups, size)
    mixed = kernel(rows, key, value, ends * shared, bounds, (1 if single else longest) * shared, longest)
    grouped: Tensor = mixed.view(queries, shared, groups, size).transpose(1, 2)
    return grouped.reshape(queries, heads, size)


def varlen_kernel(device: torch.device, dtype: torch.dtype) -> Varlen | None:
    """Torch's attention over texts of any length, if this device has it and it gives what it should."""
    if device.type != "cuda" or dtype not in (torch.bfloat16, torch.float16):
        return None
    if torch.cuda.get_device_capability(device) < _AMPERE:
        return None
    return _tried_varlen(device, dtype)


@lru_cache
def _tried_varlen(device: torch.device, dtype: torch.dtype) -> Varlen | None:
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:  # torch before 2.10
        return None
    return varlen_attn if agrees_with_plain(varlen_attn, device, dtype) else None


def agrees_with_plain(kernel: Varlen, device: torch.device, dtype: torch.dtype) -> bool:
    """Try a kernel on two small texts.  A kernel that fails or errs is not worth a wrong index."""
    bounds = torch.tensor([0, 5, 24], dtype=torch.int32, device=device)
    query = torch.randn(24, 8, 64, device=device, dtype=dtype)
    key, value = torch.randn(2, 24, 2, 64, device=device, dtype=dtype)
    try:
        found = attend_within(kernel, query, key, value, bounds, 19)
    except (RuntimeError, TypeError, NotImplementedError) as error:
        _log.warning("attention without padding cannot be used here: %s", error)
        return False
    parts = []
    for rows in (slice(0, 5), slice(5, 24)):
        keys, values = (x[rows].float().repeat_interleave(4, 1).transpose(0, 1) for x in (key, value))
        plain = F.scaled_dot_product_attention(query[rows].float().transpose(0, 1), keys, values)
        parts.append(plain.transpose(0, 1))
    return _agree("attention without padding", found, torch.cat(parts))


@lru_cache
def gelu_is_fused(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether a product and the GELU after it can be one kernel, as CUDA's libraries have it."""
    if device.type != "cuda" or not hasattr(torch, "_addmm_activation"):
        return False
    x, weight = torch.randn(2, 64, 64, device=device, dtype=dtype)
    bias = torch.randn(64, device=device, dtype=dtype)
    try:
        found = product_and_gelu(x, weight / 8, bias)
    except (RuntimeError, TypeError) as error:
        _log.warning("GELU cannot be fused here: %s", error)
        return False
    plain = F.linear(x.float(), weight.float() / 8, bias.float())
    return _agree("fused GELU", found, F.gelu(plain, approximate="tanh"))


def product_and_gelu(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Tanh-GELU of a linear layer in one kernel; on CUDA only, as elsewhere the GELU is another one."""
    fused: Tensor = torch._addmm_activation(bias, x, weight.t(), use_gelu=True)
    return fused


def _agree(what: str, found: Tensor, plain: Tensor) -> bool:
    worst = float((found.float() - plain.float()).abs().max())
    close = worst <= _CLOSE * max(1.0, float(plain.abs().max()))
    if not close:
        _log.warning("%s is off by %.3g here and is not used", what, worst)
    return close
