"""Checkpoints with random weights in the naming of the published MoSE models, of any size.

Names and shapes are written down here from the model pages, not taken from the loader that they test.
"""

from __future__ import annotations

import json
import math
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from torch import Tensor

Shape = tuple[int, ...]

FULL_SIZE: Mapping[str, Any] = {
    "architectures": ["ModularStarEncoder"],
    "hidden_act": "gelu_pytorch_tanh",
    "hidden_size": 1024,
    "intermediate_size": 12288,
    "matryoshka_layers": [4, 9, 18, 27, 36],
    "max_position_embeddings": 2048,
    "model_type": "ModularStarEncoder",
    "norm_epsilon": 1e-05,
    "num_attention_heads": 16,
    "num_hidden_layers": 36,
    "num_key_value_heads": 4,
    "rope_theta": 999999.4420358813,
    "sliding_window": None,
    "torch_dtype": "bfloat16",
    "use_bias": True,
    "vocab_size": 49156,
}
TINY = {
    **FULL_SIZE,
    "hidden_size": 16,
    "intermediate_size": 48,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "vocab_size": 404,
}
VARIANTS: Mapping[int, Sequence[int]] = {4: [0], 9: [0], 18: [0], 27: [0], 36: [0, 1, 2, 3, 4]}
"""Layers → numbers of the projection heads."""
PARAMETERS = {4: 163_665_920, 9: 302_702_080, 18: 552_967_168, 27: 803_232_256, 36: 1_061_894_144}
"""Layers → parameters of the published variants."""
MARKS = ["<|endoftext|>", "<sep>", "<cls>", "<mask>"]

_TYPES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int8: "I8"}
_SAMPLE = ["Represent this code snippet for retrieval:", "def parse(text): return text", "for i in range(10)"]


def shapes(config: Mapping[str, Any], layers: int, heads: Iterable[int]) -> dict[str, Shape]:
    """Names below the root `starEncoder2` and shapes of a variant with so many layers and these heads."""
    hidden, wide = config["hidden_size"], config["intermediate_size"]
    narrow = hidden // config["num_attention_heads"] * config["num_key_value_heads"]
    found: dict[str, Shape] = {"embed_tokens.weight": (config["vocab_size"], hidden)}
    matrices = {
        "self_attn.q_proj": (hidden, hidden),
        "self_attn.k_proj": (narrow, hidden),
        "self_attn.v_proj": (narrow, hidden),
        "self_attn.o_proj": (hidden, hidden),
        "mlp.c_fc": (wide, hidden),
        "mlp.c_proj": (hidden, wide),
    }
    for n in range(layers):
        for name, shape in matrices.items():
            found |= {f"layers.{n}.{name}.weight": shape, f"layers.{n}.{name}.bias": shape[:1]}
        for name in ("input_layernorm", "post_attention_layernorm"):
            found |= {f"layers.{n}.{name}.weight": (hidden,), f"layers.{n}.{name}.bias": (hidden,)}
    found |= {"norm.weight": (hidden,), "norm.bias": (hidden,)}
    for head in heads:
        for part in (0, 2):
            name = f"projection_heads.{head}.{part}"
            found |= {f"{name}.weight": (hidden, hidden), f"{name}.bias": (hidden,)}
    return found


def random_tensor(name: str, shape: Shape, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    """The same values for the same name; small enough for 36 layers, large enough to matter."""
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    scale = 0.02 if len(shape) == 1 else 1.2 / math.sqrt(shape[1])
    tensor = torch.randn(shape, generator=generator).mul_(scale)
    if "norm" in name and name.endswith("weight"):
        tensor += 1
    return tensor.to(dtype)


def write(
    folder: Path,
    tensors: Mapping[str, Tensor] | Mapping[str, Shape],
    config: Mapping[str, Any] = TINY,
    *,
    root: str = "starEncoder2.",
    shards: int = 1,
    hollow: bool = False,
) -> None:
    """A model folder.  A shape instead of a tensor gets `random_tensor`, or a hole with `hollow`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(dict(config)))
    tokenizer().save(str(folder / "tokenizer.json"))
    names = list(tensors)
    parts = [names[n::shards] for n in range(shards)]
    files = ["model.safetensors"]
    if shards > 1:
        files = [f"model-{n + 1:05}-of-{shards:05}.safetensors" for n in range(shards)]
        places = {root + name: file for file, part in zip(files, parts, strict=True) for name in part}
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    for file, part in zip(files, parts, strict=True):
        _write_file(folder / file, {name: tensors[name] for name in part}, root, hollow)


def tokenizer(marks: list[str] = MARKS) -> Tokenizer:
    """A byte-level vocabulary of at most 400 entries that begins with the special tokens."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=marks,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(_SAMPLE, trainer)
    return made


def _write_file(file: Path, tensors: Mapping[str, Tensor | Shape], root: str, hollow: bool) -> None:
    """One tensor in memory at a time."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, tensor in tensors.items():
        dtype = tensor.dtype if isinstance(tensor, Tensor) else torch.bfloat16
        shape = tuple(tensor.shape) if isinstance(tensor, Tensor) else tensor
        start, end = end, end + math.prod(shape) * dtype.itemsize
        header[root + name] = {"dtype": _TYPES[dtype], "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with file.open("wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        if hollow:
            out.truncate(8 + len(text) + end)
            return
        for name, tensor in tensors.items():
            values = tensor if isinstance(tensor, Tensor) else random_tensor(name, tensor)
            out.write(values.contiguous().view(torch.uint8).numpy().data)
