"""Fitting the weights of ranking to judged questions.

What ranking looks at is computed once for each question (`mosearch.ranking.Pool`), so that trying a
set of weights takes a fraction of a second.  The fit is a coordinate descent over coarse values, which
with a few hundred questions leaves little room for chance; how much it leaves is reported by fitting
without each repository in turn and measuring on that one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from statistics import fmean

import numpy as np

from mosearch.evaluation.judging import DEPTH, Place, Target, gain_of_ranks, ndcg, rank_of
from mosearch.evaluation.messages import Asked
from mosearch.ranking import Pool, Weights, rank, select
from mosearch.ranking.candidate import symbol_of
from mosearch.ranking.scoring import scores, scores_within
from mosearch.ranking.selection import decay

_ROUNDS = 3
_LEAST_GAIN = 2e-4
"""A weight is moved only for more than this; less is chance."""

_HISTORY = ", history"
"""Follows a repository's name where its commits ask, and before the part of a message that is no subject."""

GRID: Mapping[str, tuple[float, ...]] = {
    "dense": (0.3, 0.4, 0.5, 0.6, 0.7, 0.8),
    "dense_shallow": (0.2, 0.3, 0.4, 0.5, 0.6),
    "dense_within": (0.6, 0.7, 0.8, 0.9, 1.0),
    "dense_within_shallow": (0.4, 0.5, 0.6, 0.7, 0.8),
    "dense_for_symbols": (0.0, 0.1, 0.2, 0.4),
    "rank_constant": (10, 15, 20, 30, 45),
    "name": (0.0, 0.1, 0.2, 0.3, 0.5),
    "place": (0.5, 0.8, 1.2, 1.6, 2.0, 2.6),
    "place_lead": (0.0, 0.3, 0.6, 0.9),
    "coverage": (0.0, 0.1, 0.2, 0.35, 0.5),
    "coverage_shallow": (0.2, 0.35, 0.5, 0.7, 1.0),
    "definition": (1, 2, 3),
    "definition_as_written": (0.5, 1, 2),
    "definition_of_type": (0.5, 1, 2),
    "coherence": (0.0, 0.2, 0.4, 0.8, 1.2),
    "lead": (0.0, 0.15, 0.3, 0.5),
    "file_decay": (0.3, 0.4, 0.5, 0.6, 0.7),
    "test": (0.1, 0.2, 0.35, 0.5),
    "example": (0.3, 0.5, 0.7),
    "vendored": (0.3, 0.5, 0.7),
    "prose": (0.1, 0.2, 0.4),
    "data": (0.3, 0.5, 0.7),
    "remainder": (0.6, 0.75, 0.9, 1.0),
    "header": (0.4, 0.6, 0.8, 1.0),
    "foreign": (0.4, 0.6, 0.8, 1.0),
}


