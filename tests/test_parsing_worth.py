"""What is worth a chunk of its own, and under which name: the cases that real code bases showed."""

from __future__ import annotations

import pytest

from mosearch.parsing import parse
from mosearch.types import Chunk, SymbolKind

LICENCE = """\
/*
 * Copyright (C) 2017 The Authors
 *
 * Licensed under the Apache License, Version 2.0 (the "License");
 * you may not use this file except in compliance with the License.
 */
"""
LEVEL = """\
// Copyright (c) 2011 The Authors. All rights reserved.
// Use of this source code is governed by a BSD-style license that can be
// found in the LICENSE file.
"""


def _chunks(source: str, language: str) -> list[Chunk]:
    return list(parse(source.encode(), language).chunks)


def _names(source: str, language: str) -> list[str]:
    return [f"{c.container}|{c.symbol}" for c in _chunks(source, language)]


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("class A {\n  bool Insert(int k) LOCKS_EXCLUDED(mu_) {\n    a();\n    b();\n  }\n};", "A|Insert"),
        ("class A {\n  int G() const GUARDED(mu_) {\n    a();\n    b();\n  }\n};", "A|G"),
        ("S DBImpl::Make(int a, bool* b)\n    LOCKS_REQUIRED(mutex_) {\n  return 3;\n}\n", "DBImpl|Make"),
        ("class EXPORT DB : public Base {\n  int x_;\n};", "|DB"),
        ("struct ALIGNED(8) Node {\n  int x_;\n};", "|Node"),
        ("TEST(FileNameTest, Parse) {\n  int x;\n}", "FileNameTest|Parse"),
        ("DEFINE_A(x)\nTEST_F(DBTest, Empty) { int y; }", "DBTest|Empty"),
        ("BENCHMARK_DEFINE_F(Fix, Bar)(benchmark::State& st) { int k; }", "Fix|Bar"),
        ("BOOST_AUTO_TEST_CASE(foo) { int q; }", "BOOST_AUTO_TEST_CASE|foo"),
    ],
)
def test_macros_do_not_name_functions(source: str, name: str) -> None:
    assert name in _names(source, "cpp")


def test_code_keeps_the_macros_that_the_parser_does_not_see() -> None:
    (chunk,) = _chunks("int f(int a)\n    REQUIRES(mu_) {\n  return a;\n}", "cpp")
    assert chunk.text == "int f(int a)\n    REQUIRES(mu_) {\n  return a;\n}"
    assert chunk.signature == "int f(int a) REQUIRES(mu_)"


def test_properties_by_descriptor_are_named_after_the_property() -> None:
    source = """\
Object.defineProperties(Request.prototype, {
  ip: {
    get () { return this.raw.ip }
  },
  'host': { configurable: true, value: function () { return 2 } }
})
Object.defineProperty(Reply.prototype, 'sent', {
  get: function () { return 1 },
  set: function (value) { this.x = value }
})
"""
    assert _names(source, "javascript")[1:] == ["Request|ip", "Request|host", "Reply|sent"]
    assert _chunks(source, "javascript")[1].text.startswith("  ip: {\n    get ()")


