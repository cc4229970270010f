"""Depth comes in steps, and answers use whatever is there."""

from __future__ import annotations

import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mosearch import ranking
from mosearch.candidates import Plan, plan
from mosearch.connection import Connection
from mosearch.engine import Engine
from mosearch.errors import CancelledError, StoreError
from mosearch.idle import reason_to_wait
from mosearch.lsp.folder import Folder
from mosearch.pace import Pace
from mosearch.progress import STAGES, Meter
from mosearch.ranking import Candidate
from mosearch.settings import load_settings
from mosearch.store import Coverage
from mosearch.types import Chunk, Depth, StoredChunk, SymbolKind, TextKind
from silent import Silent

FUNCTIONS = 90
"""More than go to the index exit at once."""


@pytest.fixture
def large(tmp_path: Path, use_tiny_model: Path) -> Path:
    root = tmp_path / "large"
    root.mkdir()
    for number in range(FUNCTIONS):
        text = f"def step_{number}(x):\n    doubled = x * {number}\n    return doubled + x\n"
        (root / f"module{number}.py").write_text(text)
    return root


@pytest.fixture
def engine(large: Path) -> Iterator[Engine]:
    settings = load_settings(large, {"deepen_load": 100_000, "rerank_budget_ms": 0})
    with Engine(large, settings) as engine:
        yield engine


def _vectors(engine: Engine) -> dict[int, int]:
    return dict(engine.store.coverage(engine.model.fingerprint).vectors)


def test_the_cheapest_exit_covers_all_first_and_answers(engine: Engine) -> None:
    report = engine.update(depth=Depth.FIRST)
    assert (report.chunks, report.embedded) == (FUNCTIONS, FUNCTIONS)
    assert _vectors(engine) == {0: FUNCTIONS}
    result = engine.search("step_7", 5)
    assert (result.exit, result.pending) == (0, FUNCTIONS)
    assert result.hits[0].chunk.symbol == "step_7"
    assert {hit.exit for hit in result.hits} == {0}


def test_going_on_reaches_every_depth_and_status_agrees_all_the_way(engine: Engine) -> None:
    engine.update(depth=Depth.FIRST)
    stages = []
    heard = threading.Event()

    def listen(status: object) -> None:
        stages.append(engine.status())
        if stages[-1].vectors == {0: FUNCTIONS, 1: FUNCTIONS, 2: FUNCTIONS}:
            heard.set()

    engine.on_status(listen)
    assert engine.go_on() == ""
    assert heard.wait(30)
    for status in stages:
        assert status.pending == FUNCTIONS - status.vectors[1]
        assert status.vectors[2] <= status.vectors[1] <= status.vectors[0]
    result = engine.search("step_7", 5)
    assert (result.exit, result.pending) == (2, 0)
    assert {hit.exit for hit in result.hits} == {2}


def test_what_is_cancelled_waits_for_the_next_change(large: Path) -> None:
    folder = Folder(large.resolve(), [("test", {"deepen_load": 100_000})], _CancelsOnce(), watch=False)
    folder.start()
    try:
        _until(lambda: folder.state.name == "cancelled")
        before = _vectors(folder.engine())
        assert before.get(1, 0) < FUNCTIONS
        time.sleep(2)
        assert _vectors(folder.engine()) == before
        assert folder.state.name == "cancelled"
        folder.request_update()
        _until(lambda: _vectors(folder.engine()) == {0: FUNCTIONS, 1: FUNCTIONS, 2: FUNCTIONS})
    finally:
        folder.stop(timeout=30)


def test_deepening_goes_on_with_the_engine_of_other_settings(
    large: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Pace, "reason_to_wait", lambda _, load: "load" if load < 100 else "")
    folder = Folder(large.resolve(), [("test", {"deepen_load": 50})], Silent(), watch=False)
    folder.start()
    try:
        _until(lambda: folder.state.name == "ready" and folder.engine().activity.stage == "paused")
        first = folder.engine()
        folder.configure([("test", {"deepen_load": 150, "threads": 1})])
        _until(lambda: _vectors(folder.engine()).get(2) == FUNCTIONS)
        assert folder.engine() is not first
    finally:
        folder.stop(timeout=30)


