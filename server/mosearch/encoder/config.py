"""The typed schema of a model folder's `config.json`.  Torch-free: both sides of the socket read it.

A model folder holds `config.json`, `model.safetensors` and `tokenizer.json`.  Besides our own schema,
a BERT folder in the sentence-transformers layout (mean pooling) is understood: it becomes a model
with a single exit, its last layer.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

from mosearch.errors import ModelError

Pooling = Literal["mean", "token_weighted", "last"]
Head = Literal["identity", "linear", "mlp"]
Activation = Literal["leaky_relu", "relu", "gelu", "gelu_tanh", "silu", "tanh", "identity"]

CONFIG_FILE = "config.json"

CHARACTERS_PER_TOKEN = 64
"""A text is cut at this many characters per permitted token before the tokeniser sees it, so that the
cost of a huge text is bounded.  Ordinary code has three to four."""
MAX_TEXT_CHARACTERS = 1 << 20
"""What any model cuts off anyway, and the client therefore does not send."""
ARCHITECTURES = ("bert", "starcoder2")

# These may change without changing any vector.
_NOT_IN_VECTORS = ("name", "licence", "index_exit", "rerank_exit")
# These came later: unless they are used, fingerprints are what they were without them.
_LATER = (
    "kv_heads",
    "rope_theta",
    "head_activation",
    "suffix",
    "norm",
    "stacked",
    "table_dim",
    "repeat",
    "fade",
)


@dataclass(frozen=True, slots=True)
class ExitConfig:
    """How one exit turns hidden states into an embedding: pool over tokens, then project."""

    layer: int
    """0 is the static exit: raw token embeddings, no positions, no attention."""
    pooling: Pooling = "mean"
    """`mean`: over the tokens that are no padding.  `token_weighted`: softmax-weighted mean, with one
    learned logit per vocabulary entry.  `last`: the last token that is no padding."""
    head: Head = "identity"
    """`identity` needs `dim == hidden_size`; `linear` is a weight [dim, hidden_size] and a bias [dim];
    `mlp` is a linear layer [hidden_size, hidden_size], `head_activation` and a linear layer to `dim`,
    applied to every token before pooling."""
    norm: bool = False
    """Whether the stack's final LayerNorm comes first; only `starcoder2` has one."""
    stacked: bool = False
    """Whether the linear head also reads, after what its own exit pooled, what all shallower exits pooled."""
    repeat: float = 1.0
    """Of a mean: a token that a text has n times weighs n**repeat times as much as one that it has once."""
    fade: float = 0.0
    """Of a mean: the token at place i, from 0, weighs 1 / (1 + i / fade); 0: all places are alike."""


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Everything besides tensors and vocabulary that decides which vector a text gets."""

    name: str
    architecture: str
    hidden_size: int
    layers: int
    heads: int
    intermediate_size: int
    vocab_size: int
    max_positions: int
    dim: int
    exits: tuple[ExitConfig, ...]
    index_exit: int
    rerank_exit: int
    max_tokens: int = 256
    """Longest input in tokens, special tokens included; the rest of a text is cut off."""
    split_identifiers: bool = False
    """Whether `getHTTPResponse` is shown to the tokeniser as `get HTTP Response`."""
    query_prefix: str = ""
    code_prefix: str = ""
    """Put before every code text; `{language}` stands for the chunk's language."""
    suffix: str = ""
    """Put after every text, however long: the text is cut to make room.  In a model that has one, special
    tokens are those spelled out in prefix and suffix, none is added, and none is found in a text."""
    layer_norm_eps: float = 1e-12
    kv_heads: int = 0
    """Heads of keys and values, each shared by `heads / kv_heads` query heads; 0: as many as `heads`."""
    rope_theta: float = 10000.0
    """Base of the rotary position embedding; `bert` has none."""
    table_dim: int = 0
    """Width of a token table of its own that exit 0 reads; 0: it reads the backbone's token embeddings."""
    head_activation: Activation = "leaky_relu"
    """Of heads of the kind `mlp`; `leaky_relu` has slope 0.01."""
    licence: str = ""

    def __post_init__(self) -> None:
        problem = _problem(self)
        if problem:
            raise ModelError(f"The configuration of model {self.name!r} is not usable: {problem}.")

    @property
    def exit_layers(self) -> tuple[int, ...]:
        return tuple(sorted(e.layer for e in self.exits))

    def pooled_width(self, layer: int) -> int:
        """Numbers that the pooled state of a layer has."""
        return self.table_dim if layer == 0 and self.table_dim else self.hidden_size

    def head_inputs(self, exit_config: ExitConfig) -> tuple[int, ...]:
        """Layers whose pooled states an exit's head reads, its own first."""
        below = (layer for layer in reversed(self.exit_layers) if layer < exit_config.layer)
        return (exit_config.layer, *(below if exit_config.stacked else ()))

    def up_to(self, layer: int) -> ModelConfig:
        """The same model without what lies deeper than `layer`, which must be one of its exits."""
        return replace(
            self,
            layers=max(layer, 1),
            exits=tuple(e for e in self.exits if e.layer <= layer),
            index_exit=min(self.index_exit, layer),
            rerank_exit=layer,
        )

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2) + "\n"

    def vector_settings(self) -> str:
        """Canonical JSON of the fields that decide vectors, for the fingerprint."""
        kept = {k: v for k, v in _without_defaults(self).items() if k not in _NOT_IN_VECTORS}
        by_layer = sorted(self.exits, key=lambda e: e.layer)
        kept["exits"] = [_without_defaults(e) for e in by_layer]
        return json.dumps(kept, sort_keys=True)


