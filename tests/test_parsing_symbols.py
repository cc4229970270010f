"""What is found in a small text of each language: `parsing_samples/pool.*`, listed in `outlines.txt`."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from mosearch.parsing import LANGUAGES, chunk_at, definitions, language_of, parse
from mosearch.types import Chunk, ParsedFile, Span, SymbolKind

SAMPLES = Path(__file__).with_name("parsing_samples")
NAMES = sorted(path.name.removesuffix(".txt") for path in SAMPLES.glob("pool.*"))


def _parsed(name: str) -> tuple[bytes, ParsedFile]:
    source = (SAMPLES / f"{name}.txt").read_bytes()
    return source, parse(source, language_of(name, source), name)


def _outline(parsed: ParsedFile) -> list[str]:
    """One line per chunk: `first-last kind container | symbol`, lines counted from 1 as editors do."""
    return [
        f"{c.start_line + 1}-{c.end_line + 1} {c.kind.label} {c.container} | {c.symbol}"
        for c in parsed.chunks
    ]


def _expected() -> dict[str, list[str]]:
    blocks = (SAMPLES / "outlines.txt").read_text("utf-8").strip().split("\n\n")
    return {lines[0]: lines[1:] for lines in (block.split("\n") for block in blocks)}


def _one(name: str, symbol: str, nth: int = 0) -> Chunk:
    return [chunk for chunk in _parsed(name)[1].chunks if chunk.symbol == symbol][nth]


@pytest.mark.parametrize("name", NAMES)
def test_outline(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # The samples' bodies are short: here the question is what is recognised.
    monkeypatch.setattr(definitions, "MAX_TRIVIAL_BYTES", 0)
    _, parsed = _parsed(name)
    assert _outline(parsed) == _expected()[name]
    assert not parsed.has_syntax_errors


def test_there_is_a_sample_of_each_grammar() -> None:
    from mosearch.parsing.grammars import GRAMMARS

    assert set(GRAMMARS) <= {language_of(name) for name in NAMES}
    assert set(GRAMMARS) <= set(LANGUAGES)


@pytest.mark.parametrize(
    ("name", "symbol", "signature"),
    [
        ("pool.py", "acquire", 'async def acquire( self, timeout: float = 5.0, ) -> "Connection"'),
        ("pool.py", "Pool", "class Pool(Base)"),
        ("pool.js", "load", "export const load = async (name)"),
        ("pool.go", "Acquire", "func (p *Pool[T]) Acquire(timeout int) (T, error)"),
        ("pool.rs", "acquire", "pub fn acquire(&mut self) -> Option<T>"),
        ("pool.java", "acquire", "public T acquire(long timeout) throws IOException"),
        ("pool.c", "conn_open", "static conn_t *conn_open(const char *host, int port)"),
        ("pool.cpp", "clear", "template <typename T> void Pool<T>::clear()"),
        ("pool.cs", "Acquire", "public async Task<T> Acquire(int timeout)"),
        ("pool.rb", "acquire", "def acquire(timeout: 5)"),
        ("pool.hs", "acquire", "acquire :: Int -> Maybe Int"),
        ("pool.kt", "acquire", "override fun acquire(timeout: Long): T?"),
        ("pool.zig", "add", "pub fn add(a: i32, b: i32) i32"),
    ],
)
def test_signature(name: str, symbol: str, signature: str) -> None:
    assert _one(name, symbol).signature == signature


@pytest.mark.parametrize(
    ("name", "symbol", "docstring"),
    [
        ("pool.py", "", "Connection pools."),
        ("pool.py", "Pool", "Keeps connections."),
        ("pool.py", "acquire", "Take one."),
        ("pool.py", "square", "A squaring helper."),
        ("pool.js", "createPool", "Keeps connections."),
        ("pool.go", "Acquire", "Acquire takes one."),
        ("pool.rs", "acquire", "Takes one."),
        ("pool.java", "Pool", "Keeps connections.\n@param <T> what is kept"),
        ("pool.c", "conn_open", "Opens a connection.\nReturns NULL on failure."),
        ("pool.c", "main", ""),
        ("pool.cs", "Acquire", "Takes one."),
        ("pool.lua", "open", "Opens a connection.\n@param host string"),
        ("pool.hs", "Pool", "A pool."),
        ("pool.ex", "Pool", "Keeps connections."),
        ("pool.ex", "acquire", "Takes one."),
        ("pool.sh", "usage", "Prints usage."),
        ("pool.swift", "acquire", "Takes one."),
    ],
)
def test_docstring(name: str, symbol: str, docstring: str) -> None:
    assert _one(name, symbol).docstring == docstring


def test_a_function_is_its_source_with_what_leads_it() -> None:
    text = _one("pool.py", "acquire").text
    assert text.startswith("    # Hands out one connection.\n    @functools.cache\n    async def")
    assert text.endswith("return self.items.pop()")


def test_a_class_shows_members_without_their_bodies() -> None:
    text = _one("pool.java", "Pool").text
    assert "private final List<T> items;" in text
    assert "public T acquire(long timeout) throws IOException" in text
    assert "items.remove(0)" not in text


def test_the_remainder_holds_what_no_definition_holds() -> None:
    source, parsed = _parsed("pool.py")
    remainder = parsed.chunks[0]
    assert remainder.kind is SymbolKind.MODULE
    assert "import functools" in remainder.text
    assert "LIMIT = 3" in remainder.text
    assert 'if __name__ == "__main__":' in remainder.text
    assert "def parse" not in remainder.text
    assert remainder.end_line == source.rstrip().count(b"\n")


def test_context_is_the_container() -> None:
    assert _one("pool.java", "Inner").context == "Pool"
    assert _one("pool.py", "parse").context == ""


def test_chunk_at_prefers_the_inner() -> None:
    _, parsed = _parsed("pool.py")
    lines = (SAMPLES / "pool.py.txt").read_text("utf-8").split("\n")

    def symbol_at(text: str) -> str:
        found = chunk_at(parsed, next(n for n, line in enumerate(lines) if text in line))
        assert found is not None
        return found.symbol

    assert symbol_at("return self.items.pop()") == "acquire"
    assert symbol_at("size: int = 0") == "Pool"
    assert symbol_at("return function(*args)") == "call"
    assert symbol_at("LIMIT = 3") == ""
    assert chunk_at(parsed, 10_000) is None


def test_long_bodies_become_parts_that_begin_at_statements() -> None:
    body = "".join(f"    value_{n} = compute(\n        {n},\n    )\n" for n in range(100))
    source = f'class A:\n    pass\n\ndef long(x):\n    """Doc."""\n{body}'.encode()
    parts = [chunk for chunk in parse(source, "python").chunks if chunk.symbol == "long"]
    assert [chunk.part for chunk in parts] == list(range(parts[0].parts))
    assert len(parts) > 2
    assert all(chunk.signature == "def long(x)" for chunk in parts)
    assert [bool(chunk.docstring) for chunk in parts] == [True] + [False] * (len(parts) - 1)
    for part in parts[1:]:
        assert part.context == "def long(x)"
        assert part.text.startswith("    value_")
        assert part.text == source[part.start_byte : part.end_byte].decode()
    head, end = source.index(b"def long"), len(source) - 1
    whole = Span(head, end, source.count(b"\n", 0, head), source.count(b"\n", 0, end))
    assert {part.symbol_span for part in parts} == {whole}
    assert all(later.start_line == earlier.end_line + 1 for earlier, later in itertools.pairwise(parts))


def test_a_long_function_leaves_out_the_bodies_of_inner_ones() -> None:
    inner = "".join(
        f"  function f{n}(a) {{\n    return marker{n};\n  }}\n" + "  step();\n" * 20 for n in range(20)
    )
    parsed = parse(f"function factory() {{\n{inner}}}\n".encode(), "javascript")
    outer = [chunk for chunk in parsed.chunks if chunk.symbol == "factory"]
    assert "function f3(a)" in "".join(chunk.text for chunk in outer)
    assert "marker3" not in "".join(chunk.text for chunk in outer)
    assert [c.text for c in parsed.chunks if c.symbol == "f3"] == [
        "  function f3(a) {\n    return marker3;\n  }"
    ]


def test_code_around_a_syntax_error_is_found() -> None:
    parsed = parse(b"def a():\n    return 1\n\nclass (:\n\ndef b():\n    return 2\n", "python")
    assert parsed.has_syntax_errors
    assert {"a", "b"} <= {chunk.symbol for chunk in parsed.chunks}


def test_a_moved_file_has_the_same_digests() -> None:
    source = (SAMPLES / "pool.py.txt").read_bytes()
    assert parse(source, "python", "a/b.py") == parse(source, "python", "c.py")


@pytest.mark.parametrize("source", [b"", b"\n\n", b" \t\r\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_gives_no_chunks(source: bytes, language: str) -> None:
    assert parse(source, language).chunks == ()


@pytest.mark.parametrize("heading", ["# {}\n", "{}\n---\n", "{}\n===\n"])
def test_a_title_is_no_longer_than_a_name(heading: str) -> None:
    title = "![](data:image/png;base64," + "A" * 200_000 + ")"
    chunks = parse(f"{heading.format(title)}\n## Below\n\nText.\n".encode(), "markdown").chunks
    assert {chunk.symbol for chunk in chunks} == {title[:120], "Below"}
    assert all(len(chunk.container) + len(chunk.context) < 500 for chunk in chunks)


def test_a_byte_order_mark_is_in_no_text() -> None:
    (chunk,) = parse(b"\xef\xbb\xbfdef f():\r\n    return 1\r\n", "python").chunks
    assert (chunk.symbol, chunk.start_byte, chunk.end_line) == ("f", 3, 1)
    assert chunk.text == "def f():\r\n    return 1"
