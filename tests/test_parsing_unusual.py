"""Code that people and editors really send, and that once gave wrong chunks, none, or no answer at all."""

from __future__ import annotations

import time

import pytest

from mosearch import places, ranking
from mosearch.parsing import parse_file
from mosearch.ranking.candidate import Candidate
from mosearch.ranking.selection import select_places
from mosearch.ranking.traits import traits
from mosearch.types import Chunk, StoredChunk, SymbolKind

BODY = "".join(f"    var a{i} = Compute({i}) + other.Field{i};\n" for i in range(12))


def _found(path: str, source: str | bytes) -> list[tuple[str, str, str]]:
    data = source.encode() if isinstance(source, str) else source
    return [(c.kind.label, c.container, c.symbol) for c in parse_file(path, data).chunks if c.part == 0]


@pytest.mark.parametrize("name", ["a.js", "a.ts", "a.tsx", "a.zig"])
@pytest.mark.parametrize("bad", [b"\xed\xa0\x80", b"\xff", b"\xc3"])
def test_bytes_that_are_no_text_in_declarations_at_the_top(name: str, bad: bytes) -> None:
    source = b'const x = "' + bad + b'";\nconst y = require("a");\nconst z = 1;\n'
    parsed = parse_file(name, source)
    assert "".join(chunk.text for chunk in parsed.chunks).count("const z") == 1


def test_modules_within_modules_without_end() -> None:
    deep = 3_000
    assert parse_file("a.rs", b"mod a {\n" * deep + b"}\n" * deep).language == "rust"


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("a.py", "def f():\n    x = 1\n" + " " * 300_000 + "\n" + "    y = 2\n" * 200),
        ("a.md", "# a" + " " * 300_000 + "b\ntext\n"),
        ("a.rs", "lazy_static! {\n" + "/* entry * of it **/\n" * 200 + "static ref A: u8 = 1;\n}\n"),
        ("a.h", "class a\n" * 20_000),
    ],
)
def test_what_repeats_without_end_takes_no_time(path: str, source: str) -> None:
    start = time.thread_time()
    assert parse_file(path, source.encode()).chunks
    assert time.thread_time() - start < 2


def test_the_time_for_parsing_is_that_of_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 10**9, 3600))  # a machine with other things to do
    monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))
    assert _found("a.js", "function f(a) {\n  return a\n}\n") == [("function", "", "f")]


@pytest.mark.parametrize(
    ("path", "source", "expected"),
    [
        ("a.hs", "module M where\n\na <+> b = a + b\n\nx `op` y = x\n", ["<+>", "op"]),
        (
            "a.swift",
            f"struct P {{\n  static func == (l: P, r: P) -> Bool {{\n{BODY}    return true\n  }}\n}}\n"
            f"func <+> (a: Int, b: Int) -> Int {{\n{BODY}    return 1\n}}\n",
            ["P", "==", "<+>"],
        ),
        ("a.js", f"module.exports = class Pool {{\n  open() {{\n{BODY}  }}\n}}\n", ["Pool", "open"]),
        ("a.js", f"module.exports = function createApp(x) {{\n{BODY}}}\n", ["createApp"]),
        ("a.js", f"module.exports = function (x) {{\n{BODY}}}\n", ["exports"]),
        ("a.js", f"exports.a = function b(x) {{\n{BODY}}}\n", ["a"]),
        ("a.C", f"void A::solve()\n{{\n{BODY}}}\n", ["solve"]),
        ("a.rb", f"class A\n  define_method(:dyn) do |x|\n{BODY}  end\nend\n", ["A", "dyn"]),
        (
            "a.jsx",
            f"const Card = React.forwardRef((props, ref) => {{\n{BODY}  return <div ref={{ref}} />\n}})\n"
            f"const names = items.map((x) => {{\n{BODY}  return x\n}})\n",
            ["Card", ""],
        ),
        (
            "a.cs",
            f"using System;\nnamespace A.B\n{{\n  class C\n  {{\n    ~C()\n    {{\n{BODY}    }}\n"
            f"    public int this[int i] {{ get {{\n{BODY}      return 1; }} }}\n"
            f"    public static implicit operator int(C c)\n    {{\n{BODY}    }}\n  }}\n}}\n",
            ["C", "~", "this", "int"],
        ),
    ],
)
def test_definitions_with_unusual_names(path: str, source: str, expected: list[str]) -> None:
    assert [symbol for _, _, symbol in _found(path, source)] == expected


def test_an_extension_of_what_may_be_missing_is_a_method_of_it() -> None:
    source = f"fun Foo?.orEmpty(): Int {{\n{BODY}  return 1\n}}\n"
    assert _found("a.kt", source) == [("method", "Foo", "orEmpty")]


