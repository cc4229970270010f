"""Searches answer as a plain scan over the live chunks would."""

from __future__ import annotations

import os
import secrets
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from mosearch.store import Store, _matrix
from mosearch.store._directory import among, distinct
from mosearch.store._prune import prune
from mosearch.store._vectors import VectorTable
from mosearch.text import digest
from mosearch.types import Chunk, FileRecord, Filters, StoredChunk, SymbolKind

MODEL = "0123456789abcdef" * 4
EXIT = 2
DIM = 16
ANY = Filters()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "index", tmp_path / "vectors") as opened:
        yield opened


@pytest.fixture(params=["in memory", "by index"])
def searched(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """How vectors are searched: small tables in memory, large ones by LanceDB."""
    if request.param == "by index":
        monkeypatch.setattr("mosearch.store._matrix.MOST_ROWS", 0)


def put(
    store: Store,
    path: str,
    bodies: Sequence[str],
    *,
    language: str = "python",
    kind: SymbolKind = SymbolKind.FUNCTION,
) -> list[StoredChunk]:
    """Commits a file whose chunks have these bodies, which are their terms too."""
    file_id = secrets.randbits(63)
    chunks = [
        Chunk(
            symbol=f"F{i}",
            container="",
            kind=kind,
            language=language,
            start_byte=i * 10,
            end_byte=i * 10 + 9,
            start_line=i,
            end_line=i,
            signature="",
            docstring="",
            text=body,
            context="",
            digest=digest(body),
        )
        for i, body in enumerate(bodies)
    ]
    stored = [StoredChunk(path, file_id, chunk) for chunk in chunks]
    store.commit([FileRecord(path, file_id, 1, 1, "", language, len(chunks))], stored, list(bodies))
    return stored


def unit(rows: int, seed: int = 0, dim: int = DIM) -> NDArray[np.float16]:
    vectors = np.random.default_rng(seed).standard_normal((rows, dim))
    normed: NDArray[np.float64] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return normed.astype(np.float16)


def bodies_of(hits: Sequence[tuple[StoredChunk, float]]) -> list[str]:
    return [hit.chunk.text for hit, _ in hits]


# Vectors


def embed(store: Store, bodies: Sequence[str], seed: int = 0) -> NDArray[np.float32]:
    vectors = unit(len(bodies), seed)
    store.add_vectors(MODEL, EXIT, [digest(body) for body in bodies], vectors)
    return vectors.astype(np.float32)


@pytest.mark.usefixtures("searched")
@pytest.mark.parametrize("is_optimized", [False, True])
def test_vector_search_ranks_by_cosine(store: Store, is_optimized: bool) -> None:
    bodies = [f"body {i}" for i in range(60)]
    put(store, "a.py", bodies[:30])
    put(store, "b.py", bodies[30:])
    vectors = embed(store, bodies)
    if is_optimized:
        assert store.optimize()
    query = np.random.default_rng(9).standard_normal(DIM).astype(np.float32)

    hits = store.search_vectors(MODEL, EXIT, query, 7, ANY)

    expected = vectors @ query / np.linalg.norm(query)
    order = np.argsort(-expected)[:7]
    assert bodies_of(hits) == [bodies[i] for i in order]
    assert [score for _, score in hits] == pytest.approx(expected[order].tolist(), abs=5e-3)


@pytest.mark.usefixtures("searched")
def test_similarities_are_those_of_the_vectors_however_they_came(store: Store) -> None:
    """Written before the first question, after it, by another process, a moment later; or not at all."""
    vectors = dict(zip((digest(f"body {i}") for i in range(50)), unit(50), strict=True))
    names = list(vectors)
    query = unit(1, seed=3)[0].astype(np.float32)
    absent = digest("absent")

    def write(into: Store, some: Sequence[str]) -> None:
        into.add_vectors(MODEL, EXIT, some, np.stack([vectors[name] for name in some]))

    def check(known: int) -> None:
        found = store.similarities(MODEL, EXIT, query, [absent, *reversed(names)])
        assert set(found) == set(names[:known])
        exact = {name: float(vectors[name].astype(np.float32) @ query) for name in found}
        assert found == pytest.approx(exact, abs=5e-3)

    check(0)
    write(store, names[:20])
    check(20)
    write(store, names[10:30])
    check(30)
    with Store.open(store.index_dir, store.vectors_dir) as other:
        write(other, names[25:40])
        check(40)
        write(store, names[40:45])
        check(45)
    store.add_vectors_later(MODEL, EXIT, {name: vectors[name] for name in names[45:]})
    check(50)


def test_vectors_of_questions_that_follow_one_another_are_one_write(store: Store) -> None:
    names = [digest(f"body {i}") for i in range(6)]
    for start, vector in enumerate(unit(6)):
        store.add_vectors_later(MODEL, EXIT, {names[start]: vector})
    store.close()
    with Store.open(store.index_dir, store.vectors_dir) as again:
        assert again.known_digests(MODEL, EXIT, names) == set(names)
        table = again._tables.vectors.find(MODEL, EXIT)
        assert table is not None
        assert table.fragments() == 1


def test_what_this_process_wrote_is_not_read_back(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    bodies = [f"body {i}" for i in range(30)]
    put(store, "a.py", bodies)
    vectors = unit(30)
    digests = [digest(body) for body in bodies]
    store.add_vectors(MODEL, EXIT, digests[:10], vectors[:10])
    assert len(store.search_vectors(MODEL, EXIT, vectors[0], 30, ANY)) == 10
    monkeypatch.setattr("mosearch.store._matrix._read", None)
    store.add_vectors(MODEL, EXIT, digests[5:], vectors[5:])
    assert sorted(bodies_of(store.search_vectors(MODEL, EXIT, vectors[0], 50, ANY))) == sorted(bodies)


def test_what_is_read_while_it_is_written_counts_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    bodies = [f"body {i}" for i in range(30)]
    put(store, "a.py", bodies)
    digests, vectors = [digest(body) for body in bodies], unit(30)
    store.add_vectors(MODEL, EXIT, digests[:10], vectors[:10])
    read = _matrix._read
    writing: list[threading.Thread] = []

    def write_first(table: VectorTable, old: _matrix.Matrix | None) -> _matrix.Matrix:
        before = table.rows()
        writing.append(threading.Thread(target=store.add_vectors, args=(MODEL, EXIT, digests, vectors)))
        writing[0].start()
        while table.rows() == before:
            time.sleep(0.01)
        return read(table, old)

    with monkeypatch.context() as patch:
        patch.setattr(_matrix, "_read", write_first)
        store.search_vectors(MODEL, EXIT, vectors[0], 5, ANY)
    writing[0].join()
    assert sorted(bodies_of(store.search_vectors(MODEL, EXIT, vectors[0], 50, ANY))) == sorted(bodies)


@pytest.mark.usefixtures("searched")
def test_vectors_without_live_chunks_are_passed_over(store: Store) -> None:
    """As when another worktree has put thousands of better neighbours into the shared folder."""
    foreign = [f"foreign {i}" for i in range(3000)]
    query = unit(1, seed=5)[0].astype(np.float32)
    close = (query + 0.01 * unit(3000, seed=6).astype(np.float32)).astype(np.float16)
    store.add_vectors(MODEL, EXIT, [digest(body) for body in foreign], close)
    own = [f"own {i}" for i in range(5)]
    put(store, "a.py", own)
    embed(store, own, seed=7)

    assert len(store.search_vectors(MODEL, EXIT, query, 4, ANY)) == 4
    assert sorted(bodies_of(store.search_vectors(MODEL, EXIT, query, 9, ANY))) == own


@given(st.lists(st.integers(0, 20)), st.lists(st.integers(0, 20)))
def test_keys_are_found_among_sorted_ones(keys: list[int], others: list[int]) -> None:
    ordered = np.array(sorted(others), np.uint64)
    assert among(np.array(keys, np.uint64), ordered).tolist() == [key in others for key in keys]
    assert distinct(ordered).tolist() == sorted(set(others))


@pytest.mark.usefixtures("searched")
def test_approximate_index_finds_what_a_scan_finds(store: Store) -> None:
    bodies = [f"body {i}" for i in range(1500)]
    put(store, "a.py", bodies)
    # Like real embeddings, these lie near a space of few dimensions.
    spread = unit(1521, dim=12).astype(np.float32) @ np.random.default_rng(1).standard_normal((12, 128))
    vectors = (spread / np.linalg.norm(spread, axis=1, keepdims=True)).astype(np.float32)
    digests = [digest(body) for body in bodies]
    store.add_vectors(MODEL, EXIT, digests, vectors[:1500].astype(np.float16))
    assert store.optimize(ann_rows=1000)
    put(store, "late.py", ["late"])
    store.add_vectors(MODEL, EXIT, [digest("late")], vectors[-1:].astype(np.float16))
    found = 0
    for query in vectors[1500:1520]:
        hits = store.search_vectors(MODEL, EXIT, query, 10, ANY)
        wanted = {bodies[i] for i in np.argsort(-(vectors[:1500] @ query))[:10]}
        found += len(wanted & set(bodies_of(hits)))
        assert [score for _, score in hits] == sorted((score for _, score in hits), reverse=True)
    assert found >= 0.9 * 200
    assert bodies_of(store.search_vectors(MODEL, EXIT, vectors[-1], 1, ANY)) == ["late"]


@pytest.mark.parametrize("way", ["compared", "named", "widened"])
def test_filters_find_what_a_scan_finds_however_much_they_allow(
    store: Store, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr("mosearch.store._matrix.MOST_ROWS", 0)
    if way != "compared":
        monkeypatch.setattr("mosearch.store._nearest._COMPARE_ALL", 0)
    if way == "widened":
        monkeypatch.setattr("mosearch.store._nearest._NAME_ALL", 0)
    common, rare = [f"go {i}" for i in range(1400)], [f"rust {i}" for i in range(100)]
    put(store, "a.go", common, language="go")
    put(store, "b.rs", rare, language="rust")
    bodies = [*common, *rare]
    spread = unit(1505, dim=12).astype(np.float32) @ np.random.default_rng(1).standard_normal((12, 128))
    vectors = (spread / np.linalg.norm(spread, axis=1, keepdims=True)).astype(np.float32)
    digests = [digest(body) for body in bodies]
    store.add_vectors(MODEL, EXIT, digests, vectors[:1500].astype(np.float16))
    assert store.optimize(ann_rows=1000)
    only_rust = Filters(languages=frozenset({"rust"}))
    found = 0
    for query in vectors[1500:]:
        hits = store.search_vectors(MODEL, EXIT, query, 20, only_rust)
        similarity = dict(zip(rare, (vectors[1400:1500] @ query).tolist(), strict=True))
        nearest = sorted(rare, key=similarity.__getitem__, reverse=True)[:20]
        found += len(set(nearest) & set(bodies_of(hits)))
        assert len(hits) == 20
        assert [score for _, score in hits] == sorted((score for _, score in hits), reverse=True)
        for body, (_, score) in zip(bodies_of(hits), hits, strict=True):
            assert score == pytest.approx(
                similarity[body], abs=2e-3
            )  # a KeyError is a hit in another language
    # A neighbour whose one bit a dimension looks far away may be overlooked: one in 100, in one of ten runs.
    assert found == 100 if way != "widened" else found >= 98


@pytest.mark.usefixtures("searched")
def test_filters_that_allow_much_are_exact_beyond_the_approximate_index(store: Store) -> None:
    many = [f"go {i}" for i in range(2100)]
    put(store, "x/a.go", many, language="go")
    put(store, "y/b.py", ["py"])
    vectors = embed(store, [*many, "py"])
    store.optimize(ann_rows=1000)
    only_go = Filters(languages=frozenset({"go"}))

    hits = store.search_vectors(MODEL, EXIT, vectors[-1], 2100, only_go)

    assert set(bodies_of(hits)) == set(many)


@pytest.mark.usefixtures("searched")
@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (Filters(languages=frozenset({"go"})), {"three"}),
        (Filters(kinds=frozenset({SymbolKind.CLASS})), {"two"}),
        (Filters(path_globs=("src/**",)), {"one", "two"}),
        (Filters(path_globs=("*.py", "!src/b.py")), {"one"}),
        (Filters(path_globs=("!src/",)), {"three"}),
        (Filters(path_globs=("nowhere/",)), set()),
        (Filters(languages=frozenset({"python"}), kinds=frozenset({SymbolKind.FUNCTION})), {"one"}),
        (Filters(languages=frozenset({"o'caml"})), set()),
    ],
)
def test_filters_hold_for_both_searches(store: Store, filters: Filters, expected: set[str]) -> None:
    put(store, "src/a.py", ["one"])
    put(store, "src/b.py", ["two"], kind=SymbolKind.CLASS)
    put(store, "lib/c.go", ["three"], language="go")
    vectors = embed(store, ["one", "two", "three"])

    assert set(bodies_of(store.search_vectors(MODEL, EXIT, vectors[0], 9, filters))) == expected
    assert set(bodies_of(store.search_text(["one", "two", "three"], 9, filters))) == expected


@pytest.mark.usefixtures("searched")
def test_one_text_in_many_files_is_embedded_once_and_does_not_flood(store: Store) -> None:
    for i in range(20):
        put(store, f"copy{i}.py", ["same"])
    put(store, "other.py", ["other"])
    vectors = embed(store, ["same", "other"])

    hits = store.search_vectors(MODEL, EXIT, vectors[0], 12, ANY)

    assert store.stats().vectors == {(MODEL[:16], EXIT): 2}
    assert bodies_of(hits)[-1] == "other"
    assert 2 <= bodies_of(hits).count("same") < 20
    assert sum(len(store.chunks_of(f"copy{i}.py")) for i in range(20)) == 20


@pytest.mark.usefixtures("searched")
def test_models_and_exits_are_kept_apart(store: Store) -> None:
    put(store, "a.py", ["one"])
    vectors = embed(store, ["one"])
    other = "f" * 64

    assert store.known_digests(MODEL, EXIT, [digest("one"), digest("two")]) == {digest("one")}
    assert store.known_digests(MODEL, EXIT + 1, [digest("one")]) == set()
    assert store.search_vectors(other, EXIT, vectors[0], 3, ANY) == []
    assert store.get_vectors(other, EXIT, [digest("one")]) == {}
    assert [text.text for text in store.missing_texts(other, EXIT)] == ["one"]
    assert store.missing_texts(MODEL, EXIT).total == 0


def test_a_vector_is_saved_once_and_comes_back_bit_for_bit(store: Store) -> None:
    digests = [digest(str(i)) for i in range(700)]
    vectors = unit(700)
    store.add_vectors(MODEL, EXIT, digests[:10], vectors[:10])
    store.add_vectors(MODEL, EXIT, digests, vectors[::-1].copy())

    back = store.get_vectors(MODEL, EXIT, [*digests, digest("unknown")])

    assert store.stats().vectors == {(MODEL[:16], EXIT): 700}
    assert set(back) == set(digests)
    assert all((back[d] == vectors[i]).all() for i, d in enumerate(digests[:10]))
    assert all((back[d] == vectors[699 - i]).all() for i, d in enumerate(digests) if i >= 10)


@pytest.mark.parametrize(
    "vectors",
    [
        np.zeros((1, 4), np.float32),
        np.zeros((2, 4), np.float16),
        np.zeros(4, np.float16),
        np.full((1, 4), np.nan, np.float16),
    ],
)
def test_vectors_of_the_wrong_kind_are_refused(store: Store, vectors: NDArray[np.float16]) -> None:
    with pytest.raises(ValueError, match=r"float16|finite"):
        store.add_vectors(MODEL, EXIT, [digest("one")], vectors)
    assert store.stats().vectors == {}


def test_a_query_without_direction_is_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="no direction"):
        store.search_vectors(MODEL, EXIT, np.zeros(DIM), 3, ANY)


