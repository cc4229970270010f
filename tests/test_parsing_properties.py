"""What holds of the chunks of any bytes in any language."""

from __future__ import annotations

import random
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mosearch import text
from mosearch.parsing import grammars, language_of, parse
from mosearch.parsing.splitting import PART_BYTES
from mosearch.parsing.worth import is_data
from mosearch.types import ParsedFile, SymbolKind

SAMPLES = {
    path.name.removesuffix(".txt"): path.read_bytes()
    for path in sorted(Path(__file__).with_name("parsing_samples").glob("pool.*"))
}
FUNCTIONS = {SymbolKind.FUNCTION, SymbolKind.METHOD, SymbolKind.CONSTRUCTOR}
SNIPPETS = [
    b"{",
    b"}",
    b"(",
    b")",
    b'"',
    b"'",
    b"/*",
    b"#",
    b"\\",
    b"\x00",
    b"\xff\xfe",
    b"\n",
    b"\r\n",
    b"\t",
]
SNIPPETS += [
    b"class",
    b"def f():",
    b"function",
    b"end",
    b"<<EOF",
    b"`",
    "é漢🙂".encode(),
    b"@",
    b";;",
    b"#if 0\n",
]


def check(source: bytes, name: str) -> ParsedFile:
    """Parse `source` as the file `name` and assert everything that is promised of any text."""
    language = language_of(name, source)
    parsed = parse(source, language, name)
    assert parsed.language == language
    assert list(parsed.chunks) == sorted(parsed.chunks, key=lambda c: (c.start_byte, -c.end_byte))
    covered: set[int] = set()
    for chunk in parsed.chunks:
        assert 0 <= chunk.start_byte < chunk.end_byte <= len(source)
        assert chunk.start_line == source.count(b"\n", 0, chunk.start_byte)
        assert chunk.end_line == source.count(b"\n", 0, chunk.end_byte - 1)
        assert chunk.language == language
        assert chunk.text
        assert chunk.digest == text.digest(chunk.encoder_text)
        assert 0 <= chunk.part < chunk.parts
        assert "\n" not in chunk.signature
        assert "\n" not in chunk.context
        size = chunk.end_byte - chunk.start_byte
        if chunk.kind in FUNCTIONS and chunk.parts == 1 and size <= PART_BYTES:
            assert chunk.text == source[chunk.start_byte : chunk.end_byte].decode(errors="replace")
        covered.update(range(chunk.start_line, chunk.end_line + 1))
        if chunk.whole is not None:
            first, last, first_line, last_line = chunk.whole
            assert first <= chunk.start_byte < chunk.end_byte <= last
            assert first_line <= chunk.start_line <= chunk.end_line <= last_line
        assert chunk.parts == 1 or chunk.whole is not None
    wholes = Counter((c.container, c.symbol, c.kind, c.whole, c.parts) for c in parsed.chunks if c.parts > 1)
    assert all(count == key[-1] for key, count in wholes.items()), "each whole has its parts, no other's"
    _check_left_out(source, parsed, name, covered)
    symbols = Counter((c.container, c.symbol, c.kind, c.signature, c.parts) for c in parsed.chunks)
    assert all(count % key[-1] == 0 for key, count in symbols.items())
    return parsed


# Types of tree-sitter nodes, in any grammar, that may be left out where nothing else is beside them.
LEFT_OUT = re.compile(
    r"comment|haddock|import|include|require|package|namespace|module|use_|using|header|pragma|php_tag"
    r"|declare|preproc|impl_item|mod_item|extern_crate|class_specifier|struct_specifier|^ERROR$"
)
LEFT_OUT_LINE = re.compile(
    rb"""(?x) \s* (?: \# | ["'] | (?:const|let|var)\b.*(?:\brequire\(|@import\() | require
    | .*\bextension\b | (?:describe|context|suite|feature|namespace)\b )"""
)


def _check_left_out(source: bytes, parsed: ParsedFile, name: str, covered: set[int]) -> None:
    """Lines with a word in them that are in no chunk are preamble or data."""
    lines = source.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    missing = [n for n, line in enumerate(lines) if n not in covered and re.search(rb"\w", line)]
    if not missing:
        return
    grammar = grammars.grammar_for(parsed.language, name)
    assert grammar is not None, "only a grammar tells what may be left out"
    tree = grammars._parser(grammar).parse(source)
    for number in missing:
        line = lines[number]
        column = len(line) - len(line.lstrip())
        node = tree.root_node.descendant_for_point_range((number, column), (number, column + 1))
        types = []
        while node is not None and node.parent is not None:
            types.append(node.type)
            node = node.parent
        allowed = any(LEFT_OUT.search(kind) for kind in types) or LEFT_OUT_LINE.match(line)
        assert allowed or is_data(line), (number, line, types)