def _without_defaults(config: ModelConfig | ExitConfig) -> dict[str, Any]:
    """All fields but those of `_LATER` that have their default value."""
    unused = {f.name for f in fields(config) if f.name in _LATER and getattr(config, f.name) == f.default}
    return {k: v for k, v in asdict(config).items() if k not in unused}


def read_config(folder: Path) -> ModelConfig:
    """Read and check `config.json` in our schema or that of sentence-transformers.  Raises ModelError."""
    raw = read_json(folder / CONFIG_FILE)
    if "model_type" in raw:
        return _from_sentence_transformers(folder, raw)
    return parse_config(raw, folder / CONFIG_FILE)


def parse_config(raw: Mapping[str, Any], source: Path | str = CONFIG_FILE) -> ModelConfig:
    """Our own schema.  Unknown keys are refused: a setting that is silently ignored gives wrong vectors."""
    try:
        exits = tuple(ExitConfig(**entry) for entry in raw["exits"])
        return ModelConfig(**{**raw, "exits": exits})
    except (TypeError, KeyError) as error:
        raise ModelError(
            f"{source} does not follow the model schema: {error}. Fetch the model again."
        ) from error


def _from_sentence_transformers(folder: Path, raw: Mapping[str, Any]) -> ModelConfig:
    if raw["model_type"] != "bert" or raw.get("hidden_act", "gelu") != "gelu":
        raise ModelError(f"{folder} holds a {raw['model_type']!r} model; only BERT with GELU can be loaded.")
    pooling = folder / "1_Pooling" / CONFIG_FILE
    if pooling.exists() and not read_json(pooling).get("pooling_mode_mean_tokens"):
        raise ModelError(f"{folder} does not pool by the mean over tokens; such a model cannot be loaded.")
    sentence = folder / "sentence_bert_config.json"
    limits = read_json(sentence) if sentence.exists() else {}
    try:
        layers, hidden = raw["num_hidden_layers"], raw["hidden_size"]
        return ModelConfig(
            name=folder.name,
            architecture="bert",
            hidden_size=hidden,
            layers=layers,
            heads=raw["num_attention_heads"],
            intermediate_size=raw["intermediate_size"],
            vocab_size=raw["vocab_size"],
            max_positions=raw["max_position_embeddings"],
            dim=hidden,
            exits=(ExitConfig(layer=layers),),
            index_exit=layers,
            rerank_exit=layers,
            max_tokens=limits.get("max_seq_length", 256),
            layer_norm_eps=raw.get("layer_norm_eps", 1e-12),
        )
    except KeyError as error:
        raise ModelError(f"{folder / CONFIG_FILE} lacks {error}. Fetch the model again.") from error


