"""What a folder's safetensors files hold, read from their headers alone: names, types, shapes.

The format is the one documented by the safetensors project: a little-endian 64-bit length, that many bytes
of JSON, and the data.  Reading the header here keeps every tensor library out of the language server.
"""

from __future__ import annotations

import json
import math
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mosearch.errors import ModelError

WEIGHTS_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"

FLOATS = {"F32": 4, "F16": 2, "BF16": 2}
"""Bytes per value of the types that a published checkpoint may be stored in."""

_LENGTH = struct.Struct("<Q")
_MAX_HEADER_BYTES = 100_000_000
"""The limit of the safetensors library."""


@dataclass(frozen=True, slots=True)
class Stored:
    """Where one tensor is."""

    file: Path
    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def values(self) -> int:
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        return self.values * FLOATS.get(self.dtype, 0)


def weight_files(folder: Path) -> tuple[Path, ...]:
    """The file, or the shards in order of name.  Raises ModelError for an index that cannot be used.

    `model.safetensors` is named even if it does not exist, so that opening it says what is missing.
    """
    single = folder / WEIGHTS_FILE
    if single.exists() or not (folder / INDEX_FILE).exists():
        return (single,)
    return tuple(folder / name for name in sorted(set(_weight_map(folder).values())))


def stored_tensors(folder: Path) -> dict[str, Stored]:
    """All tensors of a folder by name.  Raises ModelError for files that are missing or damaged."""
    found: dict[str, Stored] = {}
    for file in weight_files(folder):
        for name, tensor in _header(file).items():
            if name in found:
                raise _damaged(file, f"{name} is also in {found[name].file.name}")
            found[name] = tensor
    if not (folder / WEIGHTS_FILE).exists():
        for name, shard in _weight_map(folder).items():
            if name not in found or found[name].file.name != shard:
                raise _damaged(folder / INDEX_FILE, f"{name} is not in {shard}")
    return found


def _weight_map(folder: Path) -> dict[str, str]:
    index = folder / INDEX_FILE
    try:
        weight_map = json.loads(index.read_text("utf-8"))["weight_map"]
        for shard in weight_map.values():
            if Path(shard).name != shard or not shard.endswith(".safetensors"):
                raise _damaged(index, f"{shard!r} is no file name of a shard")
        return dict(weight_map)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(index, repr(error)) from error


def _header(file: Path) -> dict[str, Stored]:
    try:
        with file.open("rb") as opened:
            size = os.fstat(opened.fileno()).st_size
            start = opened.read(_LENGTH.size)
            length = _LENGTH.unpack(start)[0] if len(start) == _LENGTH.size else 0
            if not 0 < length <= min(_MAX_HEADER_BYTES, size):
                raise _damaged(file, "it does not begin like a safetensors file")
            entries = json.loads(opened.read(length))
        entries.pop("__metadata__", None)
        tensors = {name: _stored(file, name, entry) for name, entry in entries.items()}
        end = max((int(entry["data_offsets"][1]) for entry in entries.values()), default=0)
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise _damaged(file, str(error)) from error
    if _LENGTH.size + length + end != size:
        raise _damaged(file, f"it has {size} bytes and should have {_LENGTH.size + length + end}")
    return tensors


def _stored(file: Path, name: str, entry: dict[str, Any]) -> Stored:
    tensor = Stored(file, name, str(entry["dtype"]), tuple(int(n) for n in entry["shape"]))
    begin, end = entry["data_offsets"]
    if begin < 0 or any(n < 0 for n in tensor.shape):
        raise _damaged(file, f"{name} has a negative size")
    if tensor.dtype in FLOATS and end - begin != tensor.bytes:
        raise _damaged(file, f"{name} has {end - begin} bytes and should have {tensor.bytes}")
    return tensor


def _damaged(file: Path, why: str) -> ModelError:
    return ModelError(f"Cannot read the weights {file}: {why}. Fetch the model again.")
