"""Whole-repository search: questions about real repositories, answered by the product itself.

The data folder holds `repos/repos.json` (name, language, folder to index, where to get it) and one file of
questions for each repository; `mosearch.evaluation.judging` says how answers are judged.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from threading import Event
from time import perf_counter
from typing import Any

from mosearch.encoder import connect
from mosearch.engine import Engine
from mosearch.errors import UsageError
from mosearch.evaluation.judging import DEPTH, Place, Target, ndcg
from mosearch.evaluation.tuning import Judged
from mosearch.settings import load_settings
from mosearch.types import Depth, Priority

_COVER_TEXTS = 1024


@dataclass(frozen=True, slots=True)
class Question:
    text: str
    category: str
    targets: tuple[Target, ...]


@dataclass(frozen=True, slots=True)
class Repository:
    name: str
    language: str
    root: str
    """The folder to index, relative to the checkout; empty for all of it."""
    questions: tuple[Question, ...]
    url: str = ""
    revision: str = ""
    """The commit that the questions are about."""
    package: str = ""
    """Where nearly the same files are packaged, in the words of the development set; empty for nowhere."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one repository scored: NDCG@10 by question, in their order, and the time of each search."""

    repository: Repository
    chunks: int
    index_seconds: float
    scores: tuple[float, ...]
    milliseconds: tuple[float, ...]

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.repository.name,
            "language": self.repository.language,
            "chunks": self.chunks,
            "index_seconds": round(self.index_seconds, 2),
            "ndcg10": round(fmean(self.scores), 4),
            "query_ms_p50": round(median(self.milliseconds), 1),
            "questions": [
                {"query": question.text, "category": question.category, "ndcg10": round(score, 4)}
                for question, score in zip(self.repository.questions, self.scores, strict=True)
            ],
        }


def read_repositories(data: Path) -> list[Repository]:
    """All repositories that `data/repos` names, with their questions.  Raises UsageError."""
    folder = data / "repos"
    try:
        listed = json.loads((folder / "repos.json").read_text(encoding="utf-8"))
        return [_repository(entry, folder) for entry in listed]
    except (OSError, ValueError, KeyError) as error:
        raise UsageError(f"{folder} does not hold the repository questions: {error}.") from error


def measure(
    repository: Repository, checkouts: Path, *, rerank: bool, coverage: Mapping[int, int] | None = None
) -> Outcome:
    """Index a checkout and ask all its questions.  Raises UsageError when the checkout is missing.

    `coverage` (exit → percent) stops half-way: so many texts, chosen by their digests, have a vector at
    these exits, and none is computed while a question waits.
    """
    root = _root(repository, checkouts)
    settings = load_settings(root, None if coverage is None else {"rerank_budget_ms": 0})
    with Engine(root, settings) as engine:
        start = perf_counter()
        report = engine.update(depth=Depth.INDEX if coverage is None else Depth.WORDS)
        for exit, percent in (coverage or {}).items():
            _cover(engine, exit, percent)
        index_seconds = perf_counter() - start
        engine.maintain(Event())
        engine.search("warm up", DEPTH, rerank=rerank)
        answers = [ask(engine, repository, question, rerank) for question in repository.questions]
    return Outcome(
        repository=repository,
        chunks=report.chunks,
        index_seconds=index_seconds,
        scores=tuple(score for score, _ in answers),
        milliseconds=tuple(milliseconds for _, milliseconds in answers),
    )


def _cover(engine: Engine, exit: int, percent: int) -> None:
    missing = engine.store.missing_texts(engine.model.fingerprint, exit)
    chosen = [item for item in missing if int(item.digest[:8], 16) % 100 < percent]
    with connect(engine.settings.model, device=engine.settings.device) as encoder:
        for start in range(0, len(chosen), _COVER_TEXTS):
            part = chosen[start : start + _COVER_TEXTS]
            vectors = encoder.encode(
                [item.text for item in part],
                exits=(exit,),
                priority=Priority.INDEX,
                languages=[item.language for item in part],
            )
            engine.store.add_vectors(
                engine.model.fingerprint, exit, [item.digest for item in part], vectors[exit]
            )


def judged(repository: Repository, checkouts: Path, *, rerank: bool) -> list[Judged]:
    """What ranking sees for each question, with the right answers.  Raises UsageError as `measure` does."""
    root = _root(repository, checkouts)
    with Engine(root, load_settings(root)) as engine:
        engine.update()
        return [
            Judged(engine.pool(question.text, rerank=rerank), question.targets, repository.root)
            for question in repository.questions
        ]


def by_category(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """Category → mean NDCG@10 over all its questions."""
    groups: defaultdict[str, list[float]] = defaultdict(list)
    for outcome in outcomes:
        for question, score in zip(outcome.repository.questions, outcome.scores, strict=True):
            groups[question.category].append(score)
    return {category: fmean(scores) for category, scores in sorted(groups.items())}


def by_language(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """Language → mean over its repositories of their mean NDCG@10."""
    groups: defaultdict[str, list[float]] = defaultdict(list)
    for outcome in outcomes:
        groups[outcome.repository.language].append(fmean(outcome.scores))
    return {language: fmean(scores) for language, scores in sorted(groups.items())}


def ask(engine: Engine, repository: Repository, question: Question, rerank: bool) -> tuple[float, float]:
    """NDCG@10 of the product's answer, and milliseconds."""
    result = engine.search(question.text, DEPTH, rerank=rerank)
    places = [Place.of(repository.root, hit.path, hit.chunk) for hit in result.hits]
    return ndcg(places, question.targets), result.timing_ms["total"]


def _root(repository: Repository, checkouts: Path) -> Path:
    """The folder to index.  Raises UsageError where it is not there."""
    root = checkouts / repository.name / repository.root
    if not root.is_dir():
        raise UsageError(
            f"There is no checkout of {repository.name} at {root}; `mosearch eval repos --prepare` gets one."
        )
    return root


def _repository(entry: dict[str, Any], folder: Path) -> Repository:
    questions = json.loads((folder / f"{entry['name']}.json").read_text(encoding="utf-8"))
    return Repository(
        name=entry["name"],
        language=entry["language"],
        root=entry["root"] or "",
        questions=tuple(
            Question(item["query"], item["category"], tuple(_targets(item))) for item in questions
        ),
        url=entry.get("url", ""),
        revision=entry.get("revision", ""),
        package=entry.get("also_from", ""),
    )


def _targets(item: dict[str, Any]) -> Iterator[Target]:
    for target in [*item["relevant"], *item["secondary"]]:
        yield Target(target) if isinstance(target, str) else Target(**target)
