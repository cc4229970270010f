"""Places in code that somebody points at, and code that is in no index: typed in, piped in or selected."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mosearch.errors import QueryError
from mosearch.parsing import chunk_at, language_of, parse_file
from mosearch.store import Store
from mosearch.text import digest
from mosearch.types import Chunk, ParsedFile, Span, StoredChunk, SymbolKind
from mosearch.workspace import decode


def in_index(root: Path, store: Store, path: str, line: int) -> StoredChunk:
    """The stored chunk at a 0-based line of `path` (relative to `root`, `/`).

    Raises `QueryError` where there is no code or the file is in no index, `StoreError`.
    """
    record = store.files().get(path)
    if record is None or record.skip_reason:
        why = f" (it is left out: {record.skip_reason})" if record is not None else ""
        raise QueryError(f"{path} is not in the index of {root}{why}.")
    return at_line(path, line, (stored.chunk for stored in store.chunks_of(path)))


def chunks_in(path: str, text: str, *, digest_language: bool) -> tuple[Chunk, ...]:
    """The chunks of `text`, which an editor shows for `path`, in order."""
    data = text.encode("utf-8", "surrogatepass")
    return parse_file(path, data, digest_language=digest_language).chunks


def at_line(path: str, line: int, chunks: Iterable[Chunk]) -> StoredChunk:
    """The innermost of the chunks of `path` at a 0-based line.  Raises `QueryError` where there is none."""
    chunk = chunk_at(ParsedFile("", tuple(chunks)), line)
    if chunk is None:
        raise QueryError(f"{path}:{line + 1} is blank or beyond the end; point at a line of code.")
    return StoredChunk(path, 0, chunk)


def lines(
    root: Path, path: str, start_line: int, end_line: int, text: str | None, *, digest_language: bool
) -> StoredChunk:
    """The lines from one to another, inclusive, of `text` or else of the file on disk.

    Raises `QueryError` if they are blank or cannot be read.
    """
    content = text.encode("utf-8", "surrogatepass") if text is not None else _read(root / path)
    code = "\n".join(content.decode("utf-8", "replace").split("\n")[start_line : end_line + 1])
    if not code.strip():
        raise QueryError(f"Lines {start_line + 1} to {end_line + 1} of {path} hold no code.")
    chunk = code_chunk(code, language_of(path, content), start_line, digest_language=digest_language)
    return StoredChunk(path, 0, chunk)


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


def other_parts(place: StoredChunk, store: Store) -> list[StoredChunk]:
    """The parts of the symbol of `place` but its own, where it is a part of a long body.

    Raises `StoreError`.
    """
    if place.chunk.parts == 1 or not place.chunk.symbol:
        return []
    namesakes = [each for each in store.chunks_of(place.path) if _name(each) == _name(place)]
    # Not by where it lies: an editor may show it on other lines.
    own = next((each.chunk.whole for each in namesakes if each.chunk.digest == place.chunk.digest), None)
    return [
        each
        for each in namesakes
        if own is not None and each.chunk.whole == own and each.chunk.part != place.chunk.part
    ]


def overlap(one: StoredChunk, other: StoredChunk) -> bool:
    """Whether they share lines, are parts of one symbol, or `one` is a part of what encloses `other`."""
    if one.path != other.path:
        return False
    if one.chunk.whole is not None and one.chunk.symbol and _symbol(one) == _symbol(other):
        return True
    begin, end = other.chunk.start_line, other.chunk.end_line
    whole = one.chunk.symbol_span
    shares_lines = one.chunk.start_line <= end and begin <= one.chunk.end_line
    return shares_lines or whole.start_line <= begin <= end <= whole.end_line


def _read(path: Path) -> bytes:
    """The file's text as UTF-8, read as the index does."""
    try:
        content = decode(path.read_bytes())
    except OSError as error:
        raise QueryError(f"Cannot read {path}: {error.strerror}.") from error
    if content is None:
        raise QueryError(f"{path} is no text, so there is no code in it to compare.")
    return content


def _symbol(stored: StoredChunk) -> tuple[tuple[str, str], Span | None]:
    return _name(stored), stored.chunk.whole


def _name(stored: StoredChunk) -> tuple[str, str]:
    return (stored.chunk.container, stored.chunk.symbol)