class _CancelsOnce(Silent):
    """An editor whose user stops the first run once the cheapest exit is at work."""

    def __init__(self) -> None:
        self._is_done = False

    def report(self, folder: Folder, stage: str, done: int, total: int) -> None:  # noqa: ARG002
        if stage in ("first", "embed") and not self._is_done:
            self._is_done = True
            folder.cancel()


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_each_hit_says_its_own_exit_while_depth_is_partial(engine: Engine) -> None:
    engine.update()
    some: set[str] = set()
    for item in engine.store.missing_texts(engine.model.fingerprint, 2):
        if len(some) < FUNCTIONS // 2:
            vectors = engine.store.get_vectors(engine.model.fingerprint, 1, [item.digest])
            engine.store.add_vectors(
                engine.model.fingerprint, 2, [item.digest], vectors[item.digest].reshape(1, -1)
            )
            some.add(item.digest)
    hits = engine.search("double a number and add it", FUNCTIONS).hits
    assert {hit.exit for hit in hits} == {1, 2}
    assert all((hit.exit == 2) == (hit.chunk.digest in some) for hit in hits if hit.exit is not None)


def test_as_many_hits_as_are_asked_for(engine: Engine, large: Path) -> None:
    functions = [f"def part_{number}(x):\n    y = x * {number}\n    return y + x\n" for number in range(300)]
    (large / "many.py").write_text("\n\n".join(functions))
    engine.update(depth=Depth.FIRST)
    assert len(engine.search("double a number and add it", 350, rerank=False).hits) == 350


def test_a_few_new_texts_go_to_the_index_exit_at_once(engine: Engine, large: Path) -> None:
    engine.update()
    (large / "new.py").write_text("def fresh(x):\n    y = x - 1\n    return y * y\n")
    assert engine.update(depth=Depth.FIRST).embedded == 1
    assert _vectors(engine) == {0: FUNCTIONS + 1, 1: FUNCTIONS + 1}


def test_deepening_keeps_away_from_who_asks_and_goes_on_later(engine: Engine) -> None:
    engine.update()
    cancel = threading.Event()
    thread = threading.Thread(target=_until_cancelled, args=(engine, cancel))
    engine.search("step", 1)
    thread.start()
    deadline = time.monotonic() + 60
    while engine.activity.reason != "in use":
        assert time.monotonic() < deadline
        engine.search("step", 1)
    assert _vectors(engine).get(2, 0) < FUNCTIONS
    deadline = time.monotonic() + 60
    while _vectors(engine).get(2) != FUNCTIONS:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    cancel.set()
    thread.join(10)
    assert not thread.is_alive()


def _until_cancelled(engine: Engine, cancel: threading.Event) -> None:
    try:
        engine.go_on(cancel=cancel)
    except CancelledError:
        assert cancel.is_set()