NEUTRAL = Weights(**{name: float(sorted(values)[len(values) // 2]) for name, values in GRID.items()})
"""Where a fit that shall owe nothing to earlier ones begins: the middle of every scale."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A question with its candidates; `root` is the folder that their paths are relative to."""

    pool: Pool
    targets: tuple[Target, ...]
    root: str = ""

    def ndcg(self, weights: Weights) -> float:
        """Binary NDCG@10 of the page that these weights give."""
        return ndcg(self.page(weights), self.targets)

    def page(self, weights: Weights) -> list[Place]:
        chosen = select(rank(self.pool, weights), DEPTH, weights.file_decay)
        return [Place.of(self.root, item.stored.path, item.stored.chunk) for item in chosen]


class Compiled:
    """A judged question reduced to numbers: what `select` and `ndcg` make of it, ten times as fast."""

    def __init__(self, judged: Judged) -> None:
        self._pool = judged.pool
        numbers: dict[object, int] = {}

        def number(of: object) -> int:
            return numbers.setdefault(of, len(numbers))

        chunks = judged.pool.chunks
        self._copies = [number(stored.chunk.digest) for stored in chunks]
        self._symbols = [number(symbol_of(stored)) for stored in chunks]
        self._files = judged.pool.files.tolist()
        places = [Place.of(judged.root, stored.path, stored.chunk) for stored in chunks]
        self._answers = [
            [index for index, target in enumerate(judged.targets) if rank_of([place], target)]
            for place in places
        ]
        self._targets = len(judged.targets)

    def ndcg(self, weights: Weights) -> float:
        """As `Judged.ndcg`."""
        found = scores(self._pool, weights)
        within = scores_within(self._pool, weights)
        copies: set[int] = set()
        symbols: set[int] = set()
        files: defaultdict[int, list[int]] = defaultdict(list)
        places: list[tuple[float, int]] = []
        for index in np.argsort(-found, kind="stable").tolist():
            copy, symbol, file = self._copies[index], self._symbols[index], self._files[index]
            if copy in copies or symbol in symbols:
                continue
            copies.add(copy)
            symbols.add(symbol)
            places.append((-float(found[index]) * decay(len(files[file]), weights.file_decay), file))
            files[file].append(index)
        places.sort(key=lambda place: place[0])
        shown = {file for _, file in places[:DEPTH]}
        inner = {file: iter(sorted(files[file], key=lambda index: -within[index])) for file in shown}
        ranks: dict[int, int] = {}
        for rank_, (_, file) in enumerate(places[:DEPTH], start=1):
            for target in self._answers[next(inner[file])]:
                ranks.setdefault(target, rank_)
        return gain_of_ranks(list(ranks.values()), self._targets)


@dataclass(slots=True)
class Tuner:
    """Judged questions by repository, and every figure that was computed from them."""

    questions: Mapping[str, Sequence[Judged]]
    _compiled: dict[str, list[Compiled]] = field(default_factory=dict)
    _known: dict[tuple[Weights, str], float] = field(default_factory=dict)

    def mean(self, weights: Weights, repositories: Collection[str]) -> float:
        """Mean over repositories of their mean NDCG@10."""
        return fmean(self._repository(weights, name) for name in repositories)

    def fit(self, start: Weights, repositories: Collection[str]) -> Weights:
        """The best weights that changing one after the other finds."""
        weights, best = start, self.mean(start, repositories)
        for _ in range(_ROUNDS):
            before = best
            for name, values in GRID.items():
                for value in values:
                    tried = replace(weights, **{name: float(value)})
                    found = self.mean(tried, repositories)
                    if found > best + _LEAST_GAIN:
                        weights, best = tried, found
            if best == before:
                break
        return weights

    def left_out(self, start: Weights) -> dict[str, float]:
        """Repository → its NDCG@10 with weights fitted to all the others, its own history left out, too."""
        return {
            name: self._repository(self.fit(start, [o for o in self.questions if not same(o, name)]), name)
            for name in self.questions
        }

    def _repository(self, weights: Weights, name: str) -> float:
        if (weights, name) not in self._known:
            if name not in self._compiled:
                self._compiled[name] = [Compiled(each) for each in self.questions[name]]
            self._known[weights, name] = fmean(each.ndcg(weights) for each in self._compiled[name])
        return self._known[weights, name]


def history_name(repository: str, asked: Asked) -> str:
    """What a repository's commits as questions are called; those of subjects as ever."""
    return f"{repository}{_HISTORY}" + ("" if asked is Asked.SUBJECT else f" ({asked.value})")


def asked_in(name: str) -> Asked:
    """Which part of a message asks the questions of this name."""
    return next((each for each in Asked if name.endswith(history_name("", each))), Asked.SUBJECT)


def same(one: str, other: str) -> bool:
    """Whether two names of questions mean one repository."""
    return one.partition(_HISTORY)[0] == other.partition(_HISTORY)[0]


def changes(before: Weights, after: Weights) -> dict[str, tuple[float, float]]:
    """The weights that differ: name → (before, after)."""
    pairs = {item.name: (getattr(before, item.name), getattr(after, item.name)) for item in fields(Weights)}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
