"""The folders in which MoSE's authors publish it, as one of our model configurations.

What can be read from such a folder is read from it: the number of layers and of heads from the weights
(truncated variants keep the configuration of the whole model).  What cannot be known from it has a default
here, and `mosearch.json` beside `config.json` may say otherwise: see `Settings`.  The numbers and names
are those of the model pages of `modularStarEncoder` and of Gurioli et al. 2025 (arXiv 2503.03008).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from mosearch.encoder.config import CONFIG_FILE, Activation, ExitConfig, ModelConfig, Pooling, read_json
from mosearch.encoder.weights import FLOATS, Stored, stored_tensors
from mosearch.errors import ModelError

SETTINGS_FILE = "mosearch.json"

_INDEX_EXIT = 4
_RERANK_EXIT = 18
"""Best of all exits for questions in prose (ibid., CodeSearchNet)."""
_MAX_TOKENS = 2048
_LICENCE = "BigCode OpenRAIL-M v1"
_SHOWN = 6

_ROOT = "starEncoder2"
_HEAD = re.compile(r"projection_heads\.(\d+)\.(?:[a-z_]+\.)?(\d+)\.(weight|bias)")
_LAYER = re.compile(r"layers\.(\d+)\.")


@dataclass(frozen=True, slots=True)
class Settings:
    """What a published folder does not say.  All but the last two decide vectors, so they are part of the
    fingerprint."""

    exits: tuple[int, ...] | None = None
    """Layers of the heads, in the heads' order; None: from `config.json` and the weights."""
    normed_exits: tuple[int, ...] | None = None
    """Exits that read the stack's final LayerNorm; None: the last one of a model with several heads."""
    pooling: Pooling = "last"
    head_activation: Activation = "leaky_relu"
    max_tokens: int | None = None
    """None: 2048 or as many as there are positions."""
    query_prefix: str = (
        "<sep>Represent this code description for retrieving supporting snippets of code:<sep>"
    )
    code_prefix: str = "<sep>Represent this {language} code snippet for retrieval:<sep>"
    suffix: str = "<cls>"
    index_exit: int | None = None
    """None: 4, or the shallowest there is."""
    rerank_exit: int | None = None
    """None: 18, or the deepest there is."""


Contents = Mapping[str, Stored]
"""The tensors of a published folder by their name below the root: `layers.0.mlp.c_fc.weight`."""


def is_published(raw: Mapping[str, Any]) -> bool:
    """Whether a `config.json` is that of a published MoSE model."""
    return "matryoshka_layers" in raw


def published_config(folder: Path, raw: Mapping[str, Any]) -> ModelConfig:
    """The configuration of a published folder, whose weights are checked against it by name, type and shape.

    Raises ModelError, which lists what does not fit.
    """
    contents = _contents(folder)
    config = _config(folder, raw, _settings(folder), contents)
    _places(folder, config, contents)
    return config


def tensor_places(folder: Path, config: ModelConfig) -> tuple[dict[str, Stored], list[str]]:
    """Where each parameter of `MultiExitEncoder(config)` is, and the names of tensors that are none.

    The latter are pre-training heads, temperatures and the like.  Raises ModelError as `published_config`.
    """
    places = _places(folder, config, _contents(folder))
    used = {stored.name for stored in places.values()}
    return places, [name for name in stored_tensors(folder) if name not in used]


def _contents(folder: Path) -> Contents:
    found: dict[str, Stored] = {}
    for stored in stored_tensors(folder).values():
        name = _canonical(stored.name)
        if not (_HEAD.fullmatch(name) or _LAYER.match(name) or name.startswith(("embed_tokens.", "norm."))):
            continue
        if name in found:
            raise ModelError(f"{folder} holds {name} twice, also as {stored.name}. Fetch the model again.")
        found[name] = stored
    return found


def _places(folder: Path, config: ModelConfig, contents: Contents) -> dict[str, Stored]:
    theirs = _names_of_heads(config, contents)
    places: dict[str, Stored] = {}
    problems = []
    for name, shape in expected_shapes(config).items():
        stored = contents.get(theirs.get(name, name.removeprefix("backbone.")))
        if stored is None:
            problems.append(f"missing {name}")
        elif stored.shape != shape:
            problems.append(f"{stored.name} is {list(stored.shape)} instead of {list(shape)}")
        elif stored.dtype not in FLOATS:
            problems.append(f"{stored.name} is of type {stored.dtype}, not one of {', '.join(FLOATS)}")
        else:
            places[name] = stored
    if problems:
        more = f", and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise ModelError(
            f"The weights in {folder} do not fit its {CONFIG_FILE}: {', '.join(problems[:_SHOWN])}{more}. "
            "Fetch the model again."
        )
    return places