def test_a_missing_model_leaves_words_and_says_so(large: Path, tiny_model: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    with Engine(large, load_settings(large, {"model": str(model)})) as engine:
        assert "no model" in engine.update().warning
        result = engine.search("step_7", 3)
        assert result.hits[0].chunk.symbol == "step_7"
        assert "by words only" in result.warning
        assert "no model" in engine.status().trouble
        shutil.copytree(tiny_model, model)
        assert engine.update().embedded == FUNCTIONS
        assert engine.search("step_7", 3).warning == engine.status().trouble == ""


def test_a_search_in_an_index_that_is_closed_is_an_error_with_a_name(engine: Engine) -> None:
    engine.update(depth=Depth.WORDS)
    engine.close()
    with pytest.raises(StoreError, match="closed"):
        engine.search("step", 1)


def test_two_engines_share_the_work(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: Counter[tuple[str, int]] = Counter()
    encode = Connection.encode

    def counting(
        client: Connection, texts: Sequence[str], kind: TextKind, exits: Sequence[int], **options: Any
    ) -> Any:
        asked.update((text, exit) for text in texts for exit in exits)
        return encode(client, texts, kind, exits, **options)

    monkeypatch.setattr(Connection, "encode", counting)
    settings = load_settings(large)
    with Engine(large, settings) as one, Engine(large, settings) as other:
        one.update(depth=Depth.WORDS)
        threads = [threading.Thread(target=engine.update) for engine in (one, other)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert _vectors(one) == {0: FUNCTIONS, 1: FUNCTIONS}
    assert set(asked.values()) == {1}, "nothing is embedded twice"
    assert len(asked) == 2 * FUNCTIONS


def test_battery_and_load_are_reasons_to_wait(tmp_path: Path) -> None:
    power, pressure = tmp_path / "power", tmp_path / "cpu"
    _supply(power / "BAT0", type="Battery", status="Discharging")
    pressure.write_text("some avg10=30.00 avg60=0.00 avg300=0.00 total=1\n")
    assert reason_to_wait(100, power=power, pressure=pressure) == "battery"
    _supply(power / "BAT0", type="Battery", status="Discharging", scope="Device")
    assert reason_to_wait(100, power=power, pressure=pressure) == "", "a mouse"
    _supply(power / "BAT0", type="Battery", status="Discharging", scope="System")
    assert reason_to_wait(100, power=power, pressure=pressure) == "battery"
    _supply(power / "AC", type="Mains", online="1")
    assert reason_to_wait(100, power=power, pressure=pressure) == ""
    assert reason_to_wait(50, power=power, pressure=pressure) == "load"
    assert reason_to_wait(100_000, power=tmp_path / "none", pressure=tmp_path / "none") in ("", "battery")


def _supply(folder: Path, **values: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in values.items():
        (folder / name).write_text(value + "\n")


@pytest.mark.parametrize(
    ("vectors", "expected"),
    [
        ({}, Plan(0)),
        ({0: 10}, Plan(0)),
        ({0: 10, 3: 4}, Plan(0, (3,))),
        ({0: 10, 3: 10}, Plan(3)),
        ({0: 10, 3: 10, 6: 1}, Plan(3, (6,))),
        ({0: 10, 3: 10, 6: 10}, Plan(6)),
    ],
)
def test_the_base_is_the_deepest_exit_that_covers_all(vectors: dict[int, int], expected: Plan) -> None:
    assert plan(Coverage(10, vectors), (0, 3, 6)) == expected


def _candidates(count: int) -> list[Candidate]:
    return [Candidate(_stored(number), 1.0 - number / 100, 3) for number in range(count)]


def _stored(number: int) -> StoredChunk:
    text = f"f{number}"
    kind = SymbolKind.FUNCTION
    chunk = Chunk(text, "", kind, "python", number, number + 2, number, number, "", "", text, "", text)
    return StoredChunk("a.py", 1, chunk)


@given(st.dictionaries(st.integers(0, 19), st.floats(-1, 1)))
def test_deeper_scores_reorder_only_what_has_them(deep: dict[int, float]) -> None:
    before = _candidates(20)
    after = ranking.deepened(before, {f"f{number}": score for number, score in deep.items()}, 6)
    for place, candidate in enumerate(before):
        if place not in deep:
            assert after[place] == candidate
    scores = [candidate.score for candidate in after if candidate.exit == 6]
    assert len(scores) == len(deep)
    assert scores == sorted(scores, reverse=True)


def test_progress_never_goes_back() -> None:
    meter = Meter()
    shares = [
        meter.update(stage, done, total)
        for stage in STAGES
        for done, total in ((0, 0), (0, 5), (3, 5), (5, 5), (0, 5))
    ]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_turns_that_are_short_give_every_text_one_vector(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mosearch.embedding._TURN_S", 0.0)
    assert engine.update().embedded == FUNCTIONS
    assert engine.go_on() == ""
    assert _vectors(engine) == {0: FUNCTIONS, 1: FUNCTIONS, 2: FUNCTIONS}
