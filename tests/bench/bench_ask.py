"""Ask a finished index the questions of `questions.toml` and see where the right answers come."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from mosearch.engine import Engine
from mosearch.errors import QueryError
from mosearch.settings import load_settings
from mosearch.types import Chunk, Hit, SearchResult, StoredChunk

DEPTH = 50
_SHOWN = 5
_WARM_UP = "parse a date"


@dataclass(frozen=True, slots=True)
class Asked:
    """One question or `similar` case, answered."""

    ask: str
    answers: tuple[str, ...]
    rank: int | None
    """Of the first right hit, from 1; None when none is among the first 50."""
    milliseconds: float
    stages: dict[str, float]
    """Stage of the query → milliseconds, as the engine reports them."""
    top: tuple[str, ...]
    """The first five hits, for the reader who wonders."""
    lost: tuple[str, ...]
    """Right answers for which the index holds no chunk at all: no ranking could find them."""


@dataclass(frozen=True, slots=True)
class Examined:
    questions: tuple[Asked, ...]
    similar: tuple[Asked, ...]
    skipped_files: dict[str, list[str]]
    """Reason → every file left out for it."""
    kinds: dict[str, int]
    """Kind of chunk → how many."""
    warnings: tuple[str, ...]


def examine(root: Path, cases: dict[str, Any]) -> Examined:
    """Put all questions to the index of `root` in one process, as an editor would.

    Raises `MosearchError`.
    """
    with Engine(root, load_settings(root)) as engine:
        chunks = [
            stored
            for path, record in engine.store.files().items()
            if not record.skip_reason
            for stored in engine.store.chunks_of(path)
        ]
        warm = engine.search(_WARM_UP, DEPTH, rerank=engine.settings.rerank)
        questions = [_ask(engine, case, chunks) for case in cases.get("question", ())]
        similar = [_similar(engine, case, chunks) for case in cases.get("similar", ())]
        return Examined(
            tuple(questions),
            tuple(similar),
            _skipped_files(engine),
            _counted(stored.chunk.kind.label for stored in chunks),
            (warm.warning,) if warm.warning else (),
        )


def scores(asked: Sequence[Asked]) -> dict[str, float]:
    """Hits among the first 1, 5 and 10, mean reciprocal rank, and the time of a query."""
    if not asked:
        return {}
    ranks = [one.rank for one in asked]
    times = sorted(one.milliseconds for one in asked)
    found = {
        f"hit@{depth}": sum(rank is not None and rank <= depth for rank in ranks) / len(ranks)
        for depth in (1, 5, 10)
    }
    return found | {
        "mrr": sum(1 / rank for rank in ranks if rank is not None) / len(ranks),
        "p50_ms": median(times),
        "max_ms": times[-1],
    }


def examined_json(examined: Examined) -> dict[str, Any]:
    return asdict(examined) | {
        "question_scores": scores(examined.questions),
        "similar_scores": scores(examined.similar),
    }


def _ask(engine: Engine, case: dict[str, Any], chunks: Sequence[StoredChunk]) -> Asked:
    rerank = engine.settings.rerank
    return _asked(
        case["ask"], case["answers"], chunks, lambda: engine.search(case["ask"], DEPTH, rerank=rerank)
    )


def _similar(engine: Engine, case: dict[str, Any], chunks: Sequence[StoredChunk]) -> Asked:
    of, siblings = case["of"], case["siblings"]
    known = next((stored for stored in chunks if _is(of, stored.path, stored.chunk)), None)
    if known is None:
        return Asked(of, tuple(siblings), None, 0.0, {}, (), (of,))
    try:
        place = engine.place(known.path, known.chunk.start_line)
    except QueryError as error:
        return Asked(of, tuple(siblings), None, 0.0, {}, (str(error),), (of,))
    rerank = engine.settings.rerank
    return _asked(of, siblings, chunks, lambda: engine.similar(place, True, DEPTH, rerank=rerank))


def _asked(
    ask: str, answers: Sequence[str], chunks: Sequence[StoredChunk], query: Callable[[], SearchResult]
) -> Asked:
    start = time.perf_counter()
    result = query()
    milliseconds = (time.perf_counter() - start) * 1000
    right = (
        number
        for number, hit in enumerate(result.hits, start=1)
        if any(_is(answer, hit.path, hit.chunk) for answer in answers)
    )
    lost = [one for one in answers if not any(_is(one, stored.path, stored.chunk) for stored in chunks)]
    top = tuple(_described(hit) for hit in result.hits[:_SHOWN])
    stages = dict(result.timing_ms)
    return Asked(ask, tuple(answers), next(right, None), milliseconds, stages, top, tuple(lost))


def _is(answer: str, path: str, chunk: Chunk) -> bool:
    """Whether a chunk is what "path suffix::container.symbol" names."""
    suffix, _, name = answer.partition("::")
    wanted, names = name.split("."), _names(chunk)
    return f"/{path}".endswith(f"/{suffix}") and names[-len(wanted) :] == wanted


def _names(chunk: Chunk) -> list[str]:
    qualified = f"{chunk.container}.{chunk.symbol}" if chunk.container else chunk.symbol
    return [part for part in re.split(r"\.|::|#", qualified) if part]


def _described(hit: Hit) -> str:
    name = ".".join(_names(hit.chunk)) or f"({hit.chunk.kind.label})"
    return f"{hit.path}:{hit.chunk.start_line + 1} {name}"


def _skipped_files(engine: Engine) -> dict[str, list[str]]:
    reasons: dict[str, list[str]] = {}
    for path, record in sorted(engine.store.files().items()):
        if record.skip_reason:
            reasons.setdefault(record.skip_reason, []).append(path)
    return reasons


def _counted(labels: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for label in labels:
        counts[label] = counts.get(label, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: -item[1]))
