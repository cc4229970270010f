"""Which language a file is written in, from its name and its text.  Loads no grammar."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

TEXT = "text"
MARKDOWN = "markdown"

_EXTENSIONS = {
    # Parsed with a grammar.
    "bash": "bash bats ebuild ksh sh zsh",
    "c": "c h",
    "cpp": "c++ cc cpp cu cuh cxx h++ hh hpp hxx inl ipp ixx tpp",
    "csharp": "cs csx",
    "elixir": "ex exs",
    "go": "go",
    "haskell": "hs",
    "java": "java",
    "javascript": "cjs es6 js jsx mjs",
    "kotlin": "kt kts",
    "lua": "lua",
    "php": "inc php php4 php5 php7 phps phtml",
    "python": "py pyi pyw",
    "ruby": "gemspec podspec rake rb ru",
    "rust": "rs",
    "scala": "sbt sc scala",
    "swift": "swift",
    "typescript": "cts mts ts tsx",
    "zig": "zig zon",
    # Cut by heading.
    MARKDOWN: "markdown md mdx",
    # Cut into windows of lines, under a name of their own so that a language filter finds them.
    "asciidoc": "adoc asciidoc",
    "assembly": "asm s",
    "clojure": "clj cljc cljs edn",
    "cmake": "cmake",
    "cython": "pxd pxi pyx",
    "css": "css less sass scss",
    "dart": "dart",
    "dockerfile": "dockerfile",
    "erlang": "erl hrl",
    "fsharp": "fs fsi fsx",
    "graphql": "gql graphql",
    "groovy": "gradle groovy",
    "html": "htm html xhtml",
    "ini": "cfg conf ini properties",
    "json": "json json5 jsonc jsonl ndjson",
    "julia": "jl",
    "lisp": "cl el lisp scm",
    "makefile": "mak mk",
    "nix": "nix",
    "objective-c": "m mm",
    "ocaml": "ml mli",
    "perl": "pl pm t",
    "powershell": "ps1 psd1 psm1",
    "protobuf": "proto",
    "r": "r",
    "restructuredtext": "rst",
    "sql": "sql",
    "svelte": "svelte",
    TEXT: "log text txt",
    "terraform": "hcl tf tfvars",
    "toml": "toml",
    "vim": "vim",
    "vue": "vue",
    "xml": "svg xml xsd xsl xslt",
    "yaml": "yaml yml",
}
_FILE_NAMES = {
    "bash": ".bash_aliases .bash_profile .bashrc .profile .zprofile .zshrc APKBUILD PKGBUILD",
    "cmake": "CMakeLists.txt",
    "dockerfile": "Containerfile Dockerfile",
    "groovy": "Jenkinsfile",
    "ini": ".editorconfig .gitconfig .npmrc",
    "json": ".babelrc .eslintrc .prettierrc",
    "makefile": "GNUmakefile Makefile makefile",
    "python": "SConscript SConstruct wscript",
    "ruby": "Brewfile Fastfile Gemfile Guardfile Podfile Rakefile Vagrantfile",
    "toml": "Cargo.lock Pipfile poetry.lock uv.lock",
}
_INTERPRETERS = {
    "bash": "ash bash dash ksh sh zsh",
    "elixir": "elixir",
    "haskell": "runghc runhaskell",
    "javascript": "bun node nodejs",
    "lua": "lua luajit texlua",
    "makefile": "make",
    "perl": "perl",
    "php": "php",
    "python": "pypy python",
    "r": "Rscript",
    "ruby": "jruby ruby",
    "scala": "scala",
    "swift": "swift",
    "typescript": "deno ts-node tsx",
}


def _inverted(table: dict[str, str]) -> dict[str, str]:
    return {key: language for language, keys in table.items() for key in keys.split()}


_BY_EXTENSION = _inverted(_EXTENSIONS)
_BY_FILE_NAME = _inverted(_FILE_NAMES)
_BY_INTERPRETER = _inverted(_INTERPRETERS)

LANGUAGES: tuple[str, ...] = tuple(sorted(_EXTENSIONS))
"""Every name that `language_of` can return.  JSX is "javascript", TSX is "typescript"."""

# `#!/usr/bin/env -S python3.11 -u` and `#!/bin/sh`: the interpreter without path and version.
_SHEBANG = re.compile(rb"#!\s*(?:\S*/env\s+(?:-\S+\s+|\w+=\S*\s+)*)?(?:\S*/)?([A-Za-z][\w-]*?)[\d.]*(?:\s|$)")
# What a C header never holds; comments, strings and what only a C++ compiler reads are stepped over.
_CPP_ONLY = re.compile(
    rb"""(?xms)
    /\* .*? (?: \*/ | \Z ) | //[^\n]* | "(?:[^"\\\n]|\\.)*"
    | ^[ \t]*\#[ \t]*if(?:def[ \t]+|[ \t]+defined[ \t]*\(?[ \t]*)__cplusplus\b .*?
      (?: ^[ \t]*\#[ \t]*(?:endif|else|elif) | \Z )
    | (?P<cpp>
        ^[ \t]*(?: class\s+\w[^;=()]{0,200}[;{:] | namespace\b | template\s*< | using\s+\w+
          | (?:public|private|protected)\s*: | virtual\s+[\w~] )
        | (?<![\[\w])[A-Za-z_]\w*::[A-Za-z_~] | ^[ \t]*\#[ \t]*include\s*<\w+>
        | \bconst\s+\w+\s?&\s?\w | \boperator\s?(?:[=+*/<>!-]=|\(\)|\[\]|==|<<|->) | =\s*delete\s*;
      )"""
)


def language_of(path: str, head: bytes = b"") -> str:
    """The language of the file at `path`, one of `LANGUAGES`; "text" where nothing is known.

    `head` is the file's text or its start: it is read for the `#!` line of a file without a known
    extension, and to tell a C++ header (`.h`) from a C one, whose licence may be long.
    """
    name = PurePosixPath(path).name
    if language := _BY_FILE_NAME.get(name):
        return language
    stem, dot, extension = name.rpartition(".")
    language = _BY_EXTENSION.get(extension.lower()) if dot and stem else None
    if language == "c" and (extension in ("C", "H") or (extension == "h" and _is_cpp(head))):
        return "cpp"
    if language:
        return language
    if name.startswith(("Dockerfile.", "Makefile.")):
        return name.partition(".")[0].lower()
    if shebang := _SHEBANG.match(head):
        return _BY_INTERPRETER.get(shebang[1].decode(), TEXT)
    return TEXT


def _is_cpp(header: bytes) -> bool:
    return any(match["cpp"] for match in _CPP_ONLY.finditer(header))
