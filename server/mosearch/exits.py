"""Which exits of which model an index uses."""

from __future__ import annotations

from dataclasses import dataclass

from mosearch import encoder
from mosearch.errors import ModelError, SettingsError
from mosearch.settings import Settings
from mosearch.types import ModelInfo


@dataclass(frozen=True, slots=True)
class Exits:
    """A model and the exits in use, from the cheapest to the deepest; some may be the same."""

    model: ModelInfo
    first: int
    index: int
    rerank: int
    trouble: str = ""
    """Why there is no such model; it has no exits then, and answers are by words."""

    @property
    def stored(self) -> tuple[int, ...]:
        """Those at which every text is to have a vector."""
        return tuple(sorted({self.first, self.index}))


def exits_in_use(settings: Settings) -> Exits:
    """Raises `SettingsError` for exits that the model lacks, or that come in a wrong order."""
    try:
        model = encoder.model_info(settings.model)
    except ModelError as error:
        return Exits(ModelInfo(settings.model or "none", "none", 0, (), 0, 0, 0), 0, 0, 0, str(error))
    index = _exit(model, settings.index_exit, model.index_exit, "index_exit")
    # Where one of these is not given, it yields to an `index_exit` that is.
    first = _exit(model, settings.first_exit, min(model.first_exit, index), "first_exit")
    rerank = _exit(model, settings.rerank_exit, max(model.rerank_exit, index), "rerank_exit")
    if first > index:
        raise SettingsError(
            f"`first_exit` is {first}, deeper than `index_exit`, {index}. "
            "It comes first because it is cheaper: give one that is not deeper."
        )
    if rerank < index:
        raise SettingsError(
            f"`rerank_exit` is {rerank}, less deep than `index_exit`, {index}. "
            "It comes last because it is better: give one that is at least as deep."
        )
    return Exits(model, first, index, rerank)


def _exit(model: ModelInfo, wanted: int | None, default: int, name: str) -> int:
    if wanted is None:
        return default
    if wanted not in model.exits:
        known = ", ".join(map(str, model.exits))
        raise SettingsError(f"`{name}` is {wanted}, but the model {model.name} has the exits {known}.")
    return wanted