def expected_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Shape of every parameter of a `starcoder2` model whose exits have heads of the kind `mlp`."""
    hidden, wide = config.hidden_size, config.intermediate_size
    narrow = hidden // config.heads * (config.kv_heads or config.heads)
    layer = {
        **_linear("self_attn.q_proj", hidden, hidden),
        **_linear("self_attn.k_proj", hidden, narrow),
        **_linear("self_attn.v_proj", hidden, narrow),
        **_linear("self_attn.o_proj", hidden, hidden),
        **_linear("mlp.c_fc", hidden, wide),
        **_linear("mlp.c_proj", wide, hidden),
        **_norm("input_layernorm", hidden),
        **_norm("post_attention_layernorm", hidden),
    }
    shapes = {"backbone.embed_tokens.weight": (config.vocab_size, hidden), **_norm("backbone.norm", hidden)}
    for number in range(config.layers):
        shapes |= {f"backbone.layers.{number}.{name}": shape for name, shape in layer.items()}
    for exit_layer in config.exit_layers:
        shapes |= _linear(f"exits.{exit_layer}.head.0", hidden, hidden)
        shapes |= _linear(f"exits.{exit_layer}.head.2", hidden, config.dim)
    return shapes


def _linear(name: str, inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _norm(name: str, size: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (size,), f"{name}.bias": (size,)}


def _canonical(name: str) -> str:
    """`module.starEncoder2.norm.bias` → `norm.bias`."""
    parts = [part for part in name.split(".") if part != "module"]
    if _ROOT in parts:
        parts = parts[parts.index(_ROOT) + 1 :]
    return ".".join(parts)


def _names_of_heads(config: ModelConfig, contents: Contents) -> dict[str, str]:
    """Our names of the heads' tensors → theirs; a head's two linear layers may bear any two numbers."""
    names: dict[str, str] = {}
    for exit_layer, head in zip(config.exit_layers, _heads(contents), strict=True):
        parts: dict[int, dict[str, str]] = {}
        for name in contents:
            if (found := _HEAD.fullmatch(name)) and int(found[1]) == head:
                parts.setdefault(int(found[2]), {})[found[3]] = name
        if len(parts) != 2:
            raise ModelError(
                f"Projection head {head} has the linear layers {sorted(parts)}; two are expected. "
                "Fetch the model again."
            )
        for ours, number in zip((0, 2), sorted(parts), strict=True):
            names |= {f"exits.{exit_layer}.head.{ours}.{kind}": name for kind, name in parts[number].items()}
    return names


def _heads(contents: Contents) -> list[int]:
    return sorted({int(found[1]) for name in contents if (found := _HEAD.fullmatch(name))})


def _layers(contents: Contents) -> int:
    return 1 + max((int(found[1]) for name in contents if (found := _LAYER.match(name))), default=-1)


def _config(folder: Path, raw: Mapping[str, Any], settings: Settings, contents: Contents) -> ModelConfig:
    exits = _exits(folder, raw, settings, contents)
    normed = settings.normed_exits
    if normed is None:
        normed = exits[-1:] if len(exits) > 1 else ()
    if not set(normed) <= set(exits):
        raise ModelError(f"{folder / SETTINGS_FILE}: normed_exits {list(normed)} are not all exits.")
    _refuse_other_layers(folder, raw)
    try:
        hidden, positions = raw["hidden_size"], raw["max_position_embeddings"]
        theta = raw["rope_theta"] if "rope_theta" in raw else raw["rope_parameters"]["rope_theta"]
        return ModelConfig(
            name=_name(folder),
            architecture="starcoder2",
            hidden_size=hidden,
            layers=_layers(contents),
            heads=raw["num_attention_heads"],
            intermediate_size=raw["intermediate_size"],
            vocab_size=raw["vocab_size"],
            max_positions=positions,
            dim=hidden,
            exits=tuple(ExitConfig(e, settings.pooling, "mlp", e in normed) for e in exits),
            index_exit=settings.index_exit or (_INDEX_EXIT if _INDEX_EXIT in exits else exits[0]),
            rerank_exit=settings.rerank_exit or (_RERANK_EXIT if _RERANK_EXIT in exits else exits[-1]),
            max_tokens=settings.max_tokens or min(_MAX_TOKENS, positions),
            query_prefix=settings.query_prefix,
            code_prefix=settings.code_prefix,
            suffix=settings.suffix,
            layer_norm_eps=float(raw["norm_epsilon"]),
            kv_heads=raw["num_key_value_heads"],
            rope_theta=float(theta),
            head_activation=settings.head_activation,
            licence=_LICENCE,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"{folder / CONFIG_FILE} lacks or misstates {error}. Fetch the model again."
        ) from error


def _exits(folder: Path, raw: Mapping[str, Any], settings: Settings, contents: Contents) -> tuple[int, ...]:
    """The layer of each head, in order."""
    listed, layers, heads = raw["matryoshka_layers"], _layers(contents), _heads(contents)
    if settings.exits is not None:
        listed = list(settings.exits)
    if not (isinstance(listed, list) and listed and all(type(e) is int and e > 0 for e in listed)):
        raise ModelError(f"{folder / CONFIG_FILE}: matryoshka_layers {listed!r} is no list of layers.")
    if not heads:
        raise ModelError(
            f"{folder} has no projection heads: a model that was only pre-trained gives no embeddings. "
            "Take one whose name has 'finetuned'."
        )
    ordered = sorted(set(listed))
    exits: tuple[int, ...] = ()
    whole = len(ordered) > 1 and layers == ordered[-1]
    if len(heads) == 1 and not (whole and heads[0] != len(ordered) - 1):
        # A truncated model: the head of its last layer, whatever number it kept.
        exits = (layers,) if layers in ordered else ()
    elif heads == list(range(len(heads))):
        exits = tuple(ordered[: len(heads)])
    if len(exits) != len(heads) or exits[-1] != layers:
        raise ModelError(
            f"{folder} holds {layers} layers and the heads {heads}, which do not fit the exits {ordered}. "
            f"Fetch the model again, or name the exits of its heads in {SETTINGS_FILE}."
        )
    return exits


def _refuse_other_layers(folder: Path, raw: Mapping[str, Any]) -> None:
    """Options of StarCoder2's configuration that would make other layers than ours."""
    rope = raw.get("rope_scaling") or {}
    window = raw.get("sliding_window")
    if raw.get("hidden_act", "gelu_pytorch_tanh") != "gelu_pytorch_tanh":
        other = f"hidden_act {raw['hidden_act']!r}"
    elif not raw.get("use_bias", True):
        other = "use_bias false"
    elif rope.get("rope_type", rope.get("type", "default")) != "default":
        other = f"rope_scaling {rope!r}"
    elif window is not None and window < raw.get("max_position_embeddings", 0):
        other = f"sliding_window {window!r}"
    else:
        return
    raise ModelError(f"{folder / CONFIG_FILE} asks for {other}; such a model cannot be loaded.")


