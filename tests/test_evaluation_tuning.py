"""Fitting weights to judged questions, and what ablation and its intervals say."""

from __future__ import annotations

import random
from dataclasses import fields, replace

import pytest

from mosearch import ranking
from mosearch.evaluation import ablation
from mosearch.evaluation.judging import Target
from mosearch.evaluation.messages import Asked
from mosearch.evaluation.tuning import (
    GRID,
    NEUTRAL,
    Compiled,
    Judged,
    Tuner,
    asked_in,
    changes,
    history_name,
    same,
)
from mosearch.ranking import Candidate, Weights
from mosearch.text import digest
from mosearch.types import Chunk, Span, StoredChunk, SymbolKind


def _stored(number: int, path: str, symbol: str) -> StoredChunk:
    text = f"def {symbol}(): return {number}"
    chunk = Chunk(
        symbol, "", SymbolKind.FUNCTION, "python", 0, len(text), 0, 0, "", "", text, "", digest(text)
    )
    return StoredChunk(path, number, chunk)


def _judged(query: str, right: str) -> Judged:
    """Words put a test first, vectors something else; the right file is second in both lists."""
    test, other = _stored(1, f"tests/test_{right}.py", "check"), _stored(2, "src/misc.py", "other")
    answer = _stored(3, f"src/{right}.py", "run")
    lexical = [(test, 3.0), (answer, 2.0), (other, 1.0)]
    dense = [Candidate(other, 0.9, 0), Candidate(answer, 0.8, 0), Candidate(test, 0.7, 0)]
    return Judged(ranking.gather(ranking.parse_query(query), lexical, dense), (Target(f"{right}.py"),))


QUESTIONS = {
    name: [_judged(f"how does {name} work", name), _judged(f"what does {name} do", name)]
    for name in ("scheduler", "parser", "cache")
}


def test_every_weight_has_a_scale_that_holds_its_value() -> None:
    assert set(GRID) == {item.name for item in fields(Weights)}
    assert all(values == tuple(sorted(values)) for values in GRID.values())


def test_a_fit_finds_what_the_questions_reward() -> None:
    tuner = Tuner(QUESTIONS)
    blind = replace(NEUTRAL, test=0.5, place=0.5, name=0.0, dense=0.3)
    fitted = tuner.fit(blind, list(QUESTIONS))
    assert tuner.mean(fitted, list(QUESTIONS)) == 1.0 >= tuner.mean(blind, list(QUESTIONS))
    assert set(tuner.left_out(blind)) == set(QUESTIONS)


def test_the_fast_way_to_a_score_is_the_products_way() -> None:
    random_ = random.Random(0)
    for _ in range(60):
        found = [
            replace(
                stored,
                file_id=int(stored.path[1]),
                chunk=replace(
                    stored.chunk,
                    whole=random_.choice([None, Span(1, 9, 0, 0)]),
                    digest=random_.choice("abcdefgh") * 32,
                ),
            )
            for stored in (
                _stored(number, f"f{random_.randrange(6)}.py", random_.choice("xyz")) for number in range(40)
            )
        ]
        dense = [Candidate(stored, 1 - rank / 99, 0) for rank, stored in enumerate(found[:25])]
        lexical = [(stored, 9.0 - rank) for rank, stored in enumerate(found[10:])]
        pool = ranking.gather(ranking.parse_query("how does x work"), lexical, dense)
        targets = (Target("f1.py"), Target("f2.py", 1, 1), Target("f9.py"))
        weights = replace(Weights(), file_decay=random_.choice([0.3, 0.7, 1.0]))
        judged = Judged(pool, targets)
        assert Compiled(judged).ndcg(weights) == pytest.approx(judged.ndcg(weights))


def test_changes_name_what_differs() -> None:
    assert changes(Weights(), replace(Weights(), test=0.123)) == {"test": (Weights().test, 0.123)}
    assert changes(Weights(), Weights()) == {}


def test_ablation_ends_in_what_the_product_does() -> None:
    steps = {step.name: step for step in ablation.steps(Weights())}
    full = [step for step in steps.values() if step.weights == Weights() and step.words and step.vectors]
    assert len(full) == 1
    found = ablation.measure(full[0], QUESTIONS)
    assert ablation.mean(found) == 1.0
    words = ablation.measure(steps["words only (BM25)"], QUESTIONS)
    assert ablation.mean(words) == pytest.approx(0.631, abs=1e-3)  # second place everywhere


def test_the_interval_of_no_difference_is_nothing() -> None:
    scores = {"a": [0.1, 0.9, 0.5], "b": [0.3]}
    assert ablation.interval(scores, scores) == (0.0, 0.0)
    better = {name: [value + 0.1 for value in row] for name, row in scores.items()}
    assert list(ablation.interval(scores, better)) == pytest.approx([0.1, 0.1])


@pytest.mark.parametrize("asked", list(Asked))
def test_commits_are_called_by_their_repository_and_what_they_ask(asked: Asked) -> None:
    name = history_name("pool", asked)
    assert asked_in(name) is asked
    assert same(name, "pool")
    assert not same(name, "pools")