def test_methods_of_an_anonymous_class_are_those_of_its_field() -> None:
    source = (
        "class A {\n  Comparator<String> byName = new Comparator<>() {\n"
        "    public int compare(String a, String b) {\n"
        f"{BODY}      return 0;\n    }}\n  }};\n}}\n"
    )
    assert ("method", "A.byName", "compare") in _found("a.java", source)


def test_a_constructor_outside_of_its_class_is_one() -> None:
    source = f"Pool::Pool(int n) : n_(n) {{\n{BODY}}}\nvoid Pool::close() {{\n{BODY}}}\n"
    assert [kind for kind, _, _ in _found("a.cc", source)] == ["constructor", "method"]


def test_code_in_a_line_of_prose_opens_no_fence() -> None:
    source = "Intro\n```npm install foo```\n\n# Usage ##\n\n```sh\n# no heading\n```\n\n# C#\ntext\n"
    assert [symbol for _, _, symbol in _found("a.md", source)] == ["", "Usage", "C#"]


def test_a_comment_that_speaks_of_licences_documents_what_follows() -> None:
    source = (
        'package p\n\nimport "x"\n\n// AddHeader puts an SPDX-License-Identifier line on top of a file.\n'
        f"func AddHeader() {{\n{BODY}}}\n"
    )
    (chunk,) = (chunk for chunk in parse_file("a.go", source.encode()).chunks if chunk.symbol)
    assert chunk.docstring.startswith("AddHeader puts")


def _windows() -> list[StoredChunk]:
    source = "".join(f"int f{i}(int x) {{\n  return x * {i} + offset{i};\n}}\n\n" for i in range(120))
    return [StoredChunk("a.dart", 7, chunk) for chunk in parse_file("a.dart", source.encode()).chunks]


def test_windows_of_a_file_are_no_parts_of_one_symbol() -> None:
    windows = _windows()
    assert len(windows) > 3
    hits = select_places([Candidate(each, 1 / (1 + n)) for n, each in enumerate(windows)], 10)
    assert len(hits) == len(windows)
    assert not places.overlap(windows[0], windows[-1])
    assert places.overlap(windows[0], windows[0])


@pytest.mark.parametrize("path", ["guide.md", "guide.rst", "guide.adoc", "guide.txt"])
def test_documentation_is_prose_in_whatever_markup(path: str) -> None:
    language = parse_file(path, b"Title\n=====\n\nSome words about it.\n").language
    chunk = Chunk("", "", SymbolKind.MODULE, language, 0, 1, 0, 0, "", "", "x", "", "d")
    assert "prose" in traits(path, chunk)


def test_unit_tests_of_rust_are_known_by_their_module() -> None:
    source = b"""
pub fn into_response(self) -> Response { Response::new(self.status, self.body.clone().into()) }

#[cfg(test)]
mod tests {
    struct Refusal;

    impl IntoResponse for Refusal {
        fn into_response(self) -> Response { Response::new(404, String::new().into_bytes()) }
    }

    #[test]
    fn refuses() { assert_eq!(Refusal.into_response().status, 404); }
}
"""
    chunks = parse_file("src/response.rs", source).chunks
    found = {(chunk.container, chunk.symbol): "test" in traits("src/response.rs", chunk) for chunk in chunks}
    assert found["", "into_response"] is False
    within = {
        place: is_test for place, is_test in found.items() if "tests" in (place[0].split(".")[0], place[1])
    }
    assert len(within) >= 3 and all(within.values()), found


@pytest.mark.parametrize(
    "path",
    ["a/foo_tests.py", "foo_unittest.cc", "foo-test.js", "foo-spec.ts", "Foo.Tests/Helper.cs", "e2e/a.ts"],
)
def test_tests_are_known_by_the_names_that_people_give_them(path: str) -> None:
    chunk = Chunk("f", "", SymbolKind.FUNCTION, "python", 0, 1, 0, 0, "", "", "x", "", "d")
    assert "test" in traits(path, chunk)


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("handles errors, e.g. timeouts", set()),
        ("config.yaml parser", set()),
        ("where is src/foo/bar.py read", set()),
        ("Node.js server", set()),
        ("decode Response.json", {"json"}),
        ("Pool#empty?", {"empty", "empty?"}),
        ("Pool::~Pool", {"Pool", "~Pool"}),
        ("Foo::operator ==", {"operator", "operator=="}),
        ("acquire()", {"acquire"}),
    ],
)
def test_what_a_question_names(query: str, names: set[str]) -> None:
    assert ranking.parse_query(query).names == names
