"""Code that is asked about but in no index: typed in, piped in or selected in an editor.  Pure."""

from __future__ import annotations

from mosearch.errors import QueryError
from mosearch.parsing import language_of
from mosearch.text import digest
from mosearch.types import Chunk, SymbolKind


def code_chunk(code: str, language: str = "", line: int = 0, *, digest_language: bool = False) -> Chunk:
    """A chunk for code that is in no index: typed in, piped in or selected.

    `digest_language` as for `parsing.parse`.
    """
    lines = code.count("\n")
    return Chunk(
        symbol="",
        container="",
        kind=SymbolKind.FUNCTION,
        language=language,
        start_byte=0,
        end_byte=len(code.encode("utf-8", "surrogatepass")),
        start_line=line,
        end_line=line + lines,
        signature="",
        docstring="",
        text=code,
        context="",
        digest=digest(code, language if digest_language else ""),
    )


def selection(
    path: str, content: str, start_line: int, end_line: int, *, digest_language: bool = False
) -> Chunk:
    """The lines from one 0-based line to another, inclusive.  Raises `QueryError` if they are blank."""
    code = "\n".join(content.split("\n")[start_line : end_line + 1])
    if not code.strip():
        raise QueryError(f"Lines {start_line + 1} to {end_line + 1} of {path} hold no code.")
    return code_chunk(code, language_of(path), start_line, digest_language=digest_language)