def check_boundaries(source: bytes, parsed: ParsedFile) -> None:
    """Spans of valid UTF-8 begin and end between characters."""
    for chunk in parsed.chunks:
        source[chunk.start_byte : chunk.end_byte].decode("utf-8")


@pytest.mark.parametrize("name", SAMPLES)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(source=st.binary(max_size=300))
def test_any_bytes(name: str, source: bytes) -> None:
    check(source, name)


@pytest.mark.parametrize("name", SAMPLES)
@settings(max_examples=25, deadline=None)
@given(
    pieces=st.lists(
        st.sampled_from(SNIPPETS) | st.text(max_size=8).map(lambda t: t.encode("utf-8", "ignore"))
    )
)
def test_any_tokens(name: str, pieces: list[bytes]) -> None:
    source = b" ".join(pieces)
    parsed = check(source, name)
    try:
        source.decode()
    except UnicodeDecodeError:
        return
    check_boundaries(source, parsed)


@pytest.mark.parametrize("name", SAMPLES)
def test_mutated_code(name: str) -> None:
    sample = SAMPLES[name]
    rng = random.Random(name)
    for _ in range(40):
        source = sample * rng.choice([1, 1, 4])
        for _ in range(rng.randrange(1, 4)):
            start = rng.randrange(len(source))
            end = start + rng.choice([0, 1, 20, 200])
            source = source[:start] + rng.choice([b"", *SNIPPETS]) + source[end:]
        check(source[: rng.randrange(len(source) + 1)] if rng.random() < 0.3 else source, name)


@pytest.mark.parametrize("name", SAMPLES)
def test_windows_line_ends(name: str) -> None:
    plain, dos = SAMPLES[name], SAMPLES[name].replace(b"\n", b"\r\n")
    outline = [(c.symbol, c.container, c.start_line, c.end_line) for c in check(plain, name).chunks]
    assert [(c.symbol, c.container, c.start_line, c.end_line) for c in check(dos, name).chunks] == outline


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("token", [b"(", b"[", b"{", b"((a)", b"if (a) {", b"x = [", b"- ", b"a(", b"> "])
def test_deep_nesting(name: str, token: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """No recursion limit is met, and a grammar that takes too long for it is done without."""
    monkeypatch.setattr(grammars, "PARSE_SECONDS", 0.2)
    check(token * 10_000, name)


def test_deeply_nested_functions() -> None:
    parsed = check(b"function f() {\n" * 2_000 + b"}\n" * 2_000, "a.js")
    assert (
        sum(chunk.symbol == "f" and chunk.part == 0 for chunk in parsed.chunks) == 1_999
    )  # less the two-line one
    assert max(len(chunk.container) for chunk in parsed.chunks) < 100


def test_one_very_long_line() -> None:
    for name in ("a.json", "a.py", "a.js"):
        source = b"x = [" + "é漢🙂, ".encode() * 20_000 + b"]"
        parsed = check(source, name)
        check_boundaries(source, parsed)
        assert max(len(chunk.text.encode()) for chunk in parsed.chunks) <= PART_BYTES


def test_slow_input_is_cut_by_lines_and_leaves_the_parser_usable(monkeypatch: pytest.MonkeyPatch) -> None:
    source = b"def f():\n    return 1\n" * 1_000
    with monkeypatch.context() as patched:
        patched.setattr(grammars, "PARSE_SECONDS", -1.0)
        slow = check(source, "a.py")
    assert slow.has_syntax_errors
    assert slow.language == "python"
    assert {chunk.kind for chunk in slow.chunks} == {SymbolKind.MODULE}
    assert "".join(chunk.text for chunk in slow.chunks).count("return 1") == 1_000
    usual = parse(source, "python")
    assert not usual.has_syntax_errors
    assert len(usual.chunks) == 1_000


def test_threads_agree() -> None:
    jobs = [(source, language_of(name), name) for name, source in SAMPLES.items()] * 4
    expected = [parse(*job) for job in jobs]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda job: parse(*job), jobs)) == expected
