"""From trained weights to the model folder that ships: compact tensors, vocabulary, model card."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch

from mosearch.encoder.models import TOKENIZER_FILE, WEIGHTS_FILE
from mosearch.mose import load_model, save_model
from mosearch.training.card import model_card

CARD_FILE = "MODEL_CARD.md"


def export(
    source: Path, target: Path, corpus_file: Path | None = None, figures_file: Path | None = None
) -> int:
    """Write `target` and return the size of its weights file in bytes.

    `source` is a folder of the training loop.  The card states the corpus and the figures that are
    given.  Raises ModelError when `source` holds no usable weights.
    """
    model = load_model(source)
    save_model(model, target, torch.float16)
    shutil.copyfile(source / TOKENIZER_FILE, target / TOKENIZER_FILE)
    corpus = _read(corpus_file)
    (target / CARD_FILE).write_text(model_card(model.config, corpus, _read(figures_file)), encoding="utf-8")
    return (target / WEIGHTS_FILE).stat().st_size


def _read(file: Path | None) -> dict[str, Any]:
    if file is None or not file.exists():
        return {}
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found
