"""Ranking: text analysis, query reading, fusion, rules and selection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mosearch import ranking
from mosearch.ranking import Candidate, Weights
from mosearch.ranking.coverage import covered
from mosearch.ranking.systems import HERE, is_foreign
from mosearch.ranking.terms import Kin, akin, fold
from mosearch.ranking.traits import traits
from mosearch.text import digest, split_identifier
from mosearch.types import Chunk, Span, StoredChunk, SymbolKind


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
    whole: Span | None = None,
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
        whole=whole,
    )
    return StoredChunk(path, file_id, chunk)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("parseHTTPResponse_v2", ["parse", "HTTP", "Response", "v", "2"]),
        ("__init__", ["init"]),
        ("IOError", ["IO", "Error"]),
        ("MAX_RETRIES", ["MAX", "RETRIES"]),
        ("größe", ["größe"]),
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


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Größe", ["größe"]),
        ("größeÄndern", ["größe", "ändern", "größeändern"]),
        ("読み込みFile", ["読み込み", "file", "読み込みfile"]),
        ("naïveSolver", ["naïve", "solver", "naïvesolver"]),
    ],
)
def test_words_of_any_alphabet_stay_whole(name: str, words: list[str]) -> None:
    assert ranking.terms_of_text(name) == words


def test_a_long_name_has_its_words_and_data_has_none() -> None:
    words = "testThatDownloadingFileAndMovingToDirectoryThatDoesNotExistThrowsError"
    assert ranking.terms_of_text(words)[:3] == ["test", "that", "downloading"]
    assert max(map(len, ranking.terms_of_text(words))) < len(words)
    assert ranking.terms_of_text("a" * 65) == ranking.terms_of_text("Ab" * 200) == []


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


@pytest.mark.parametrize(
    ("text", "quoted", "sought"),
    [
        ('retry after "connection reset"', ("connection reset",), ("connection", "reset")),
        ('“No such file” or "EOF"', ("No such file", "EOF"), ("no", "such", "file", "eof")),
        ('what does "!=" compare', ("!=",), ("compare",)),
        ('an unclosed "quote of', (), ("unclosed", "quote")),
        ('nothing in "" here', (), ("nothing", "here")),
    ],
)
def test_what_is_quoted_is_asked_for_by_itself(
    text: str, quoted: tuple[str, ...], sought: tuple[str, ...]
) -> None:
    query = ranking.parse_query(text)
    assert query.quoted == quoted
    assert query.sought == sought


@pytest.mark.parametrize(
    ("word", "other", "related"),
    [
        ("decode", "decoder", True),
        ("decoding", "decoder", True),
        ("quantize", "quantization", True),
        ("expiry", "expire", True),
        ("caching", "cache", True),
        ("config", "configuration", True),
        ("url", "urlmap", True),
        ("context", "content", False),
        ("read", "real", False),
        ("in", "index", False),
        ("test", "text", False),
    ],
)
def test_forms_of_one_word_are_akin(word: str, other: str, related: bool) -> None:
    assert akin(word, other) is related
    assert akin(other, word) is related


_FORMS = ["a", "ab", "abc", "abcd", "decode", "decoder", "retry", "retried", "id", "ids"]
_WORDS = st.lists(st.sampled_from(_FORMS))


@given(_WORDS, _WORDS)
def test_the_terms_of_a_query_are_compared_with_names_as_pairs_of_words_are(
    terms: list[str], words: list[str]
) -> None:
    distinct = list(dict.fromkeys(terms))
    related = [term for term in distinct if any(akin(term, word) for word in words)]
    assert Kin(distinct).share(words) == (len(related) / len(distinct) if distinct else 0)


def _ranked(
    query: str,
    lexical: Sequence[tuple[StoredChunk, float]] = (),
    dense: Sequence[tuple[StoredChunk, float]] = (),
    exit: int | None = None,
    weights: Weights | None = None,
) -> list[Candidate]:
    nearest = [Candidate(stored, score, exit) for stored, score in dense]
    pool = ranking.gather(ranking.parse_query(query), lexical, nearest)
    return ranking.rank(pool, weights or Weights())


def _symbols(ranked: Sequence[Candidate]) -> list[str]:
    return [item.stored.chunk.symbol for item in ranked]


PLAIN = Weights(coherence=0, lead=0)
"""Fusion and rules of single chunks only."""


def test_fusion_rewards_agreement_and_keeps_the_dense_exit() -> None:
    both, only_words, only_dense = _stored("a", start=1), _stored("b", start=2), _stored("c", start=3)
    ranked = _ranked(
        "something", [(only_words, 9.0), (both, 8.0)], [(only_dense, 0.9), (both, 0.8)], 3, PLAIN
    )
    assert ranked[0].stored is both
    assert {item.stored.chunk.symbol: item.exit for item in ranked} == {"a": 3, "b": None, "c": 3}


def test_first_in_both_lists_scores_one() -> None:
    best = _stored()
    (candidate,) = _ranked("something", [(best, 2.0)], [(best, 0.3)], 6, PLAIN)
    assert candidate.score == pytest.approx(1.0)


def test_equal_scores_share_a_rank() -> None:
    first, second = _stored("a", start=1), _stored("b", start=2)
    ranked = _ranked("something", [(first, 5.0), (second, 5.0)], weights=PLAIN)
    assert ranked[0].score == ranked[1].score


def test_without_candidates_there_is_nothing_to_rank() -> None:
    pool = ranking.gather(ranking.parse_query("something"), [], [])
    assert ranking.rank(pool, Weights()) == []
    assert ranking.rank(ranking.deepened_pool(pool, {"00": 1.0}, 6), Weights()) == []


def test_a_deeper_exit_deals_out_the_places_of_the_chunks_that_it_knows() -> None:
    stored = [_stored(name, start=i) for i, name in enumerate("abcd")]
    near = [Candidate(each, 1 - i / 10, 1) for i, each in enumerate(stored[:3])]
    pool = ranking.gather(ranking.parse_query("something"), [(stored[3], 1.0)], near)
    deep = {stored[0].chunk.digest: 0.1, stored[2].chunk.digest: 0.5, stored[3].chunk.digest: 0.9}
    deeper = ranking.deepened_pool(pool, deep, 6)
    places = dict(zip([s.chunk.symbol for s in deeper.chunks], deeper.dense.tolist(), strict=True))
    assert places == {"d": 1, "b": 2, "c": 3, "a": 4}
    exits = dict(zip([s.chunk.symbol for s in deeper.chunks], deeper.exits, strict=True))
    assert exits == {"a": 6, "b": 1, "c": 6, "d": 6}


def test_a_shallow_list_counts_less_until_the_deepest_exit_has_ordered_it() -> None:
    words, near = _stored("words", start=1), _stored("near", start=2)
    query, found = ranking.parse_query("something else"), [(words, 2.0), (near, 1.0)]
    nearest = [Candidate(near, 0.9, 0), Candidate(words, 0.8, 0)]
    weights = replace(PLAIN, dense=0.9, dense_shallow=0.1)
    shallow = ranking.gather(query, found, nearest, 6)
    assert _symbols(ranking.rank(shallow, weights)) == ["words", "near"]
    deep = ranking.deepened_pool(shallow, {near.chunk.digest: 0.7, words.chunk.digest: 0.6}, 6)
    assert _symbols(ranking.rank(deep, weights)) == ["near", "words"]
    alone = ranking.gather(query, found, [replace(each, exit=6) for each in nearest], 6)
    assert _symbols(ranking.rank(alone, weights)) == ["near", "words"]


def test_without_deep_similarities_nothing_changes() -> None:
    pool = ranking.gather(ranking.parse_query("something"), [(_stored(), 1.0)], [])
    assert ranking.deepened_pool(pool, {}, exit=6) is pool


def test_a_definition_comes_before_its_uses() -> None:
    uses = [(_stored("caller", start=i, path=f"{i}.py", file_id=i), 9.0 - i) for i in range(5)]
    definition = _stored("acquire", start=9, path="pool.py", file_id=9)
    assert _symbols(_ranked("Pool.acquire", [*uses, (definition, 1.0)]))[0] == "acquire"


def test_a_type_comes_before_functions_of_its_name() -> None:
    function = _stored("request", path="api.py", file_id=1)
    type_ = _stored("Request", path="models.py", file_id=2, kind=SymbolKind.CLASS)
    assert _symbols(_ranked("Request", [(function, 2.0), (type_, 1.0)]))[0] == "Request"


def test_the_beginning_of_a_definition_comes_before_its_other_parts() -> None:
    parts = [(_stored("Router", start=i, part=i, parts=3), 0.5 + i / 10) for i in range(3)]
    assert _ranked("Router", parts[::-1])[0].stored.chunk.part == 0


def test_a_file_named_like_the_question_comes_first() -> None:
    named = _stored("run", path="src/scheduler.py", file_id=2)
    other = _stored("run", path="src/misc.py", file_id=1)
    ranked = _ranked("how tasks are scheduled", [(other, 2.0), (named, 1.0)])
    assert ranked[0].stored is named


def test_a_file_that_the_question_names_is_seen_though_its_chunks_rank_low() -> None:
    others = [(_stored(f"f{i}", path=f"src/misc{i}.py", file_id=i), 60.0 - i) for i in range(30)]
    named = _stored("run", path="src/scheduler.py", file_id=99)
    pool = ranking.gather(ranking.parse_query("how tasks are scheduled"), [*others, (named, 1.0)], [])

    def place(lead: float) -> int:
        ranked = ranking.rank(pool, replace(Weights(), place=0.0, place_lead=lead))
        return [item.stored for item in ranked].index(named)

    assert place(0.0) == 30
    assert place(3.0) == 0


def test_a_file_in_which_several_chunks_answer_comes_first() -> None:
    alone = _stored("a", path="x/alone.py", file_id=2)
    together = [(_stored(f"b{i}", path="x/together.py", start=i), 0.5) for i in range(3)]
    ranked = _ranked("something else", [(alone, 0.52), *together])
    assert ranked[0].stored.path == "x/together.py"


def test_code_that_holds_what_is_quoted_comes_first() -> None:
    better = _stored("a", start=1, text="raise Error('reset the connection')")
    holds = _stored("b", file_id=2, path="src/b.py", start=2, text="raise Error('connection reset')")
    found = [(better, 9.0), (holds, 1.0)]
    asked = "errors of a {} that is a"
    assert _symbols(_ranked(asked.format("connection reset"), found, found)) == ["a", "b"]
    assert _symbols(_ranked(asked.format('"connection reset"'), found, found)) == ["b", "a"]
    assert len(_ranked('"nobody wrote this"', found, found)) == 2


def test_a_file_whose_functions_answer_together_comes_first() -> None:
    once = _stored("a", path="src/once.py", text="def a(): return deadline")
    first = _stored("b", path="src/both.py", file_id=2, start=1, text="def b(): return deadline")
    other = _stored("c", path="src/both.py", file_id=2, start=2, text="def c(): cancel()")
    rest = [_stored(f"r{n}", path=f"src/r{n}.py", file_id=3 + n, start=9 + n) for n in range(9)]
    found = [(stored, 20.0 - place) for place, stored in enumerate((once, first, *rest, other))]
    asked = "cancel after a deadline"
    assert _symbols(_ranked(asked, found, found, weights=replace(PLAIN, coverage=0.0)))[0] == "a"
    assert _symbols(_ranked(asked, found, found, weights=replace(PLAIN, coverage=0.5)))[0] == "b"
    shallow = ranking.gather(
        ranking.parse_query(asked), found, [Candidate(stored, score, 0) for stored, score in found], 6
    )
    assert ranking.rank(shallow, replace(PLAIN, coverage=0.0))[0].stored is first


def test_a_file_covers_the_terms_that_its_texts_hold_and_rare_ones_count_more() -> None:
    texts = ["retry the request", "a request", "send it", "close"]
    shares = covered(["retry", "request", "send", "it"], texts, np.array([0, 1, 0, 2]))
    assert shares[0] == shares[2] == 1
    assert 0 < shares[1] < 1 / 3
    assert shares[3] == 0
    assert not covered(["it"], texts, np.array([0, 1, 0, 2])).any()
    assert len(covered(["retry"], [], np.array([], np.int64))) == 0


def test_the_only_definition_of_a_name_comes_first_though_it_is_a_test() -> None:
    test = _stored("report_of", path="tests/helpers.py", file_id=1, text="def report_of(): pass")
    user = _stored("reporter", path="src/report_of.py", file_id=2, text="report_of()")
    found = [(user, 9.0), (test, 1.0)]
    assert _symbols(_ranked("report_of", found, found)) == ["report_of", "reporter"]
    code = _stored("report_of", path="src/api.py", file_id=3, text="def report_of(): pass")
    found = [(test, 9.0), (user, 2.0), (code, 1.0)]
    assert _ranked("report_of", found, found)[0].stored is code
    heading = _stored("retry", path="README.md", file_id=4, text="# Retry", language="markdown")
    found = [(heading, 9.0), (_stored("retry_request", path="src/a.py", file_id=5), 5.0)]
    assert _symbols(_ranked("retry", found, found)) == ["retry_request", "retry"]


def test_tests_come_after_code_unless_asked_for() -> None:
    code = _stored("retry", path="src/client.py", file_id=1)
    test = _stored("retry_works", path="tests/test_client.py", file_id=2)
    found = [(test, 1.0), (code, 0.8)]
    assert _ranked("decide on a retry", found)[0].stored is code
    assert _ranked("test that a retry works", found)[0].stored is test


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("tests/a.py", {"test"}),
        ("pkg/parser_test.go", {"test"}),
        ("src/addDays/test.ts", {"test"}),
        ("src/FooTests.java", {"test"}),
        ("src/app.spec.ts", {"test"}),
        ("src/contest.py", set()),
        ("src/latest/a.py", set()),
        ("docs/conf.py", {"example"}),
        ("third_party/zlib/inflate.c", {"vendored"}),
        ("src/commands/get.json", {"data"}),
        ("include/pool.h", set()),
    ],
)
def test_traits_of_places(path: str, expected: set[str]) -> None:
    assert traits(path, _stored().chunk) == expected


@pytest.mark.parametrize(
    ("path", "systems"),
    [
        ("src/unix/core.c", {"linux", "darwin", "freebsd"}),
        ("src/win/core.c", {"windows"}),
        ("net/poll_linux.go", {"linux"}),
        ("net/poll_bsd.go", {"darwin", "freebsd"}),
        ("tty/tty-win.c", {"windows"}),
        ("src/platform/Windows/file.rs", {"windows"}),
        ("posix/linux/epoll.rs", {"linux", "darwin", "freebsd"}),
        ("src/win_rate.py", {"linux", "darwin", "freebsd", "windows"}),
        ("src/window.py", {"linux", "darwin", "freebsd", "windows"}),
        ("src/darwinian.py", {"linux", "darwin", "freebsd", "windows"}),
    ],
)
def test_what_is_for_other_systems_only(path: str, systems: set[str]) -> None:
    known = {"linux", "darwin", "freebsd", "windows"}
    assert {system for system in known if not is_foreign(path, system)} == systems


def test_code_for_other_systems_comes_later_unless_a_system_is_asked_for() -> None:
    here, elsewhere = ("linux", "win") if HERE != "windows" else ("win", "linux")
    found = [
        (_stored("read_tty", path=f"src/{elsewhere}/tty.c", file_id=1), 1.0),
        (_stored("read_tty", path=f"src/{here}/tty.c", file_id=2), 0.9),
    ]
    assert [item.stored.file_id for item in _ranked("read from the terminal", found)] == [2, 1]
    assert [item.stored.file_id for item in _ranked("read on windows", found)] == [1, 2]


def test_pages_of_documentation_are_prose_and_templates_are_not() -> None:
    page = _stored("", kind=SymbolKind.MODULE, language="html").chunk
    assert "prose" in traits("docs/api/Pool.html", page)
    assert traits("web/templates/pool.html", page) == {"remainder"}


def test_declarations_in_headers_are_told_from_functions() -> None:
    assert traits("include/pool.h", _stored(kind=SymbolKind.STRUCT).chunk) == {"header"}


def test_parts_of_one_symbol_and_copies_of_one_text_are_folded() -> None:
    whole = Span(0, 90, 0, 9)
    parts = [
        Candidate(_stored("long", start=i, part=i, parts=3, whole=whole), 1.0 - i / 10) for i in range(3)
    ]
    copies = [
        Candidate(_stored("same", text="def same(): pass", file_id=i + 5, path=f"{i}.py"), 0.5)
        for i in range(3)
    ]
    chosen = ranking.select([*parts, *copies], 10, 0.5)
    assert [item.stored.chunk.symbol for item in chosen] == ["long", "same"]
    every_place = ranking.select_places([*parts, *copies], 10)
    assert [item.stored.chunk.symbol for item in every_place] == ["long", "same", "same", "same"]


def test_overloads_are_not_folded() -> None:
    overloads = [Candidate(_stored("add", start=i), 1.0) for i in range(3)]
    assert len(ranking.select(overloads, 10, 0.5)) == 3
    long = [
        Candidate(
            _stored("add", start=i, part=i % 2, parts=2, whole=Span(i // 2 * 50, i // 2 * 50 + 9, 0, 9)), 1.0
        )
        for i in range(6)
    ]
    assert len(ranking.select(long, 10, 0.5)) == 3


def test_one_file_does_not_fill_the_page() -> None:
    crowd = [Candidate(_stored(f"f{i}", start=i), 1.0 - i / 100) for i in range(9)]
    other = Candidate(_stored("g", path="src/b.py", file_id=2), 0.8)
    chosen = ranking.select([*crowd, other], 3, 0.5)
    assert other.stored in [item.stored for item in chosen]


def test_words_choose_the_file_and_meaning_the_function() -> None:
    worded, meant = _stored("worded", start=1), _stored("meant", start=2)
    other = _stored("other", path="src/b.py", file_id=2)
    near = [Candidate(each, 0.9 - i / 10, 6) for i, each in enumerate((meant, other, worded))]
    found = [(worded, 3.0), (other, 2.0)]
    pool = ranking.gather(ranking.parse_query("something else"), found, near, 6)
    weights = replace(PLAIN, dense=0.5, dense_within=1.0)
    ranked = ranking.rank(pool, weights)
    assert _symbols(ranked) == ["worded", "other", "meant"]
    chosen = ranking.select(ranked, 3, 0.1)
    assert _symbols(chosen) == ["meant", "other", "worded"]
    assert [item.score for item in chosen] == sorted((item.score for item in chosen), reverse=True)


def test_chunks_beside_an_index_get_scores_on_its_scale() -> None:
    def terms(path: str, symbol: str) -> str:
        return ranking.terms_of_chunk(path, _stored(symbol).chunk)

    hits = [(terms("a.py", "retry_request"), 40.0), (terms("b.py", "retry"), 20.0)]
    same, other = terms("a.py", "retry_request"), terms("c.py", "unrelated")
    scores = ranking.scores_beside(["retry", "request"], [same, other], hits)
    assert 30 < scores[0] < 50
    assert scores[1] == 0
    assert ranking.scores_beside(["retry"], [same], [])[0] > 0
    assert ranking.scores_beside(["retry"], [], hits) == []
