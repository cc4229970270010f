"""Embeddings of a run's texts by a larger frozen model, computed once and read while training.

The model is a folder in the sentence-transformers layout with mean pooling, such as all-mpnet-base-v2;
it may have a vocabulary of its own, so it reads the texts themselves and not the tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody knows it by
from numpy.typing import NDArray
from safetensors.numpy import save_file

SHARD = 4096
"""Texts between two saves."""


def teach(
    model: Path,
    texts: Sequence[str],
    file: Path,
    max_tokens: int,
    say: Callable[[str], None] = lambda _: None,
) -> None:
    """Write `vectors` float16 [texts, dim], L2-normalised, to `file`.  Repeat to go on after a stop."""
    shards = file.with_suffix(".parts")
    shards.mkdir(parents=True, exist_ok=True)
    encode = _encoder(model, max_tokens)
    for start in range(0, len(texts), SHARD):
        part = shards / f"{start:09d}.npy"
        if not part.exists():
            draft = part.with_suffix(".draft.npy")
            np.save(draft, encode(texts[start : start + SHARD]))
            draft.replace(part)
            say(f"{min(start + SHARD, len(texts))} of {len(texts)} texts")
    parts = [np.load(part) for part in sorted(shards.glob("[0-9]*[0-9].npy"))]
    save_file({"vectors": np.concatenate(parts)}, file)


def _encoder(folder: Path, max_tokens: int) -> Callable[[Sequence[str]], NDArray[np.float16]]:
    from transformers import AutoModel, AutoTokenizer  # takes seconds, which the other commands save

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = AutoModel.from_pretrained(folder, local_files_only=True, use_safetensors=True).to(device).eval()

    @torch.inference_mode()
    def encode(texts: Sequence[str], size: int = 64) -> NDArray[np.float16]:
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        rows: list[NDArray[np.float16]] = []
        for start in range(0, len(order), size):
            chosen = [texts[i] for i in order[start : start + size]]
            batch = tokenizer(
                chosen, padding=True, truncation=True, max_length=max_tokens, return_tensors="pt"
            )
            with torch.autocast(device.type, torch.bfloat16):
                hidden = model(**batch.to(device)).last_hidden_state
            mask = batch["attention_mask"][:, :, None].float()
            pooled = (hidden.float() * mask).sum(1) / mask.sum(1)
            rows.append(F.normalize(pooled, dim=1).half().cpu().numpy())
        found = np.concatenate(rows)
        back = np.empty_like(found)
        back[order] = found
        return back

    return encode
