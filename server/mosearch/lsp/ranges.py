"""Where chunks lie, in the lines and characters of the client."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lsprotocol import types as lsp

from mosearch.lsp.addresses import to_uri
from mosearch.lsp.text import Document, position_at
from mosearch.types import Chunk


class Ranges:
    """Ranges of chunks for one answer: what an editor shows counts, and each file is read at most once.

    `document` gives the open document of a URI.
    """

    def __init__(self, document: Callable[[str], Document | None], encoding: str) -> None:
        self._document = document
        self._encoding = encoding
        self._texts: dict[str, bytes | None] = {}

    def location(self, root: Path, path: str, chunk: Chunk) -> lsp.Location:
        """Of a chunk of `path` (relative, `/`) in the folder that the client calls `root`."""
        uri = to_uri(root, path)
        if uri not in self._texts:
            self._texts[uri] = self._text(uri, root / path)
        return lsp.Location(uri, span(self._texts[uri], chunk, self._encoding))

    def _text(self, uri: str, path: Path) -> bytes | None:
        from mosearch.workspace import decode  # not before it is needed: `initialize` shall be answered soon

        document = self._document(uri)
        if document is not None:
            return document.source.encode("utf-8", "surrogatepass")
        try:
            return decode(path.read_bytes())
        except OSError:
            return None


def span(data: bytes | None, chunk: Chunk, encoding: str) -> lsp.Range:
    """The range of a chunk in its text, UTF-8; whole lines where the text is another by now or unknown."""
    if data is None or not _is_there(data, chunk):
        return lsp.Range(lsp.Position(chunk.start_line, 0), lsp.Position(chunk.end_line + 1, 0))
    start = position_at(data, chunk.start_byte, encoding)
    return lsp.Range(start, position_at(data, chunk.end_byte, encoding))


def _is_there(data: bytes, chunk: Chunk) -> bool:
    """Whether the chunk's bytes are on the chunk's lines, as they are unless the text has changed."""
    last = max(chunk.start_byte, chunk.end_byte - 1)
    return (
        chunk.end_byte <= len(data)
        and data.count(b"\n", 0, chunk.start_byte) == chunk.start_line
        and data.count(b"\n", chunk.start_byte, last) == chunk.end_line - chunk.start_line
        and _starts_character(data, chunk.start_byte)
        and _starts_character(data, chunk.end_byte)
    )


def _starts_character(data: bytes, offset: int) -> bool:
    return offset >= len(data) or data[offset] & 0xC0 != 0x80