def test_types_and_declarations_of_typescript() -> None:
    source = """\
export type Id<T> = T extends string ? 1 : 2;
type Name = string;
export const enum E { A }
declare function make(a: number): void;
declare class K { m(): void; }
declare namespace api { export type Q = 1; export function go(a: string): void; }
declare module 'm' { interface Z { a: 1 } }
export function parse(a: string): number;
export function parse(a: number): number;
export function parse(a: any) {
  function inner() {
    a();
  }
  return inner;
}
"""
    found = [(c.symbol, c.container, c.kind) for c in _chunks(source, "typescript")]
    assert found == [
        ("Id", "", SymbolKind.INTERFACE),
        ("Name", "", SymbolKind.INTERFACE),
        ("E", "", SymbolKind.ENUM),
        ("make", "", SymbolKind.FUNCTION),
        ("K", "", SymbolKind.CLASS),
        ("api", "", SymbolKind.MODULE),
        ("Q", "api", SymbolKind.INTERFACE),
        ("go", "api", SymbolKind.FUNCTION),
        ("Z", "m", SymbolKind.INTERFACE),
        ("parse", "", SymbolKind.FUNCTION),
        ("inner", "parse", SymbolKind.FUNCTION),
    ]


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("impl A {\n  fn f(&self) {\n    a();\n  }\n}", ["A|f"]),
        ("impl A {\n  const X: u8 = 1;\n  fn f(&self) {\n    a();\n    b();\n  }\n}", ["|A", "A|f"]),
        (
            "/// How it is shown.\nimpl Show for A {\n  fn f(&self) {\n    a();\n    b();\n  }\n}",
            ["|A", "A|f"],
        ),
        ("impl Iterator for A {\n  type Item = u8;\n}", ["|A"]),
        ("impl Marker for A {}", ["|A"]),
    ],
)
def test_an_impl_is_a_chunk_when_it_says_something(source: str, names: list[str]) -> None:
    assert _names(source, "rust") == names


def test_trivial_members_are_whole_in_the_class_and_no_chunks() -> None:
    source = """\
class A {
  int size() const { return size_; }
  ~A() {}
  // Says why.
  int why() const { return why_; }
  int longer(int first, int second) const { return first * second + first * first + second * second + 1; }
  int three() const {
    a();
    b();
  }
};
int top() { return 1; }
"""
    assert _names(source, "cpp") == ["|A", "A|why", "A|longer", "A|three", "|top"]
    text = _chunks(source, "cpp")[0].text
    assert "int size() const { return size_; }\n  ~A() {}" in text
    assert "return why_" not in text


def test_a_getter_spread_over_lines_is_as_trivial() -> None:
    source = "class A {\n  @Override\n  public int size() {\n    return size;\n  }\n}\n"
    assert _names(source, "java") == ["|A"]
    assert "return size;" in _chunks(source, "java")[0].text


@pytest.mark.parametrize(
    ("language", "preamble"),
    [
        ("java", f"{LICENCE}package a.b;\n\nimport java.util.List;\n// short\n"),
        ("javascript", f"{LICENCE}'use strict'\n\nconst net = require('net')\nimport x from 'y';\n"),
        ("python", "# Copyright 2020 me\nfrom __future__ import annotations\nimport os\n"),
        ("cpp", f"{LEVEL}\n#ifndef A_H_\n#define A_H_\n#include <map>\nclass B;\nusing std::map;\n#endif\n"),
        ("c", f'#if defined(A) || \\\n  defined(B)\n{LICENCE}#include "a.h"\n#endif  /* A */\n'),
        ("go", '// Copyright 2020 me. All rights reserved.\n\npackage a\n\nimport (\n\t"fmt"\n)\n'),
        ("rust", "use std::fmt;\nmod a;\n"),
    ],
)
def test_licences_and_imports_are_no_chunk_beside_definitions(language: str, preamble: str) -> None:
    function = {"java": "class A {\n}", "python": "def f():\n    pass", "go": "func f() {\n}"}
    code = function.get(language, "fn f() {\n}" if language == "rust" else "function f() {\n}")
    found = _chunks(f"{preamble}\n{code}\n", language)
    assert [chunk.symbol for chunk in found] in (["A"], ["f"])
    comment = "#" if language == "python" else "//"
    documented = f"{preamble}\n{comment} This module keeps the connections that are idle.\n"
    (chunk,) = _chunks(documented, language)
    assert "connections that are idle" in chunk.text
    assert "Copyright" not in chunk.text


def test_a_file_of_nothing_but_imports_hands_them_on() -> None:
    (chunk,) = _chunks("# Copyright 2020 me\n\nfrom far.cors import Middleware as Middleware\n", "python")
    assert chunk.text == "from far.cors import Middleware as Middleware"
    assert _chunks(LICENCE, "javascript") == []


