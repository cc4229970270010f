"""The one file of settings that a model is made from (TOML), as typed values."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cattrs

from mosearch.errors import SettingsError
from mosearch.training.corpus import Limits
from mosearch.training.losses import Weights
from mosearch.training.pairs import Mix

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True, slots=True)
class PackSettings:
    pairs: int = 200_000
    """Upper bound."""
    cross_pairs: int = 8_000
    task_texts: int = 7
    """Of each task that several repositories solve: pairs of its statement and a solution."""
    task_crosses: int = 10
    """Of each such task: pairs of solutions in two languages."""
    question_copies: dict[str, float] = field(default_factory=dict)
    """Language → how many pairs each of its questions makes; 1 where it is not named."""
    text_tokens: int = 40
    code_tokens: int = 112


@dataclass(frozen=True, slots=True)
class ModelSettings:
    name: str = "mosearch-mini"
    base: str = "all-MiniLM-L6-v2"
    """Where the layers and the vocabulary come from."""
    teacher: str = "all-MiniLM-L6-v2"
    """A frozen model with the same vocabulary, read at its deepest exit while training."""
    second_teacher: str = ""
    """Another one, whose similarities count half as much as the teacher's; empty for none."""
    average_with: str = ""
    """A model whose layers and deepest exit are averaged with the base's before the run; empty for none."""
    average_share: float = 0.75
    """Share of the base's weights in that average."""
    teacher_vectors: str = ""
    """A file of the `teach` command, used in place of `teacher`; empty for none."""
    exits: dict[str, float] = field(
        default_factory=lambda: {"0": 0.5, "1": 0.6, "2": 0.7, "3": 0.8, "6": 1.0}
    )
    """Layer → weight of its loss."""
    index_exit: int = 2
    rerank_exit: int = 6
    table_dim: int = 0
    """Width of exit 0's own token table; 0: it reads the base's token embeddings."""
    stacked: bool = True
    """Whether the heads of all exits but the deepest also read what shallower exits pooled."""
    deepest_stacked: bool = False
    """The same for the exit at the base's last layer."""
    lean: dict[str, float] = field(default_factory=dict)
    """Exit → how much of exit 0's embedding is added to its own at the end; 1 for as much as its own."""
    repeat: dict[str, float] = field(default_factory=dict)
    """Exit → how much a token that a text repeats counts in its mean (`ExitConfig.repeat`); else 1."""
    fade: dict[str, float] = field(default_factory=dict)
    """Exit → how soon late tokens count for less in its mean (`ExitConfig.fade`); 0, never, if not named."""
    fit: tuple[int, ...] = (0, 1, 2, 3, 4, 5)
    """Exits whose heads start from a ridge regression onto the teacher; the base's deepest one never does."""


@dataclass(frozen=True, slots=True)
class TrainSettings:
    batch: int = 128
    alike: int = 0
    """A batch is made of groups of at least so many pairs that exit 0 finds alike; 0: of any pairs."""
    scale: float = 20.0
    """Cosines are multiplied by this before every softmax."""
    learning_rate: float = 1e-4
    head_rate: float = 4.0
    """Times the learning rate, for the projection heads."""
    token_rate: float = 50.0
    """The same for the pooling weights."""
    table_rate: float = 20.0
    """The same for exit 0's table."""
    frozen: tuple[str, ...] = ()
    """Beginnings of the names of parameters that stay as they are."""
    shallow: int = 0
    """The deepest exit of most steps, where `deep_every` is not 1."""
    deep_every: int = 1
    """Every so many steps all exits are trained, in the others those up to `shallow`; 0: never all."""
    weight_decay: float = 0.01
    clip: float = 1.0
    warmup: float = 0.05
    """Share of the run in which the rate climbs; from then on it falls along a cosine to a twentieth."""
    epochs: float = 1.0
    """0: no step is taken; averages and additions at the end are made all the same."""
    minutes: float = 0.0
    """When positive, the run ends after so much computing, and the schedule follows the clock."""
    checkpoint_minutes: float = 5.0
    fit_texts: int = 6000
    """Texts for the closed-form start of the shallow heads; 0 for none."""
    blend: float = 1.0
    """Share of the trained weights in an average, taken at the end, with those that the run began with, of
    what the deepest exit alone reads: it forgets less (Wortsman et al. 2022)."""
    blend_whole: bool = False
    """Whether that average is of the whole model; in the table's run it always is."""
    threads: int = 0
    """Processor threads; 0 leaves PyTorch's choice."""
    snapshots: tuple[float, ...] = ()
    """Shares of the run after which a copy of the model is kept, for a learning curve."""