def test_old_vectors_that_no_worktree_uses_are_pruned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, month = time.time(), 31 * 86_400
    with (
        Store.open(tmp_path / "one", tmp_path / "shared") as one,
        Store.open(tmp_path / "two", tmp_path / "shared") as two,
        Store.open(tmp_path / "gone", tmp_path / "shared") as gone,
    ):
        put(one, "a.py", ["in one"])
        put(two, "b.py", ["in two"])
        put(gone, "c.py", ["in gone"])
        embed(one, ["in one", "in two", "in gone", "old 1", "old 2", "old 3"])
        monkeypatch.setattr("mosearch.store._vectors.time.time", lambda: start + month)
        embed(one, ["young"], seed=1)
        shutil.rmtree(tmp_path / "gone")

        assert one.optimize()

        texts = ["in one", "in two", "in gone", "old 1", "old 2", "old 3", "young"]
        kept = one.known_digests(MODEL, EXIT, [digest(text) for text in texts])
        assert kept == {digest(text) for text in ("in one", "in two", "young")}
        assert one.files().keys() == {"a.py"}
        assert two.missing_texts(MODEL, EXIT).total == 0


def test_nearly_as_many_unused_vectors_as_used_ones_are_thinned_out_however_young(store: Store) -> None:
    live = [f"live {number}" for number in range(20)]
    put(store, "a.py", live)
    embed(store, live)
    unused = [f"unused {number}" for number in range(2_050)]
    embed(store, unused, seed=1)
    assert store.optimize()
    kept = store.known_digests(MODEL, EXIT, [digest(text) for text in live + unused])
    assert kept >= {digest(text) for text in live}
    assert len(kept) == len(live) + 1_000