def read_json(path: Path) -> dict[str, Any]:
    """A file that holds a JSON object.  Raises ModelError."""
    try:
        raw = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(
            f"Cannot read {path}: {error}. Give a model folder or fetch the model again."
        ) from error
    if not isinstance(raw, dict):
        raise ModelError(f"{path} is not a JSON object. Fetch the model again.")
    return raw


def _problem(config: ModelConfig) -> str | None:
    sizes = ("hidden_size", "layers", "heads", "intermediate_size", "vocab_size", "max_positions", "dim")
    for field in (*sizes, "max_tokens"):
        value = getattr(config, field)
        if type(value) is not int or value < 1:
            return f"{field} must be a positive whole number, not {value!r}"
    if config.architecture not in ARCHITECTURES:
        return f"architecture {config.architecture!r} is not one of {', '.join(ARCHITECTURES)}"
    if config.hidden_size % config.heads:
        return "hidden_size must be a multiple of heads"
    if config.max_tokens > min(config.max_positions, MAX_TEXT_CHARACTERS // CHARACTERS_PER_TOKEN):
        return f"max_tokens {config.max_tokens} is more than the model or the protocol can take"
    stack_problem = _starcoder2_problem if config.architecture == "starcoder2" else _bert_problem
    return stack_problem(config) or _exit_problem(config)


def _starcoder2_problem(config: ModelConfig) -> str | None:
    if type(config.kv_heads) is not int or config.kv_heads < 0 or config.heads % (config.kv_heads or 1):
        return "heads must be a multiple of kv_heads"
    if config.hidden_size // config.heads % 2:
        return "a head must have an even number of dimensions"
    if not config.rope_theta > 0:
        return f"rope_theta must be positive, not {config.rope_theta!r}"
    return None


def _bert_problem(config: ModelConfig) -> str | None:
    if config.kv_heads not in (0, config.heads):
        return "bert has as many kv_heads as heads"
    if any(e.norm for e in config.exits):
        return "bert has no final norm to apply at an exit"
    if type(config.table_dim) is not int or config.table_dim < 0:
        return f"table_dim must be a whole number that is not negative, not {config.table_dim!r}"
    return None


def _exit_problem(config: ModelConfig) -> str | None:
    layers = [e.layer for e in config.exits]
    if not layers or len(set(layers)) != len(layers):
        return "exits must be a non-empty list of distinct layers"
    for e in config.exits:
        if type(e.layer) is not int or not 0 <= e.layer <= config.layers:
            return f"exit {e.layer!r} is no layer between 0 and {config.layers}"
        if e.pooling not in get_args(Pooling) or e.head not in get_args(Head):
            return f"exit {e.layer} has an unknown pooling {e.pooling!r} or head {e.head!r}"
        if e.stacked and e.head != "linear":
            return f"exit {e.layer} is stacked, which only a linear head can be"
        if problem := _mean_problem(e):
            return f"exit {e.layer} {problem}"
        if e.head == "identity" and config.dim != config.hidden_size:
            return f"exit {e.layer} has no head, so dim must equal hidden_size"
        if e.head == "mlp" and config.head_activation not in get_args(Activation):
            return f"head_activation {config.head_activation!r} is unknown"
    for field in ("index_exit", "rerank_exit"):
        if getattr(config, field) not in layers:
            return f"{field} {getattr(config, field)!r} is not among the exits {sorted(layers)}"
    return None


def _mean_problem(e: ExitConfig) -> str | None:
    """What is wrong with how an exit's mean weighs repeated and late tokens; None if nothing is."""
    if not all(isinstance(value, (int, float)) for value in (e.repeat, e.fade)):
        return f"has a repeat {e.repeat!r} or a fade {e.fade!r} that is no number"
    if not (0 <= e.repeat <= 1 and 0 <= e.fade < math.inf):
        return f"needs a repeat between 0 and 1 and a fade that is not negative, not {e.repeat} and {e.fade}"
    if e.pooling == "last" and (e.repeat != 1 or e.fade):
        return "reads its last token only, so repeat and fade say nothing"
    return None
