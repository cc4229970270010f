"""Where the encoder computes: which device, in which number format, within how much memory, and what to
make of its failures."""

from __future__ import annotations

import gc
from typing import Literal

import psutil
import torch

from mosearch import memory
from mosearch.errors import ModelError

Failure = Literal["memory", "device"]

_MIB = 1 << 20
_AMPERE = (8, 0)
_NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "CUBLAS_STATUS_ALLOC_FAILED")
_LOST = (
    "CUDA error",
    "CUDA driver error",
    "HIP error",
    "CUBLAS_STATUS",
    "CUDNN_STATUS",
    "cuDNN error",
    "MPS",
)


def chosen_device(name: str) -> torch.device:
    """`auto` is a GPU where there is one.  Raises ModelError for a device that does not answer."""
    if name == "auto":
        gpu = "mps" if torch.backends.mps.is_available() else "cpu"
        name = "cuda" if torch.cuda.is_available() else gpu
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ModelError(f"Cannot compute on device {name!r}: {error}. Choose auto or cpu.") from error
    return device


def fastest_dtype(device: torch.device) -> torch.dtype:
    """The number format in which a device multiplies fastest and well enough."""
    if device.type == "cuda":
        # Older GPUs only imitate bfloat16.
        return torch.bfloat16 if torch.cuda.get_device_capability(device) >= _AMPERE else torch.float16
    if device.type == "mps":
        return torch.bfloat16 if _multiplies_bf16(device) else torch.float32
    if device.type == "cpu" and _cpu_multiplies_bf16():
        return torch.bfloat16
    return torch.float32


def _multiplies_bf16(device: torch.device) -> bool:
    try:
        ones = torch.ones(8, 8, device=device, dtype=torch.bfloat16)
        return float((ones @ ones).sum()) == 512.0
    except (RuntimeError, TypeError):
        return False


def _cpu_multiplies_bf16() -> bool:
    """Whether the CPU has instructions for bfloat16 products; emulated, they are slower than float32."""
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(probe() for name in probes if (probe := getattr(torch.cpu, name, None)))


def failure_of(error: BaseException) -> Failure | None:
    """Whether it was the memory or the whole device that failed; None: something else."""
    text = str(error)
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(mark in text for mark in _NO_MEMORY):
        return "memory"
    lost: type[BaseException] | None = getattr(torch, "AcceleratorError", None)  # torch 2.8
    if (lost and isinstance(error, lost)) or any(mark in text for mark in _LOST):
        return "device"
    return None


def limit_memory(device: torch.device, limit_mb: int) -> None:
    """Have torch refuse, as if a GPU were full, what would go beyond."""
    if device.type == "cuda":
        whole = torch.cuda.get_device_properties(device).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, limit_mb * _MIB / whole), device)


def check_room(weights_bytes: int, device: torch.device, limit_mb: int, purpose: str) -> None:
    """Raises ModelError where weights, beside what this process holds, would exceed the limit."""
    held = resident_mb() if device.type == "cpu" else 0
    needed = held + weights_bytes // _MIB
    if needed > limit_mb:
        raise ModelError(
            f"{purpose} takes about {needed} MB of memory, and `memory_mb` allows {limit_mb}. "
            "Raise it, or choose a smaller model or shallower exits."
        )


def resident_mb() -> int:
    return int(psutil.Process().memory_info().rss) // _MIB


def give_back_memory(device: torch.device) -> None:
    """What is kept for later use goes back to the system: worthwhile when there is no work for a while."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()
    memory.give_back()
