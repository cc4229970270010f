"""A model folder's weights: read, checked against the configuration, and written.  Safetensors only."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from mosearch.encoder.config import CONFIG_FILE, read_json
from mosearch.encoder.models import WEIGHTS_FILE, load_config
from mosearch.encoder.published import is_published
from mosearch.errors import ModelError
from mosearch.mose import bert
from mosearch.mose.model import MultiExitEncoder
from mosearch.mose.published import load_published

_FOREIGN_MARK = "embeddings.word_embeddings.weight"
_SCALE = ".scale"
_SHOWN = 6


def load_model(folder: Path, deepest: int | None = None) -> MultiExitEncoder:
    """The model of a folder on the CPU, in evaluation mode; in float32 unless it is a published one.

    Of a published model, what lies deeper than the exit `deepest` is left out.  A tensor of ours may be
    stored as float16, bfloat16, float32, or as int8 [r, c] beside `<name>.scale` [r, 1].  Raises
    ModelError when the weights are missing, damaged or do not fit `config.json`.
    """
    config = load_config(folder)
    if is_published(read_json(folder / CONFIG_FILE)):
        return load_published(folder, config, deepest or config.exit_layers[-1])
    # Not on the meta device: that would avoid 90 ms of random numbers at the price of 1.2 s of imports.
    model = MultiExitEncoder(config)
    tensors = _read(folder / WEIGHTS_FILE)
    _check(folder, model.state_dict(), tensors)
    model.load_state_dict(tensors, assign=True)
    return model.eval()


def save_model(model: MultiExitEncoder, folder: Path, dtype: torch.dtype = torch.float16) -> None:
    """Write `config.json` and `model.safetensors`; the caller adds `tokenizer.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.to("cpu", dtype).contiguous() for name, tensor in model.state_dict().items()}
    save_file(tensors, folder / WEIGHTS_FILE)
    (folder / CONFIG_FILE).write_text(model.config.to_json(), "utf-8")


def _read(file: Path) -> dict[str, Tensor]:
    try:
        stored = load_file(file)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"Cannot read the weights {file}: {error}. Fetch the model again.") from error
    if any(name.endswith(_FOREIGN_MARK) for name in stored):
        stored = _converted(file, stored)
    scales = {name: stored.pop(name) for name in list(stored) if name.endswith(_SCALE)}
    tensors = {name: tensor.float() for name, tensor in stored.items()}
    for name, scale in scales.items():
        weight = name.removesuffix(_SCALE)
        if weight in tensors:
            tensors[weight] *= scale.float()
    return tensors


def _converted(file: Path, stored: dict[str, Tensor]) -> dict[str, Tensor]:
    try:
        return {f"backbone.{name}": tensor for name, tensor in bert.from_huggingface(stored).items()}
    except KeyError as error:
        raise ModelError(f"{file} lacks the tensor {error}. Fetch the model again.") from error


def _check(folder: Path, expected: dict[str, Tensor], found: dict[str, Tensor]) -> None:
    problems = [f"missing {name}" for name in expected if name not in found]
    problems += [f"unknown {name}" for name in found if name not in expected]
    problems += [
        f"{name} is {list(found[name].shape)} instead of {list(expected[name].shape)}"
        for name in expected
        if name in found and found[name].shape != expected[name].shape
    ]
    problems += [
        f"{name} holds values that are not finite" for name in found if not found[name].isfinite().all()
    ]
    if problems:
        more = f", and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise ModelError(
            f"The weights in {folder} do not fit its {CONFIG_FILE}: {', '.join(problems[:_SHOWN])}{more}. "
            "Fetch the model again."
        )
