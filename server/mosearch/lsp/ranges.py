"""Where definitions lie, in the lines and characters of the client."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lsprotocol import types as lsp

from mosearch.lsp.addresses import to_uri
from mosearch.lsp.text import Document, position_at, units_of
from mosearch.types import Span


class Ranges:
    """Ranges for one answer: what an editor shows counts, and each file is read at most once.

    `document` gives the open document of a URI.
    """

    def __init__(self, document: Callable[[str], Document | None], encoding: str) -> None:
        self._document = document
        self._encoding = encoding
        self._texts: dict[Path, tuple[str, bytes | None]] = {}
        """URI and text of each file."""

    def location(self, root: Path, path: str, place: Span) -> lsp.Location:
        """Of a place in `path` (relative, `/`) in the folder that the client calls `root`."""
        file = root / path
        known = self._texts.get(file)
        if known is None:
            uri = to_uri(root, path)
            known = self._texts[file] = (uri, self._text(uri, file))
        return lsp.Location(known[0], to_range(known[1], place, self._encoding))

    def _text(self, uri: str, path: Path) -> bytes | None:
        from mosearch.workspace import decode  # not before it is needed: `initialize` shall be answered soon

        document = self._document(uri)
        if document is not None:
            return document.source.encode("utf-8", "surrogatepass")
        try:
            return decode(path.read_bytes())
        except OSError:
            return None


def to_range(data: bytes | None, place: Span, encoding: str) -> lsp.Range:
    """The range of a place in its text, UTF-8; whole lines where the text is another by now or unknown."""
    if data is None or not _is_there(data, place):
        return lsp.Range(lsp.Position(place.start_line, 0), lsp.Position(place.end_line + 1, 0))
    if b"\r" in data:  # a line may end there, which parsers do not count
        start = position_at(data, place.start_byte, encoding)
        return lsp.Range(start, position_at(data, place.end_byte, encoding))
    # As `position_at` has it, without counting again the lines that `_is_there` has counted.
    last = place.start_line + data.count(b"\n", place.start_byte, place.end_byte)
    return lsp.Range(
        _on_line(data, place.start_line, place.start_byte, encoding),
        _on_line(data, last, place.end_byte, encoding),
    )


def _on_line(data: bytes, line: int, offset: int, encoding: str) -> lsp.Position:
    start = data.rfind(b"\n", 0, offset) + 1
    return lsp.Position(line, units_of(data[start:offset].decode("utf-8", "surrogatepass"), encoding))


def _is_there(data: bytes, place: Span) -> bool:
    """Whether the bytes are on the lines, as they are unless the text has changed."""
    last = max(place.start_byte, place.end_byte - 1)
    return (
        place.end_byte <= len(data)
        and data.count(b"\n", 0, place.start_byte) == place.start_line
        and data.count(b"\n", place.start_byte, last) == place.end_line - place.start_line
        and _starts_character(data, place.start_byte)
        and _starts_character(data, place.end_byte)
    )


def _starts_character(data: bytes, offset: int) -> bool:
    return offset >= len(data) or data[offset] & 0xC0 != 0x80