def test_statements_keep_the_imports_beside_them() -> None:
    (chunk,) = _chunks(f"{LICENCE}import os from 'os'\n\nstart(os)\n", "javascript")
    assert chunk.text == "import os from 'os'\n\nstart(os)"


def test_a_licence_documents_nothing() -> None:
    (chunk,) = _chunks(f"{LICENCE}int f(void) {{\n  return 1;\n}}\n", "c")
    assert chunk.docstring == ""
    assert chunk.text.startswith("int f(void)")


def test_a_comment_with_more_than_a_licence_is_kept() -> None:
    (chunk,) = _chunks(
        "/*\n * Keeps the connections that are idle.\n *\n * Copyright (c) 2020 me\n */\n", "c"
    )
    assert "Keeps the connections" in chunk.text


RUST_MACRO = """\
use a::b;

cfg_rt! {
    /// Starts a task.
    pub fn spawn(task: Task) -> Handle {
        let handle = new_handle(task);
        handle
    }

    cfg_unstable! {
        impl Pool {
            fn drain(&mut self) {
                self.idle.clear();
                self.notify_all();
            }
        }
    }
}

lazy_static! {
    static ref POOL: Pool = Pool::new();
}
"""


def test_definitions_inside_macros_of_items_are_found() -> None:
    parsed = parse(RUST_MACRO.encode(), "rust")
    assert not parsed.has_syntax_errors
    assert [(c.container, c.symbol) for c in parsed.chunks] == [("", ""), ("", "spawn"), ("Pool", "drain")]
    spawn = parsed.chunks[1]
    assert spawn.docstring == "Starts a task."
    assert (spawn.start_line, spawn.end_line) == (3, 7)
    assert "static ref POOL" in parsed.chunks[0].text


def test_the_first_part_shows_the_declaration() -> None:
    doc = "".join(f"# Line {n} of an explanation of what this is good for.\n" for n in range(15))
    body = "".join(f"  def method_{n}\n    work_{n}\n    more_{n}\n  end\n\n" for n in range(60))
    parts = [c for c in _chunks(f"{doc}class Explained\n{body}end\n", "ruby") if c.symbol == "Explained"]
    assert len(parts) > 1
    assert "class Explained" in parts[0].text


def test_every_part_tells_its_name() -> None:
    doc = "".join(f"/// Line {n} of a long explanation of what this is good for.\n" for n in range(40))
    parts = [c for c in _chunks(f"{doc}fn explained() {{\n    a();\n}}\n", "rust") if c.symbol == "explained"]
    assert len(parts) > 1
    assert parts[0].context == "fn explained()"
    assert all("fn explained()" in part.encoder_text for part in parts)


@pytest.mark.parametrize(
    "row",
    [
        "  0x00000000, 0x77073096, 0xee0e612c, 0x990951ba, 0x076dc419, 0x706af48f,\n",
        '  "\\x2d\\x2d\\x2d\\x01\\xff\\x3d\\x20\\x11\\x5a"\n',
        '  {"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"},\n',
        "  1.5e3, -20, 3.25, 400, 5000,\n",
    ],
)
def test_a_table_of_data_is_one_part(row: str) -> None:
    (chunk,) = _chunks("static const unsigned table[] = {\n" + row * 200 + "};\n", "c")
    assert "table" in chunk.text
    assert (chunk.part, chunk.parts) == (0, 1)


def test_code_with_numbers_is_no_data() -> None:
    body = "".join(f"  move_to({n}, {n * 7}, 0x{n:x});\n" for n in range(200))
    assert len(_chunks(f"void draw(void) {{\n{body}}}\n", "c")) > 3


def test_a_table_after_another_keeps_its_name() -> None:
    first = "  static final long[] bounds = {\n" + "    1_000L, 2_000L, 3_000L, 4_000L,\n" * 60 + "  };\n"
    source = f"class A {{\n{first}\n{first.replace('bounds', 'factorials')}}}\n"
    text = "".join(chunk.text for chunk in _chunks(source, "java"))
    assert "bounds" in text
    assert "factorials" in text
