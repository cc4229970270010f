"""Weights of the published checkpoints, mapped into memory instead of read."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from mosearch.encoder.config import ModelConfig
from mosearch.encoder.published import tensor_places
from mosearch.encoder.weights import Stored
from mosearch.errors import ModelError
from mosearch.mose.model import MultiExitEncoder

_log = logging.getLogger(__name__)


def load_published(folder: Path, config: ModelConfig, deepest: int) -> MultiExitEncoder:
    """The model down to the exit `deepest`, of which alone the file's pages are touched.

    The stack has the stored type and shares the memory of the file's pages with every other process that
    uses it; heads are float32.  Raises ModelError for weights that do not fit or cannot be right.
    """
    places, ignored = tensor_places(folder, config)
    if ignored:
        _log.info("%s: ignored %d tensors: %s", folder, len(ignored), ", ".join(ignored))
    model = MultiExitEncoder(config.up_to(deepest))
    wanted = model.state_dict().keys()
    tensors = _mapped({name: stored for name, stored in places.items() if name in wanted})
    for name, tensor in tensors.items():
        _check_values(places[name], tensor)
    common = tensors["backbone.embed_tokens.weight"].dtype
    tensors = {
        name: tensor.to(common if name.startswith("backbone.") else torch.float32)
        for name, tensor in tensors.items()
    }
    model.load_state_dict(tensors, assign=True)
    return model.eval()


def _mapped(places: Mapping[str, Stored]) -> dict[str, Tensor]:
    files = sorted({stored.file for stored in places.values()})
    try:
        with ExitStack() as stack:
            opened = {file: stack.enter_context(safe_open(file, framework="pt")) for file in files}
            return {name: opened[stored.file].get_tensor(stored.name) for name, stored in places.items()}
    except (OSError, SafetensorError) as error:
        named = ", ".join(map(str, files))
        raise ModelError(f"Cannot read the weights {named}: {error}. Fetch the model again.") from error


def _check_values(stored: Stored, tensor: Tensor) -> None:
    """A download that was interrupted may leave a hole, which reads as zeros."""
    least, most = torch.aminmax(tensor)
    problem = ""
    if not (least.isfinite() and most.isfinite()):
        problem = "holds values that are not finite"
    elif stored.name.endswith("weight") and least == most == 0:
        problem = "holds nothing but zeros"
    if problem:
        raise ModelError(f"{stored.name} in {stored.file} {problem}. Fetch the model again.")