def test_nothing_is_committed_while_unused_vectors_are_dropped(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A text that was typed has its vector before the file is saved: it must not go at that very moment."""
    put(store, "a.py", ["live"])
    texts = [f"unused {number}" for number in range(2_050)]
    embed(store, ["live", *texts])
    delete = VectorTable.delete
    saving: list[threading.Thread] = []
    were_kept_off: list[bool] = []

    def delete_while_somebody_saves(table: VectorTable, digests: Sequence[bytes]) -> None:
        saved = next(text for text in texts if bytes.fromhex(digest(text)) in digests)
        saving.append(threading.Thread(target=put, args=(other, "b.py", [saved])))
        saving[0].start()
        saving[0].join(0.3)
        were_kept_off.append(saving[0].is_alive())
        delete(table, digests)

    monkeypatch.setattr(VectorTable, "delete", delete_while_somebody_saves)
    with Store.open(tmp_path / "index", tmp_path / "vectors") as other:
        assert store.optimize()
        saving[0].join()
    assert were_kept_off == [True]
    assert store.coverage(MODEL).missing(EXIT) == 1


def test_unused_vectors_stay_while_somebody_writes_for_long(store: Store) -> None:
    put(store, "a.py", ["live"])
    unused = [f"unused {number}" for number in range(2_050)]
    embed(store, ["live", *unused])
    is_writing, may_end = threading.Event(), threading.Event()

    def write() -> None:
        with store.writer_lock():
            is_writing.set()
            may_end.wait()

    writing = threading.Thread(target=write)
    writing.start()
    is_writing.wait()
    try:
        assert prune(store._tables, store.vectors_dir) == 0
    finally:
        may_end.set()
        writing.join()
    assert prune(store._tables, store.vectors_dir) == 1_050


def test_the_vectors_of_other_models_go_when_asked_or_after_a_month(store: Store) -> None:
    put(store, "a.py", ["one"])
    embed(store, ["one"])
    other = "fedcba9876543210" * 4
    store.add_vectors(other, EXIT, [digest("one")], np.ones((1, DIM), np.float16))
    store.note_model(MODEL)
    store.note_model(other)
    assert store.optimize()
    assert store.coverage(other).vectors == {EXIT: 1}
    for note in (store.vectors_dir / "models").iterdir():
        if not MODEL.startswith(note.name):
            os.utime(note, (0, 0))
    assert store.optimize()
    assert store.coverage(other).vectors == {}
    store.add_vectors(other, EXIT, [digest("one")], np.ones((1, DIM), np.float16))
    assert store.drop_other_models(MODEL) == 1
    assert store.coverage(MODEL).vectors == {EXIT: 1}


# Full text


def test_rows_that_another_process_moved_are_found_by_their_words(store: Store, tmp_path: Path) -> None:
    for number in range(4):
        put(store, f"{number}.py", [f"common{number} shared"])
    chunks, snapshot = store._tables.chunks, store._tables.files.snapshot()
    before = chunks.directory(snapshot)
    with Store.open(tmp_path / "index", tmp_path / "vectors") as other:
        assert other.optimize()
    rows = chunks._table.search().select(["file_id"]).with_row_id(True).to_arrow().column("_rowid").to_numpy()
    assert before.places_of(rows) == [None] * 4
    after = chunks.directory(snapshot)
    assert chunks._places(rows, before) == after.places_of(rows)
    assert None not in after.places_of(rows)
    assert after.places_of(np.array([2**60], np.uint64)) == [None]


@pytest.mark.parametrize("is_optimized", [False, True])
def test_text_search_is_right_before_and_after_indexing(store: Store, is_optimized: bool) -> None:
    put(store, "a.py", ["the parse json", "parse the tree", "running"])
    put(store, "b.py", ["json json json", "Zebra"])
    if is_optimized:
        assert store.optimize()

    def find(*terms: str) -> list[str]:
        return bodies_of(store.search_text(terms, 9, ANY))

    assert find("json") == ["json json json", "the parse json"]
    assert find("parse", "json")[0] == "the parse json"
    assert set(find("the")) == {"the parse json", "parse the tree"}
    assert find("run") == []
    assert find("zebra") == []
    assert find("Zebra") == ["Zebra"]
    assert find() == []
    assert find(" ") == []


@pytest.mark.parametrize(
    "term",
    [
        '"',
        "a:b",
        "c++",
        "foo*",
        "(x",
        "-y",
        "+z",
        "a AND",
        "body:x",
        "naïve",
        "変数",
        "it's",
        "\\",
        "%",
        "x" * 300,
    ],
)
@pytest.mark.parametrize("is_optimized", [False, True])
def test_no_character_in_a_term_is_query_syntax(store: Store, term: str, is_optimized: bool) -> None:
    put(store, "a.py", [term, "unrelated"])
    if is_optimized:
        store.optimize()
    assert bodies_of(store.search_text([term], 9, ANY)) == [term]


def test_maintenance_is_due_after_many_rows_or_writes_and_not_after_it(store: Store) -> None:
    put(store, "a.py", ["few"])
    assert not store.maintenance_due()
    put(store, "b.py", [f"many {i}" for i in range(1100)])
    assert store.maintenance_due()
    store.optimize()
    assert not store.maintenance_due()
    for i in range(70):
        put(store, "c.py", [f"edit {i}"])
    assert store.maintenance_due()
    store.optimize()
    assert not store.maintenance_due()
    embed(store, [f"vector {i}" for i in range(300)])
    assert store.maintenance_due(ann_rows=300)
    assert store.optimize(ann_rows=300)
    assert not store.maintenance_due(ann_rows=300)


@pytest.mark.usefixtures("searched")
def test_dead_rows_do_not_crowd_out_live_ones(store: Store) -> None:
    for _ in range(150):
        put(store, "a.py", ["needle needle"])
    put(store, "b.py", ["needle and much more text than that"])
    embed(store, ["needle needle", "needle and much more text than that"])

    assert [h.path for h, _ in store.search_text(["needle"], 2, ANY)] == ["a.py", "b.py"]
    assert [c.path for c in store.symbols(["f0"], 2)] == ["a.py", "b.py"]
    store.remove(["a.py"])
    assert [h.path for h, _ in store.search_text(["needle"], 2, ANY)] == ["b.py"]
    query = unit(1)[0]
    assert [h.path for h, _ in store.search_vectors(MODEL, EXIT, query, 2, ANY)] == ["b.py"]


def test_symbols_ignore_case_and_respect_the_limit(store: Store) -> None:
    put(store, "a.py", ["one", "two"])
    put(store, "b.py", ["three"])

    assert [(c.path, c.chunk.symbol) for c in store.symbols(["F0"], 9)] == [("a.py", "F0"), ("b.py", "F0")]
    assert [c.chunk.text for c in store.symbols(["f1", "nope'; --"], 9)] == ["two"]
    assert len(store.symbols(["f0", "f1"], 2)) == 2
    assert store.symbols([], 9) == []


def test_what_others_write_and_remove_is_seen_by_who_has_it_in_memory(store: Store) -> None:
    with Store.open(store.index_dir, store.vectors_dir) as other:
        query = unit(1, seed=3)[0]
        close = (query.astype(np.float32) + 0.1 * unit(3000, seed=4).astype(np.float32)).astype(np.float16)
        close /= np.linalg.norm(close.astype(np.float32), axis=1, keepdims=True).astype(np.float16)
        for number, count in enumerate((3, 2500, 7)):
            bodies = [f"{number} {i}" for i in range(count)]
            put(other, f"{number}.py", bodies)
            assert f"{number}.py" not in {h.path for h, _ in store.search_vectors(MODEL, EXIT, query, 9, ANY)}
            other.add_vectors(MODEL, EXIT, [digest(body) for body in bodies], close[:count])
            found = store.search_vectors(MODEL, EXIT, query, 4000, ANY)
            assert sorted(bodies_of(found)) == sorted(
                bodies_of(other.search_vectors(MODEL, EXIT, query, 4000, ANY))
            )
            assert {f"{number}.py"} <= {hit.path for hit, _ in found}
        assert other.optimize()
        other.remove(["1.py"])
        assert {h.path for h, _ in store.search_vectors(MODEL, EXIT, query, 4000, ANY)} == {"0.py", "2.py"}


def test_memory_for_vectors_is_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mosearch.store._matrix.MOST_ROWS", 10)
    bodies = [f"body {i}" for i in range(11)]
    put(store, "a.py", bodies)
    for exit in range(5):
        rows = 11 if exit == 4 else 10
        digests = [digest(body) for body in bodies[:rows]]
        store.add_vectors(MODEL, exit, digests, unit(11, seed=exit)[:rows])
    for exit in (0, 1, 2, 0, 4, 3):
        vectors = unit(11, seed=exit).astype(np.float32)
        hits = store.search_vectors(MODEL, exit, vectors[3], 1, ANY)
        assert bodies_of(hits) == ["body 3"]
        assert hits[0][1] == pytest.approx(1, abs=1e-3)
        assert sum(len(matrix.rows) for _, _, matrix in store._matrices._known.values()) <= 3 * 10


def test_exits_that_are_asked_in_turn_are_read_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mosearch.store._matrix.MOST_ROWS", 10)
    bodies = [f"body {i}" for i in range(10)]
    put(store, "a.py", bodies)
    exits = (0, 3, 6)
    for exit in exits:
        store.add_vectors(MODEL, exit, [digest(body) for body in bodies], unit(10, seed=exit))

    def ask() -> None:
        for exit in exits:
            query = unit(10, seed=exit).astype(np.float32)[3]
            assert bodies_of(store.search_vectors(MODEL, exit, query, 1, ANY)) == ["body 3"]

    ask()
    monkeypatch.setattr("mosearch.store._matrix._read", None)
    ask()


def test_words_are_indexed_while_many_chunks_are_written(store: Store) -> None:
    put(store, "a.py", [f"early {i}" for i in range(2000)])
    store.index_words()
    assert store._tables.chunks.unindexed() == 2000
    put(store, "b.py", [f"late {i}" for i in range(1500)])
    store.index_words()
    assert store._tables.chunks.unindexed() == 0
    put(store, "c.py", [f"last {i}" for i in range(1500)])
    store.index_words()
    assert store._tables.chunks.unindexed() == 1500
    for word, path in (("early", "a.py"), ("late", "b.py"), ("last", "c.py")):
        assert {hit.path for hit, _ in store.search_text([word], 9, ANY)} == {path}


def test_a_growing_index_may_pass_over_many_words_that_are_not_merged(store: Store) -> None:
    def found(*, is_growing: bool) -> set[str]:
        hits = store.search_text(["word"], 9000, ANY, is_growing=is_growing)
        return {hit.path for hit, _ in hits}

    put(store, "c.py", [f"word {i}" for i in range(3001)])
    assert found(is_growing=True) == {"c.py"}, "nothing is merged yet"
    store.remove(["c.py"])
    store.sweep()
    put(store, "a.py", [f"word {i}" for i in range(100)])
    store.optimize()
    put(store, "b.py", [f"word {i}" for i in range(100)])
    assert found(is_growing=True) == {"a.py", "b.py"}
    put(store, "c.py", [f"word {i}" for i in range(3000)])
    assert found(is_growing=True) == {"a.py"}
    assert found(is_growing=False) == {"a.py", "b.py", "c.py"}
