"""Lines and characters as LSP counts them, against a plain model of the same rules."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lsprotocol import types as lsp

from mosearch import parsing
from mosearch.lsp.ranges import to_range
from mosearch.lsp.text import Document, index_of, newlines_before, position_at, split_lines, units_of

ENCODINGS = ["utf-8", "utf-16", "utf-32"]
# CJK, emoji with a modifier and a joiner, a combining mark, the line ends, and what only Python splits at.
ALPHABET = "ab \t\n\r\f\v\x1c\x85\u2028\u2029é漢字👍🏽\u200d\u0301𐍈"
texts = st.text(alphabet=ALPHABET, max_size=40)
encodings = st.sampled_from(ENCODINGS)


def _encoded(text: str, encoding: str) -> int:
    """Units of a text, counted by really encoding it."""
    size = {"utf-8": 1, "utf-16": 2, "utf-32": 4}[encoding]
    return len(text.encode(encoding if size == 1 else f"{encoding}-le")) // size


def _position(text: str, index: int, encoding: str) -> lsp.Position:
    """Where the code point `index` of `text` is, by splitting what comes before it."""
    before = re.split(r"\r\n|\n|\r", text[:index])
    return lsp.Position(len(before) - 1, _encoded(before[-1], encoding))


def _splits_line_end(text: str, index: int) -> bool:
    return text[index - 1 : index + 1] == "\r\n" and index > 0


@given(texts)
def test_lines_are_those_of_lsp(text: str) -> None:
    lines = split_lines(text)
    assert "".join(lines) == text
    assert [line.rstrip("\r\n") for line in lines] == re.split(r"\r\n|\n|\r", text)


@given(texts, encodings, st.data())
def test_a_byte_offset_is_where_encoding_says(text: str, encoding: str, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(text)))
    offset = len(text[:index].encode())
    expected = index - 1 if _splits_line_end(text, index) else index
    assert position_at(text.encode(), offset, encoding) == _position(text, expected, encoding)


@given(texts, texts, encodings, st.data())
def test_an_edit_does_what_slicing_does(text: str, new: str, encoding: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    if _splits_line_end(text, start) or _splits_line_end(text, end):
        return  # no position names the middle of a line end
    document = Document("file:///x", text, 1, encoding)
    span = lsp.Range(_position(text, start, encoding), _position(text, end, encoding))
    document.edit(span, new)
    assert document.source == text[:start] + new + text[end:]
    assert [document.line(n) for n in range(len(split_lines(document.source)))] == re.split(
        r"\r\n|\n|\r", document.source
    )


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 9), st.integers(0, 6), st.integers(0, 9), texts)))
def test_positions_out_of_bounds_mean_the_end(edits: list[tuple[int, int, int, int, str]]) -> None:
    document = Document("file:///x", "one\r\ntwo", 1, "utf-16")
    for line, character, end_line, end_character, new in edits:
        document.edit(lsp.Range(lsp.Position(line, character), lsp.Position(end_line, end_character)), new)
        assert new in document.source
    document.edit(lsp.Range(lsp.Position(10**6, 0), lsp.Position(10**6, 0)), "!")
    assert document.source.endswith("!")


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_character_and_its_index_go_back_and_forth(encoding: str) -> None:
    line = "x = '漢👍🏽é' # 𐍈"
    for index in range(len(line) + 1):
        assert index_of(line, units_of(line[:index], encoding), encoding) == index
    assert index_of(line, 10**6, encoding) == len(line)


def test_the_middle_of_a_character_is_its_start() -> None:
    assert index_of("a👍b", 2, "utf-16") == 1
    assert index_of("a漢b", 3, "utf-8") == 1


def test_lines_of_lsp_and_newlines_differ_at_a_carriage_return() -> None:
    lines = split_lines("a\rb\r\nc\nd")
    assert [newlines_before(lines, line) for line in range(4)] == [0, 0, 1, 2]


_PIECES = st.lists(
    st.sampled_from(
        [
            "def f(漢):\n    return '👍🏽' + 漢  # é\u0301\n",
            "class K:\r\n    '''𐍈 \f'''\r\n    def m(self):\r\n        return '👩\u200d💻' + K\r\n",
            "x = 'é' ; y = [1,\n  2]\n",
            "\n",
            "\r\n",
        ]
    ),
    max_size=8,
)


@given(_PIECES, encodings)
def test_a_chunk_is_where_its_bytes_are(pieces: list[str], encoding: str) -> None:
    text = "".join(pieces)
    data = text.encode()
    for chunk in parsing.parse(data, "python", "x.py").chunks:
        found = to_range(data, chunk.span, encoding)
        document = Document("file:///x", text, 1, encoding)
        document.edit(found, "")
        assert document.source.encode() == data[: chunk.start_byte] + data[chunk.end_byte :]


def test_a_chunk_of_another_text_is_given_by_its_lines() -> None:
    data = b"def f():\n    return 1\n"
    (chunk,) = parsing.parse(data, "python", "x.py").chunks
    lines = lsp.Range(lsp.Position(0, 0), lsp.Position(2, 0))
    assert to_range(b"\n\n" + data, chunk.span, "utf-8") == lines
    assert to_range(b"", chunk.span, "utf-8") == lines
    assert to_range(None, chunk.span, "utf-8") == lines
