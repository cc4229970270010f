"""Ranking: text analysis, query reading, fusion, rules and selection."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mosearch import ranking
from mosearch.ranking import Candidate
from mosearch.ranking.rules import traits
from mosearch.ranking.terms import fold
from mosearch.text import digest, split_identifier
from mosearch.types import Chunk, StoredChunk, SymbolKind


def _stored(
    symbol: str = "f",
    *,
    path: str = "src/a.py",
    file_id: int = 1,
    start: int = 0,
    text: str = "",
    kind: SymbolKind = SymbolKind.FUNCTION,
    language: str = "python",
    container: str = "",
    part: int = 0,
    parts: int = 1,
) -> StoredChunk:
    text = text or f"def {symbol}(): {start}"
    chunk = Chunk(
        symbol=symbol,
        container=container,
        kind=kind,
        language=language,
        start_byte=start,
        end_byte=start + len(text),
        start_line=start,
        end_line=start,
        signature=f"def {symbol}()",
        docstring="",
        text=text,
        context="",
        digest=digest(text),
        part=part,
        parts=parts,
    )
    return StoredChunk(path, file_id, chunk)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("parseHTTPResponse_v2", ["parse", "HTTP", "Response", "v", "2"]),
        ("__init__", ["init"]),
        ("IOError", ["IO", "Error"]),
        ("MAX_RETRIES", ["MAX", "RETRIES"]),
        ("größe", ["gr", "öß", "e"]),
        ("变量名", ["变量名"]),
        ("sha256sum", ["sha", "256", "sum"]),
        ("", []),
    ],
)
def test_split_identifier(name: str, words: list[str]) -> None:
    assert split_identifier(name) == words


@pytest.mark.parametrize(
    ("word", "folded"),
    [
        ("retries", "retry"),
        ("caches", "cache"),
        ("files", "file"),
        ("class", "class"),
        ("status", "status"),
        ("bus", "bus"),
        ("is", "is"),
        ("series", "sery"),
        ("queries", "query"),
    ],
)
def test_plurals_fold_alike_in_query_and_index(word: str, folded: str) -> None:
    assert fold(word) == folded


def test_terms_hold_words_and_whole_identifier() -> None:
    assert ranking.terms_of_text("self.parseHTTPResponse(x)") == [
        "self",
        "parse",
        "http",
        "response",
        "parsehttpresponse",
        "x",
    ]


@given(st.text())
def test_terms_are_plain_words_whatever_the_text(text: str) -> None:
    for term in ranking.terms_of_text(text):
        assert term
        assert not any(letter.isspace() for letter in term)


@pytest.mark.parametrize(
    ("text", "terms", "symbols", "is_symbol"),
    [
        ("where are retries decided", ("retry", "decided"), set(), False),
        ("HTTPPool.acquire", ("http", "pool", "httppool", "acquire"), {"acquire"}, True),
        ("foo_bar", ("foo", "bar", "foobar"), {"foo_bar"}, True),
        ("std::vector::push_back", ("std", "vector", "push", "back", "pushback"), {"push_back"}, True),
        ("how does parse_args() work", ("parse", "arg", "parseargs", "work"), {"parse_args"}, False),
        ("who calls run() at exit", ("call", "run", "exit"), {"run"}, False),
        ("send an HTTP request", ("send", "http", "request"), set(), False),
        ("where is it", ("where", "is", "it"), set(), False),
        ("", (), set(), False),
    ],
)
def test_parse_query(text: str, terms: tuple[str, ...], symbols: set[str], is_symbol: bool) -> None:
    query = ranking.parse_query(text)
    assert query.terms == terms
    assert query.symbols == symbols
    assert query.is_symbol is is_symbol


def test_fusion_rewards_agreement_and_keeps_the_dense_exit() -> None:
    both, only_words, only_dense = _stored("a", start=1), _stored("b", start=2), _stored("c", start=3)
    fused = ranking.fuse(
        [(only_words, 9.0), (both, 8.0)], [(only_dense, 0.9), (both, 0.8)], exit=3, dense_weight=0.5
    )
    assert fused[0].stored is both
    assert {item.stored.chunk.symbol: item.exit for item in fused} == {"a": 3, "b": None, "c": 3}


def test_first_in_both_lists_scores_one() -> None:
    best = _stored()
    (candidate,) = ranking.fuse([(best, 2.0)], [(best, 0.3)], exit=6, dense_weight=0.4)
    assert candidate.score == pytest.approx(1.0)


def test_equal_scores_share_a_rank() -> None:
    first, second = _stored("a", start=1), _stored("b", start=2)
    fused = ranking.fuse([(first, 5.0), (second, 5.0)], [], exit=None, dense_weight=0.5)
    assert fused[0].score == fused[1].score


def test_blend_moves_a_deeply_similar_chunk_up_and_does_not_bury_unknown_ones() -> None:
    first, second, third = (_stored(name, start=i) for i, name in enumerate("abc"))
    candidates = [Candidate(first, 1.0, 1), Candidate(second, 0.6, 1), Candidate(third, 0.5, 1)]
    deep = {first.chunk.digest: 0.1, third.chunk.digest: 0.9}
    blended = ranking.blend(candidates, deep, exit=6, weight=0.9)
    assert [item.stored.chunk.symbol for item in blended] == ["c", "b", "a"]
    assert {item.stored.chunk.symbol: item.exit for item in blended} == {"a": 6, "b": 1, "c": 6}


def test_blend_without_deep_scores_changes_nothing() -> None:
    candidates = [Candidate(_stored(), 0.4, 1)]
    assert ranking.blend(candidates, {}, exit=6, weight=0.5) == candidates


def test_a_definition_comes_before_its_uses() -> None:
    use = Candidate(_stored("caller", start=1), 1.0)
    definition = Candidate(_stored("acquire", start=2), 0.7)
    ranked = ranking.apply_rules(ranking.parse_query("Pool.acquire"), [use, definition])
    assert ranked[0].stored.chunk.symbol == "acquire"


def test_the_beginning_of_a_definition_comes_before_its_other_parts() -> None:
    parts = [Candidate(_stored("Router", start=i, part=i, parts=3), 0.5 + i / 10) for i in range(3)]
    ranked = ranking.apply_rules(ranking.parse_query("Router"), parts)
    assert ranked[0].stored.chunk.part == 0


def test_a_file_in_which_several_chunks_answer_comes_first() -> None:
    alone = Candidate(_stored("a", path="x/alone.py", file_id=2), 0.52)
    together = [Candidate(_stored(f"b{i}", path="x/together.py", start=i), 0.5) for i in range(3)]
    ranked = ranking.apply_rules(ranking.parse_query("something else"), [alone, *together])
    assert ranked[0].stored.path == "x/together.py"


def test_tests_come_after_code_unless_asked_for() -> None:
    code = Candidate(_stored("retry", path="src/client.py", file_id=1), 0.8)
    test = Candidate(_stored("retry_works", path="tests/test_client.py", file_id=2), 1.0)
    plain = ranking.apply_rules(ranking.parse_query("decide on a retry"), [test, code])
    asked = ranking.apply_rules(ranking.parse_query("test that a retry works"), [test, code])
    assert plain[0].stored.path == "src/client.py"
    assert asked[0].stored.path == "tests/test_client.py"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("tests/a.py", {"test"}),
        ("pkg/parser_test.go", {"test"}),
        ("src/FooTests.java", {"test"}),
        ("src/app.spec.ts", {"test"}),
        ("src/contest.py", set()),
        ("src/latest/a.py", set()),
        ("docs/conf.py", {"example"}),
        ("third_party/zlib/inflate.c", {"vendored"}),
    ],
)
def test_traits_of_places(path: str, expected: set[str]) -> None:
    assert traits(path, _stored().chunk) == expected


def test_parts_of_one_symbol_and_copies_of_one_text_are_folded() -> None:
    parts = [Candidate(_stored("long", start=i, part=i, parts=3), 1.0 - i / 10) for i in range(3)]
    copies = [
        Candidate(_stored("same", text="def same(): pass", file_id=i + 5, path=f"{i}.py"), 0.5)
        for i in range(3)
    ]
    chosen = ranking.select([*parts, *copies], 10, fold_copies=True)
    assert [item.stored.chunk.symbol for item in chosen] == ["long", "same"]
    every_place = ranking.select([*parts, *copies], 10, fold_copies=False)
    assert [item.stored.chunk.symbol for item in every_place] == ["long", "same", "same", "same"]


def test_overloads_are_not_folded() -> None:
    overloads = [Candidate(_stored("add", start=i), 1.0) for i in range(3)]
    assert len(ranking.select(overloads, 10, fold_copies=True)) == 3


def test_one_file_does_not_fill_the_page() -> None:
    crowd = [Candidate(_stored(f"f{i}", start=i), 1.0 - i / 100) for i in range(9)]
    other = Candidate(_stored("g", path="src/b.py", file_id=2), 0.8)
    chosen = ranking.select([*crowd, other], 3, fold_copies=True)
    assert other.stored in [item.stored for item in chosen]


def test_chunks_beside_an_index_get_scores_on_its_scale() -> None:
    def terms(path: str, symbol: str) -> dict[str, str]:
        return ranking.terms_of_chunk(path, _stored(symbol).chunk)

    hits = [(terms("a.py", "retry_request"), 40.0), (terms("b.py", "retry"), 20.0)]
    same, other = terms("a.py", "retry_request"), terms("c.py", "unrelated")
    scores = ranking.scores_beside(["retry", "request"], [same, other], hits, ranking.FIELD_BOOSTS)
    assert 30 < scores[0] < 50
    assert scores[1] == 0
    assert ranking.scores_beside(["retry"], [same], [], ranking.FIELD_BOOSTS)[0] > 0
    assert ranking.scores_beside(["retry"], [], hits, ranking.FIELD_BOOSTS) == []
