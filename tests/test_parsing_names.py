"""Names, signatures and documentation as people read them."""

from __future__ import annotations

import pytest

from mosearch.parsing import parse
from mosearch.parsing.names import comment_text, literal_text, signature, split_name


@pytest.mark.parametrize(
    ("name", "separator", "container", "symbol"),
    [
        ("retry", "::", [], "retry"),
        ("net::Pool<std::pair<int, T>>::acquire", "::", ["net", "Pool"], "acquire"),
        ("Pool::operator==", "::", ["Pool"], "operator=="),
        ("operator<<", "::", [], "operator<<"),
        ("a::C::operator bool() const", "::", ["a", "C"], "operator bool"),
        ("C::operator ==", "::", ["C"], "operator=="),
        ("C::operator () ", "::", ["C"], "operator()"),
        ("Token::is_operator", "::", ["Token"], "is_operator"),
        ("Foo::set_operator_type", "::", ["Foo"], "set_operator_type"),
        ("M.parse_operator", ".:", ["M"], "parse_operator"),
        ("Pool::~Pool", "::", ["Pool"], "~Pool"),
        ("module.exports.open", ".", [], "open"),
        ("Pool.prototype.acquire", ".", ["Pool"], "acquire"),
        ("$('#id').click", ".", [], "click"),
        ("'GET /pool.json'", ".", [], "GET /pool.json"),
        ("[Symbol.iterator]", ".", [], "[Symbol.iterator]"),
        ("M.sub:close", ".:", ["M", "sub"], "close"),
        ("deploy::all", "", [], "deploy::all"),
        ("a\n  .b", ".", ["a"], "b"),
        ("::", ".:", [], "::"),
    ],
)
def test_split_name(name: str, separator: str, container: list[str], symbol: str) -> None:
    assert split_name(name, separator) == (container, symbol)


@pytest.mark.parametrize(
    ("comments", "text"),
    [
        (["# One.", "# Two."], "One.\nTwo."),
        (["/// One.", "///", "///   Two."], "One.\n\nTwo."),
        (["/** One. */"], "One."),
        (["/**\n     * One.\n     *\n     * @param a\n     */"], "One.\n\n@param a"),
        (["/* One.\n   Two. */"], "One.\nTwo."),
        (["-- | One.\n-- Two."], "One.\nTwo."),
        (["--[[ One. ]]"], "One."),
        (["/// <summary>", "/// One.", "/// </summary>"], "One."),
        (["//"], ""),
    ],
)
def test_comment_text(comments: list[str], text: str) -> None:
    assert comment_text(comments) == text


@pytest.mark.parametrize(
    ("literal", "text"),
    [
        ('"""One.\n\n    Two.\n    """', "One.\n\nTwo."),
        ("r'One.'", "One."),
        ("\n  One.\n  Two.\n", "One.\nTwo."),
    ],
)
def test_literal_text(literal: str, text: str) -> None:
    assert literal_text(literal) == text


def test_signature_is_one_bounded_line() -> None:
    assert signature("def f(\n    a,\n    b,\n) -> int:") == "def f( a, b, ) -> int"
    assert len(signature("x" * 10_000)) == 300


def test_predicates_read_names_beyond_the_first_block_of_source() -> None:
    source = (
        "var pad = 1;\n" * 20_000 + "it('works', () => {\n  a();\n});\nother('no', () => {\n  b();\n});\n"
    )
    symbols = {chunk.symbol for chunk in parse(source.encode(), "javascript").chunks}
    assert symbols == {"", "works"}
