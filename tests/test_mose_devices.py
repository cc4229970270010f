"""Devices that run out of memory or are lost, and the limit on memory."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from mosearch.errors import ModelError
from mosearch.mose import load
from mosearch.mose.devices import check_room, failure_of, resident_mb
from mosearch.mose.host import Host
from mosearch.mose.inference import Batch, Encoder, Found

CPU = torch.device("cpu")
BATCH = Batch((0, 1, 2), ([2, 9, 3], [2, 3], [2, 7, 8, 3]))


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), "memory"),
        (RuntimeError("MPS backend out of memory (MPS allocated: 8 GB)"), "memory"),
        (MemoryError(), "memory"),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), "device"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasGemmEx`"), "device"),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), None),
        (ValueError("CUDA"), None),
    ],
)
def test_failures_are_told_apart(error: Exception, failure: str | None) -> None:
    assert failure_of(error) == failure


def test_when_the_device_is_lost_the_cpu_goes_on_and_says_so(tiny_model: Path) -> None:
    encoder = load(tiny_model, "cpu", torch.float32)
    expected = encoder.run(BATCH, (1, 2))
    lost = encoder._model

    def fail(*_: object) -> None:
        raise RuntimeError("CUDA error: unspecified launch failure\nCompile with TORCH_USE_CUDA_DSA")

    lost.register_forward_pre_hook(fail)
    found = encoder.run(BATCH, (1, 2))
    assert encoder._model is not lost
    assert "unspecified launch failure" in encoder.trouble and "CPU" in encoder.trouble
    for layer, vectors in expected.items():
        assert np.abs(found[layer].astype(np.float32) - vectors.astype(np.float32)).max() < 0.02
    encoder._model.register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="CUDA error"):
        encoder.run(BATCH, (1,))


def test_a_model_that_does_not_fit_is_refused_by_name(tiny_model: Path) -> None:
    with pytest.raises(ModelError, match=r"Exit 1 of tiny takes about \d+ MB.*`memory_mb` allows 10\."):
        load(tiny_model, "cpu", memory_mb=10)
    assert load(tiny_model, "cpu", memory_mb=resident_mb() + 1000).run(BATCH, (2,))[2].shape == (3, 32)
    with pytest.raises(ModelError, match="choose a smaller model"):
        check_room(3 << 30, torch.device("cuda"), 2048, "Exit 18")
    check_room(1 << 30, torch.device("cuda"), 2048, "Exit 18")


def test_when_the_device_is_lost_what_was_under_way_on_it_is_done_again(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = load(tiny_model, "cpu", torch.float32)
    expected = encoder.run(BATCH, (1, 2))

    def lost() -> Found:
        raise RuntimeError("CUDA error: unspecified launch failure")

    with monkeypatch.context() as patched:
        encoder.device = torch.device("cuda")  # as far as the passes know that are under way
        patched.setattr(encoder, "_launched", lambda *_: lost)
        first, second = (encoder.begin(BATCH, (1, 2)) for _ in range(2))
    for found in (first(), second()):
        for layer, vectors in expected.items():
            assert np.abs(found[layer].astype(np.float32) - vectors.astype(np.float32)).max() < 0.02
    assert "cuda failed" in encoder.trouble
    assert encoder.device.type == "cpu"


def test_deeper_layers_of_a_model_that_was_replaced_are_refused(tiny_model: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    encoder = load(folder, "cpu", torch.float32)
    before = encoder.run(BATCH, (1,))[1]
    weights = load_file(folder / "model.safetensors")
    save_file({name: -each for name, each in weights.items()}, folder / "model.safetensors")
    with pytest.raises(ModelError, match="was replaced while this process used it"):
        encoder._deepen(2)  # as `prepare` does for a model of which a part is loaded
    assert (encoder.run(BATCH, (1,))[1] == before).all()


def test_trouble_with_memory_is_over_when_there_is_room_again(monkeypatch: pytest.MonkeyPatch) -> None:
    held = iter((150, 150, 50))
    monkeypatch.setattr("mosearch.mose.host.resident_mb", lambda: next(held))
    host = Host.__new__(Host)
    host._encoder = cast("Encoder", SimpleNamespace(device=CPU, give_back_memory=lambda: None))
    host._memory_mb, host._memory_trouble, host._memory_seen = 100, "", -math.inf
    host._watch_memory()
    assert "holds 150 MB" in host._memory_trouble
    host._memory_seen = -math.inf
    host._watch_memory()
    assert host._memory_trouble == ""