@dataclass(frozen=True, slots=True)
class Recipe:
    seed: int = 1
    limits: Limits = field(default_factory=Limits)
    mix: Mix = field(default_factory=Mix)
    pack: PackSettings = field(default_factory=PackSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    weights: Weights = field(default_factory=Weights)
    train: TrainSettings = field(default_factory=TrainSettings)
    table: TrainSettings | None = None
    """A run before the main one that trains exit 0 alone; the main one then leaves exit 0 as it is."""

    def of_table(self) -> Recipe | None:
        """The recipe of the run before the main one; None when there is none."""
        if self.table is None:
            return None
        others = tuple(f"exits.{layer}." for layer in self.model.exits if layer != "0")
        settings = replace(
            self.table, deep_every=0, shallow=0, frozen=("backbone.", *others), blend_whole=True
        )
        model = replace(self.model, fit=(0,), lean={})
        return replace(self, table=None, train=settings, model=model)

    def after_table(self, base: Path) -> Recipe:
        """The recipe of the main run, which goes on from the weights in `base`."""
        fit = tuple(layer for layer in self.model.fit if layer)
        frozen = (*self.train.frozen, "table", "exits.0.")
        return replace(
            self,
            table=None,
            train=replace(self.train, frozen=frozen),
            model=replace(self.model, base=str(base), fit=fit, average_with=""),
        )

    def ablation(self, epochs: float) -> dict[str, Recipe]:
        """Runs from the untrained default base: of all layers' exits together, and of each alone."""
        plain = ModelSettings(exits={layer: w for layer, w in self.model.exits.items() if layer != "0"})
        together = replace(plain, name="together", stacked=False)
        models = {"together": together} | {
            layer: replace(together, name=f"alone {layer}", exits={layer: 1.0}) for layer in plain.exits
        }
        settings = replace(
            self.train, epochs=epochs, minutes=0.0, blend=1.0, deep_every=1, snapshots=(), alike=0
        )
        return {
            name: replace(self, table=None, train=settings, model=_read_at_its_end(model))
            for name, model in models.items()
        }

    @property
    def exit_weights(self) -> dict[int, float]:
        return {int(layer): weight for layer, weight in self.model.exits.items()}


def _read_at_its_end(model: ModelSettings) -> ModelSettings:
    deepest = max(map(int, model.exits))
    return replace(model, index_exit=deepest, rerank_exit=deepest)


def read_toml(file: Path) -> dict[str, Any]:
    """Raises SettingsError when the file cannot be read as TOML."""
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"cannot read {file}: {error}") from error


def read_recipe(file: Path) -> Recipe:
    """Raises SettingsError for an unknown key or a value of the wrong type."""
    converter = cattrs.Converter(forbid_extra_keys=True)
    try:
        recipe = converter.structure(read_toml(file), Recipe)
    except cattrs.BaseValidationError as error:
        problems = "; ".join(cattrs.transform_error(error))
        raise SettingsError(f"{file} is no training recipe: {problems}") from error
    if recipe.train.alike and "0" not in recipe.model.exits:
        raise SettingsError(f"{file} asks for batches of what exit 0 finds alike, but has no exit 0")
    if recipe.model.second_teacher and recipe.weights.aligned:
        raise SettingsError(
            f"{file} asks exits to align with the embeddings of two teachers; set weights.aligned to 0"
        )
    return recipe
