"""Which definitions an open document holds, read when it is asked for and remembered until the next edit."""

from __future__ import annotations

from mosearch.lsp.text import Document
from mosearch.types import Chunk, ParsedFile


class Outlines:
    """Definitions of open documents.  May be used from several threads."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, tuple[Chunk, ...]]] = {}

    def of(self, path: str, document: Document) -> tuple[Chunk, ...]:
        """The chunks of `document`, in order; `path` says what language it is in."""
        edits = document.edits
        known = self._known.get(document.uri)
        if known is not None and known[0] == edits:
            return known[1]
        from mosearch import parsing  # not before it is needed: `initialize` shall be answered soon

        data = document.source.encode("utf-8", "surrogatepass")
        chunks = parsing.parse_file(path, data).chunks
        self._known[document.uri] = (edits, chunks)
        return chunks

    def at(self, path: str, document: Document, line: int) -> Chunk | None:
        """The innermost definition with a name that covers a line, counted by its newlines."""
        from mosearch.parsing import chunk_at

        named = tuple(chunk for chunk in self.of(path, document) if chunk.symbol)
        return chunk_at(ParsedFile("", named), line)

    def forget(self, uri: str) -> None:
        """The document was closed."""
        self._known.pop(uri, None)
