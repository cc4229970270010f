"""Definitions to chunks: what each one spans, shows and says before its text."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator

from mosearch.parsing import names
from mosearch.parsing.definitions import Definition, Outline, outline, visible, walk
from mosearch.parsing.grammars import Grammar, grammar_for, matches
from mosearch.parsing.languages import MARKDOWN
from mosearch.parsing.markdown import sections
from mosearch.parsing.splitting import PART_BYTES, Piece, char_boundary, piece, split
from mosearch.text import digest
from mosearch.types import Chunk, ParsedFile, SymbolKind

_BOM = b"\xef\xbb\xbf"


def parse(source: bytes, language: str, path: str = "") -> ParsedFile:
    """The chunks of `source`, in order of `start_byte`, outer before inner.

    `source` is taken as UTF-8; what is not decodes to U+FFFD in the chunks' texts.  `language` is one
    of `LANGUAGES`; a name without a grammar is cut into windows of lines.  `path` chooses between the
    TypeScript grammars and is kept nowhere.

    - A function is its source, leading comments, decorators and attributes included.  Functions
      inside it are chunks too; they stay in its text when that fits one part, and are shown there by
      their signatures when not.
    - A class, `impl` block or extension spans all of itself; its text is what is left when every
      member's body is taken out, so a body is embedded once.
    - Code outside definitions is one MODULE chunk without a symbol, from the first such line to the
      last; its text is the pieces, joined by line ends.
    - Whatever is longer than `splitting.PART_BYTES` becomes several parts; the docstring is on the
      first only.

    Every line that is not blank is inside the span of at least one chunk.
    Raises ParseError when the parser does not finish in time.
    """
    grammar = grammar_for(language, path)
    if grammar:
        chunks, has_errors = _parsed(source, language, grammar)
        return ParsedFile(language, chunks, has_errors)
    root = Definition("namespace", "", (), 0, 0, 0, 0, len(source))
    if language == MARKDOWN:
        root.children = sections(source)
    return ParsedFile(language, _Builder(source, language, Outline(root, [])).build())


def chunk_at(parsed: ParsedFile, line: int) -> Chunk | None:
    """The innermost chunk whose span covers `line` (0-based), None between chunks."""
    covering = (chunk for chunk in parsed.chunks if chunk.start_line <= line <= chunk.end_line)
    return min(covering, key=lambda chunk: chunk.end_byte - chunk.start_byte, default=None)


def _parsed(source: bytes, language: str, grammar: Grammar) -> tuple[tuple[Chunk, ...], bool]:
    found, has_errors = matches(source, grammar)
    return _Builder(source, language, outline(source, found, grammar)).build(), has_errors


class _Builder:
    """Builds the chunks of one text."""

    def __init__(self, source: bytes, language: str, found: Outline) -> None:
        self._source = source
        self._language = language
        self._root = found.root
        self._comments = found.comments
        self._newlines = [match.start() for match in re.finditer(b"\n", source)]

    def build(self) -> tuple[Chunk, ...]:
        chunks = list(self._remainder())
        for each in walk(self._root):
            if not each.is_scope:
                chunks += self._definition(each)
        chunks.sort(key=lambda chunk: (chunk.start_byte, -chunk.end_byte))
        return tuple(chunks)

    def _definition(self, each: Definition) -> Iterator[Chunk]:
        if each.is_function and (each.end - each.start <= PART_BYTES or not each.children):
            pieces = _pieces([piece(self._source, each.start, each.end)])
        else:
            pieces = self._around(each, each.start, show_signatures=True)
        signature = names.signature(self._without_comments(each.head, each.body))
        return self._chunks(each, pieces, signature)

    def _remainder(self) -> Iterator[Chunk]:
        start = len(_BOM) if self._source.startswith(_BOM) else 0
        return self._chunks(self._root, self._around(self._root, start, show_signatures=False), "")

    def _around(self, parent: Definition, start: int, *, show_signatures: bool) -> list[Piece]:
        """What is left of `parent` from `start` on without its members, or with their signatures."""
        pieces: list[Piece | None] = []
        for child in visible(parent):
            pieces.append(piece(self._source, start, child.start))
            if show_signatures:
                pieces.append(self._signature_piece(child))
            start = max(start, child.end)
        pieces.append(piece(self._source, start, parent.end))
        return _pieces(pieces)

    def _signature_piece(self, child: Definition) -> Piece | None:
        end = min(child.body, char_boundary(self._source, child.outer + names.SIGNATURE_CHARS))
        shown = piece(self._source, child.outer, end)
        if shown:
            shown.span_start, shown.span_end, shown.silent = child.start, child.end, False
        return shown

    def _without_comments(self, start: int, end: int) -> str:
        """The source from `start` to `end` with comments taken out."""
        kept = []
        for index in range(bisect_left(self._comments, (start, 0)), len(self._comments)):
            comment_start, comment_end = self._comments[index]
            if comment_start >= end:
                break
            kept.append(self._source[start:comment_start])
            start = comment_end
        kept.append(self._source[start:end])
        return names.decode(b" ".join(kept))

    def _chunks(self, each: Definition, pieces: list[Piece], signature: str) -> Iterator[Chunk]:
        parts = split(self._source, pieces) if pieces else []
        container = ".".join(each.path)
        for number, part in enumerate(parts):
            text = "\n".join(names.decode(self._source[p.start : p.end]) for p in part if not p.silent)
            context = (
                f"{container}: {signature}" if number and container else signature if number else container
            )
            start, end = part[0].span_start, part[-1].span_end
            yield Chunk(
                symbol=each.name,
                container=container,
                kind=each.kind if each is not self._root else SymbolKind.MODULE,
                language=self._language,
                start_byte=start,
                end_byte=end,
                start_line=self._line(start),
                end_line=self._line(end - 1),
                signature=signature,
                docstring=each.docstring if number == 0 else "",
                text=text,
                context=context,
                digest=digest(f"{context}\n{text}" if context else text),
                part=number,
                parts=len(parts),
            )

    def _line(self, offset: int) -> int:
        return bisect_left(self._newlines, offset)


def _pieces(found: Iterable[Piece | None]) -> list[Piece]:
    """The pieces that hold something.  When none has a word (`{}`, `...`), all speak."""
    pieces = [each for each in found if each]
    if all(each.silent for each in pieces):
        for each in pieces:
            each.silent = False
    return pieces
