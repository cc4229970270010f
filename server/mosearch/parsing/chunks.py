"""Definitions to chunks: what each one spans, shows and says before its text."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import replace

from mosearch.errors import ParseError
from mosearch.parsing import names
from mosearch.parsing.definitions import Definition, Outline, outline, visible, walk
from mosearch.parsing.grammars import grammar_for, matches
from mosearch.parsing.languages import MARKDOWN, language_of
from mosearch.parsing.markdown import sections
from mosearch.parsing.splitting import PART_BYTES, Piece, char_boundary, piece, split
from mosearch.parsing.worth import Preamble, is_data
from mosearch.text import digest
from mosearch.types import Chunk, ParsedFile, Span, SymbolKind

_BOM = b"\xef\xbb\xbf"


def parse_file(path: str, source: bytes, *, digest_language: bool = False) -> ParsedFile:
    """`parse` in the language that the name and the first lines of a file tell."""
    return parse(source, language_of(path, source), path, digest_language=digest_language)


def parse(source: bytes, language: str, path: str = "", *, digest_language: bool = False) -> ParsedFile:
    """The chunks of `source`, in order of `start_byte`, outer before inner.

    `digest_language` is for encoders that are told a text's language: it counts in the digests then.

    `source` is taken as UTF-8; what is not decodes to U+FFFD in the chunks' texts.  `language` is one
    of `LANGUAGES`; a name without a grammar is cut into windows of lines.  `path` chooses between the
    TypeScript grammars and is kept nowhere.

    - A function is its source, leading comments, decorators and attributes included.  Functions
      inside it are chunks too; they stay in its text when that fits one part, and are shown there by
      their signatures when not.
    - A class, `impl` block or extension spans all of itself; its text is what is left when every
      member's body is taken out, so a body is embedded once.
    - A member of a class that is as short as a getter (`definitions.MAX_TRIVIAL_BYTES`) is whole in
      the class's text and no chunk.  An extension with nothing but functions is none either.
    - Code outside definitions is one MODULE chunk without a symbol, from the first such line to the
      last; its text is the pieces, joined by line ends.
    - Whatever is longer than `splitting.PART_BYTES` becomes several parts; the docstring is on the
      first only.  A part that does not show the declaration has the signature in its context.

    Every line that is not blank is inside the span of at least one chunk, but for these: a licence;
    imports, package lines and short comments, where a part of the MODULE chunk would hold nothing else;
    the head of an extension that is no chunk; and numbers from the second part of a symbol on.
    A text that the parser does not finish in time is cut by lines, and has syntax errors.
    """
    parsed = _parsed(source, language, path)
    if not digest_language:
        return parsed
    told = (replace(c, digest=digest(c.encoder_text, c.language)) for c in parsed.chunks)
    return replace(parsed, chunks=tuple(told))


def _parsed(source: bytes, language: str, path: str) -> ParsedFile:
    grammar = grammar_for(language, path)
    if grammar:
        try:
            found, has_errors = matches(source, grammar)
        except ParseError:
            return ParsedFile(language, _windows(source, language), has_syntax_errors=True)
        return ParsedFile(
            language, _Builder(source, language, outline(source, found, grammar)).build(), has_errors
        )
    return ParsedFile(language, _windows(source, language))


def chunk_at(parsed: ParsedFile, line: int) -> Chunk | None:
    """The innermost chunk whose span covers `line` (0-based), None between chunks."""
    covering = (chunk for chunk in parsed.chunks if chunk.start_line <= line <= chunk.end_line)
    return min(covering, key=lambda chunk: chunk.end_byte - chunk.start_byte, default=None)


def _windows(source: bytes, language: str) -> tuple[Chunk, ...]:
    """Markdown by heading, all else by lines."""
    root = Definition("namespace", "", (), 0, 0, 0, 0, len(source))
    if language == MARKDOWN:
        root.children = sections(source)
    return _Builder(source, language, Outline(root)).build()


class _Builder:
    """Builds the chunks of one text."""

    def __init__(self, source: bytes, language: str, found: Outline) -> None:
        self._source = source
        self._language = language
        self._root = found.root
        self._comments = found.comments
        self._licences = found.licences
        self._preamble = Preamble(source, found.preamble, found.comments)
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
            pieces = self._around(each.start, each.end, visible(each), show_signatures=True)
        signature = names.signature(self._without_comments(each.head, each.body))
        return self._chunks(each, pieces, signature)

    def _remainder(self) -> Iterator[Chunk]:
        start = len(_BOM) if self._source.startswith(_BOM) else 0
        holes = [
            Definition("namespace", "", (), first, first, first, first, end) for first, end in self._licences
        ]
        holes += visible(self._root)
        holes.sort(key=lambda each: each.start)
        pieces = self._around(start, self._root.end, holes, show_signatures=False)
        return self._chunks(self._root, pieces, "")

    def _around(
        self, start: int, end: int, holes: Iterable[Definition], *, show_signatures: bool
    ) -> list[Piece]:
        """What is between `start` and `end`, without the definitions in `holes` or with their signatures."""
        pieces: list[Piece | None] = []
        for hole in holes:
            pieces.append(piece(self._source, start, hole.start))
            if show_signatures:
                pieces.append(self._signature_piece(hole))
            start = max(start, hole.end)
        pieces.append(piece(self._source, start, end))
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
        if not pieces:
            return
        found = split(self._source, pieces, each.head)
        whole = self._span(found[0][0].span_start, found[-1][-1].span_end)
        parts = self._worthy(each, found)
        container = ".".join(each.path)
        for number, part in enumerate(parts):
            text = "\n".join(names.decode(self._source[p.start : p.end]) for p in part if not p.silent)
            declares = number == 0 and any(p.start <= each.head < p.end for p in part)
            context = ": ".join(filter(None, [container, "" if declares else signature]))
            span = self._span(part[0].span_start, part[-1].span_end)
            yield Chunk(
                symbol=each.name,
                container=container,
                kind=each.kind if each is not self._root else SymbolKind.MODULE,
                language=self._language,
                **span._asdict(),
                signature=signature,
                docstring=each.docstring if number == 0 else "",
                text=text,
                context=context,
                digest=digest(f"{context}\n{text}" if context else text),
                part=number,
                parts=len(parts),
                whole=whole if whole != span else None,
            )

    def _worthy(self, each: Definition, parts: list[list[Piece]]) -> list[list[Piece]]:
        """`parts` without those that nobody searches for."""
        if each is self._root and (said := [p for p in parts if not self._preamble.is_all_of(p)]):
            parts = said
        elif each is self._root and each.children:
            parts = []
        return [
            part
            for number, part in enumerate(parts)
            if number == 0 or not is_data(b"\n".join(self._source[p.start : p.end] for p in part))
        ]

    def _span(self, start: int, end: int) -> Span:
        return Span(start, end, self._line(start), self._line(end - 1))

    def _line(self, offset: int) -> int:
        return bisect_left(self._newlines, offset)


def _pieces(found: Iterable[Piece | None]) -> list[Piece]:
    """The pieces that hold something.  When none has a word (`{}`, `...`), all speak."""
    pieces = [each for each in found if each]
    if all(each.silent for each in pieces):
        for each in pieces:
            each.silent = False
    return pieces
