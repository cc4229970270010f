"""When code is similar: what two texts share, the probability made of it, and the fit behind it."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from mosearch import parsing
from mosearch.evaluation import likeness
from mosearch.evaluation.clones import MAKERS
from mosearch.ranking import FITTED, SIMILAR, Candidate, by_likeness
from mosearch.ranking.likeness import compared, signs
from mosearch.types import StoredChunk

CODE = """\
def mean_of(values, fallback):
    # nothing to divide by
    if not values:
        return fallback
    total = sum(values)
    count = len(values)
    return total / count
"""
OTHER = """\
def read_lines(path):
    with open(path, encoding="utf-8") as file:
        for line in file:
            yield line.rstrip()
"""
WEIGHTS = FITTED["mosearch-mini"]


def _stored(text: str, file: int = 1) -> StoredChunk:
    return StoredChunk(f"f{file}.py", file, parsing.parse(text.encode(), "python").chunks[0])


@pytest.mark.parametrize("how", MAKERS)
def test_a_clone_keeps_its_shape(how: str) -> None:
    clone = MAKERS[how](CODE, random.Random(0))
    assert clone != CODE
    shared = compared(signs(CODE), signs(clone), foreign=False)
    assert shared.shape > (0.4 if "reordered" in how else 0.99)
    assert compared(signs(CODE), signs(OTHER), foreign=False).shape < 0.3
    assert shared.length < 0.01
    assert shared.foreign == 0
    if "renamed" not in how:
        assert shared.words == 1


def test_literals_are_the_same_in_every_language() -> None:
    python = signs("def toll(kind):\n    return 120 if kind == 'lorry' else 0.5")
    go = signs('func toll(kind string) float64 {\n\tif kind == "lorry" { return 120 }\n\treturn 0.5\n}')
    assert python.literals == {"120", "lorry", "0.5"}
    shared = compared(python, go, foreign=True)
    assert shared.literals == 1
    assert shared.common == pytest.approx(np.log(1 + len({"toll", "kind", "lorry", "120", "0", "5"})))
    assert compared(signs(OTHER), signs("x = y"), foreign=False).literals == 0
    assert compared(signs("x = y"), signs("x = y"), foreign=False).literals == 0


def test_renaming_keeps_what_is_called() -> None:
    clone = MAKERS["variables renamed"](CODE, random.Random(0))
    assert "sum(" in clone
    assert "total" not in clone
    assert "mean_of" not in clone


@pytest.mark.parametrize("text", ["", "\n", "'''", '"unclosed', "/* open", "\x00\ud800", "ünïcode ≠ ①"])
def test_signs_never_fail(text: str) -> None:
    assert 0 <= compared(signs(text), signs(CODE), foreign=True).words <= 1


@pytest.mark.parametrize("exit", WEIGHTS)
def test_the_same_text_is_certain_and_other_code_is_not_similar(exit: int) -> None:
    asked = _stored(CODE)
    copy = Candidate(_stored(CODE, 2), 1.0, exit)
    clone = Candidate(_stored(CODE.replace("total", "whole").replace("count", "n"), 3), 0.8, exit)
    other = Candidate(_stored(OTHER, 4), 0.45, exit)
    ranked = by_likeness(asked.chunk, [other, clone, copy], WEIGHTS)
    assert [item.stored.path for item in ranked] == ["f2.py", "f3.py", "f4.py"]
    assert ranked[0].score == 1
    assert SIMILAR <= ranked[1].score < 1
    assert ranked[2].score < 0.2


def test_code_of_unknown_language_is_not_foreign() -> None:
    asked, near = _stored(CODE).chunk, Candidate(_stored(OTHER), 0.7, 0)
    scores = {
        language: by_likeness(replace(asked, language=language), [near], WEIGHTS)[0].score
        for language in ("", "python", "go")
    }
    assert scores[""] == scores["python"] < scores["go"]


def test_a_higher_cosine_never_makes_less_likely() -> None:
    shared = compared(signs(CODE), signs(OTHER), foreign=False)
    for weights in WEIGHTS.values():
        found = [weights.probability(cosine, shared) for cosine in (-1.0, 0.0, 0.5, 0.9, 1.0)]
        assert found == sorted(found)


def test_the_fit_finds_what_tells_pairs_apart() -> None:
    random_ = np.random.default_rng(0)
    similar = np.arange(400) % 2 == 0
    features = random_.normal(0, 1, (400, 9))
    features[:, 0] = 1
    features[:, 3] += 3 * similar
    found = likeness.fit(likeness.Pairs(features, similar, np.arange(400), 0))
    assert found.area > 0.95 > found.cosine_area
    assert found.weights.shape > 1 > abs(found.weights.words)
    least, recall = likeness.cut(found.held_out, similar)
    assert (similar[found.held_out >= least]).mean() >= likeness.PRECISION
    assert recall > 0.9
    assert sum(count for _, count, _, _ in likeness.bins(found.held_out, similar)) == 400


def test_nobody_has_labelled_pairs_within_one_project() -> None:
    items = [
        likeness.Item(CODE, "python", "a 0", "a", True),
        likeness.Item(CODE.replace("total", "x"), "python", "a 0", "a", False),
        likeness.Item(OTHER, "python", "a 1", "a", False),
        likeness.Item(OTHER, "python", "b 0", "b", False),
    ]
    found = likeness.pairs(items, np.eye(4, dtype=np.float32))
    assert found.similar.tolist() == [True, False]