def _name(folder: Path) -> str:
    """The folder's name, or in the hub's cache (`models--owner--name/snapshots/revision`) the model's."""
    if folder.parent.name == "snapshots" and folder.parent.parent.name.startswith("models--"):
        return folder.parent.parent.name.split("--")[-1]
    return folder.name


def _settings(folder: Path) -> Settings:
    file = folder / SETTINGS_FILE
    if not file.exists():
        return Settings()
    raw = read_json(file)
    known = {field.name for field in fields(Settings)}
    unknown = sorted(set(raw) - known)
    if unknown:
        raise ModelError(f"{file} has the unknown settings {', '.join(unknown)}; known are {sorted(known)}.")
    for name in ("exits", "normed_exits"):
        if name in raw and not (isinstance(raw[name], list) and all(type(e) is int for e in raw[name])):
            raise ModelError(f"{file}: {name} must be a list of layers, not {raw[name]!r}.")
    for name in ("query_prefix", "code_prefix", "suffix"):
        if type(raw.get(name, "")) is not str:
            raise ModelError(f"{file}: {name} must be a text, not {raw[name]!r}.")
    if raw.get("pooling", "last") not in ("last", "mean"):
        raise ModelError(f"{file}: pooling must be last or mean, not {raw['pooling']!r}.")
    chosen: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in raw.items()}
    return Settings(**chosen)
