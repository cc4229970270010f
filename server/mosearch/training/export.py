"""From trained weights to the model folder that ships: compact tensors, vocabulary, model card."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from mosearch.encoder.models import TOKENIZER_FILE, WEIGHTS_FILE
from mosearch.mose import load_model, save_model
from mosearch.training.card import model_card

CARD_FILE = "MODEL_CARD.md"


def export(
    source: Path,
    target: Path,
    corpus_file: Path | None = None,
    figures_file: Path | None = None,
    int8: bool = False,
) -> int:
    """Write `target` and return the size of its weights file in bytes.

    `source` is a folder of the training loop.  The card states the corpus and the figures that are
    given.  With `int8`, matrices are stored in eight bits with a scale per row, which halves the file.
    Raises ModelError when `source` holds no usable weights.
    """
    model = load_model(source)
    save_model(model, target, torch.float16)
    if int8:
        file = target / WEIGHTS_FILE
        save_file(quantised(load_file(file)), file)
    (target / WEIGHTS_FILE).chmod(0o644)  # the library makes it unreadable to others
    shutil.copyfile(source / TOKENIZER_FILE, target / TOKENIZER_FILE)
    corpus = _read(corpus_file)
    (target / CARD_FILE).write_text(model_card(model.config, corpus, _read(figures_file)), encoding="utf-8")
    return (target / WEIGHTS_FILE).stat().st_size


def quantised(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Every matrix [r, c] as int8 beside `<name>.scale` float16 [r, 1]; other tensors as they are."""
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if tensor.dim() != 2:
            found[name] = tensor
            continue
        scale = (tensor.float().abs().amax(dim=1, keepdim=True) / 127).clamp_min(1e-7).half()
        found[name] = (tensor.float() / scale.float()).round().clamp(-127, 127).to(torch.int8)
        found[f"{name}.scale"] = scale
    return found


def _read(file: Path | None) -> dict[str, Any]:
    if file is None or not file.exists():
        return {}
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found
