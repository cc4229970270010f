"""File name and first bytes → language."""

from __future__ import annotations

import pytest

from mosearch.parsing import LANGUAGES, language_of

LICENCE = b"/*\n" + b" * Licensed under the terms of a long licence.\n" * 100 + b" */\n"


@pytest.mark.parametrize(
    ("path", "head", "language"),
    [
        ("a.py", b"", "python"),
        ("src/Deep/A.PY", b"", "python"),
        ("a.jsx", b"", "javascript"),
        ("a.tsx", b"", "typescript"),
        ("a.d.ts", b"", "typescript"),
        ("a.h", b"", "c"),
        ("a.h", b"#pragma once\nint f(void);\n", "c"),
        ("a.h", b"#pragma once\nnamespace net {\n", "cpp"),
        ("a.h", b"class Pool : public Base {\n", "cpp"),
        ("a.h", b"struct a; /* a class of things; */\n", "c"),
        ("a.h", LICENCE + b"#ifndef A_H\n#define A_H\nnamespace net {\n", "cpp"),
        ("a.h", LICENCE + b"#include <stdint.h>\nclass Slice;\n", "cpp"),
        ("a.h", LICENCE + b"template <class T> struct List;\n", "cpp"),
        ("a.h", LICENCE + b"struct A {\n public:\n  int x;\n};\n", "cpp"),
        ("a.h", b"int parse(const Slice& text);\n", "cpp"),
        ("a.h", b"std::string name();\n", "cpp"),
        ("a.h", b'#ifdef __cplusplus\nextern "C" {\n#endif\nint f(void);\n', "c"),
        ("a.h", b"#if defined(__cplusplus)\nnamespace a {\n#endif\nint f(void);\n", "c"),
        ("a.h", b"/* std::string\nclass A {\n*/\n// template <\nint f(void);\n", "c"),
        ("a.h", b'#define NAME "std::string"\nint f(const int *a, int b);\n', "c"),
        ("a.h", b"[[gnu::packed]] struct a { int x; };\n#include <stdio.h>\n", "c"),
        ("a.h", b"int mask(int a) { return a & f(a); }\n", "c"),
        ("a.hpp", b"", "cpp"),
        ("README.md", b"", "markdown"),
        ("Dockerfile", b"", "dockerfile"),
        ("Dockerfile.dev", b"", "dockerfile"),
        ("GNUmakefile", b"", "makefile"),
        ("CMakeLists.txt", b"", "cmake"),
        ("notes.txt", b"#!/bin/sh\n", "text"),
        ("Gemfile", b"", "ruby"),
        (".bashrc", b"", "bash"),
        (".py", b"", "text"),
        ("run", b"#!/usr/bin/env python3.11\n", "python"),
        ("run", b"#! /usr/bin/env -S node --no-warnings\n", "javascript"),
        ("run", b"#!/usr/local/bin/bash -e\n", "bash"),
        ("run", b"#!/bin/sh", "bash"),
        ("run", b"#!/usr/bin/env FOO=1 ruby\n", "ruby"),
        ("run", b"#!/opt/unknown\n", "text"),
        ("run", b"\x00\xff#!", "text"),
        ("LICENSE", b"", "text"),
        ("", b"", "text"),
        ("data.json", b"", "json"),
        ("a.yml", b"", "yaml"),
    ],
)
def test_language_of(path: str, head: bytes, language: str) -> None:
    assert language_of(path, head) == language
    assert language in LANGUAGES
