"""What the requests ask for, over all workspace folders.  Runs off the event loop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lsprotocol import types as lsp

from mosearch.errors import MosearchError, QueryError
from mosearch.lsp import wire
from mosearch.lsp.addresses import to_path
from mosearch.lsp.folder import Folder
from mosearch.lsp.ranges import Ranges
from mosearch.lsp.text import Document, newlines_before, split_lines
from mosearch.settings import Settings
from mosearch.types import Filters, Hit, SearchResult

if TYPE_CHECKING:
    from mosearch.engine import Engine
    from mosearch.question import Early

_SYMBOL_LIMIT = 50
_FIRST_SYMBOLS = 10
"""Those of the first page stay on top, though re-ranking may think otherwise: pages of LSP only add up."""

Folders = Mapping[Path, Folder]
"""The open workspace folders, by the path that the client gave."""

Found = list[tuple[Path, Hit]]
"""Hits, best first, each with the folder it is in."""


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks: the client's view of the documents, and how to tell it more or be told to stop."""

    folders: Folders
    document: Callable[[str], Document | None]
    encoding: str
    cancel: threading.Event = field(default_factory=threading.Event)
    page: Callable[[Any], None] | None = None
    """Takes partial results, if the client wants any."""

    def ranges(self) -> Ranges:
        return Ranges(self.document, self.encoding)


def search(asker: Asker, params: object) -> dict[str, Any]:
    """`mosearch/search`: the best hits over all workspace folders."""
    engines, troubles = _engines(asker.folders)
    request = wire.read_search(params, _defaults(engines))

    def ask(_root: Path, engine: Engine, early: Early | None) -> SearchResult:
        return engine.search(
            request.query,
            request.limit,
            request.filters,
            rerank=request.rerank,
            early=early,
            cancel=asker.cancel,
        )

    return _in_all(asker, engines, ask, request.limit, troubles)


def similar(asker: Asker, params: object) -> dict[str, Any]:
    """`mosearch/similar`: code like that at a position or in a range, over all workspace folders."""
    engines, troubles = _engines(asker.folders)
    request = wire.read_similar(params, _defaults(engines))
    path = to_path(request.uri)
    folder = _folder_of(asker.folders, path)
    home = folder.engine()
    relative = path.relative_to(folder.root).as_posix()
    folder.buffers.settle(relative)  # so that answers name places as the editor sees them
    text = None
    first, last = request.start_line, request.end_line
    document = asker.document(request.uri)
    if document is not None:
        text = document.source
        lines = split_lines(text)
        first, last = newlines_before(lines, first), newlines_before(lines, last)
    place = home.place(relative, first, last if request.is_range else None, text)

    def ask(root: Path, engine: Engine, early: Early | None) -> SearchResult:
        here = path.is_relative_to(root)  # also where one folder holds another
        return engine.similar(
            replace(place, path=path.relative_to(root).as_posix()) if here else place,
            here,
            request.limit,
            request.filters,
            rerank=request.rerank,
            everything=request.everything,
            early=early,
            cancel=asker.cancel,
        )

    origin = asker.ranges().location(folder.root, relative, place.chunk.symbol_span)
    answer = _in_all(asker, engines, ask, request.limit, troubles)
    return answer | {"origin": wire.location_to_json(origin)}


def symbols(asker: Asker, params: Mapping[str, str]) -> list[lsp.WorkspaceSymbol]:
    """`workspace/symbol` for `{query}`, answered by meaning as well as by name.

    With somebody to take pages, the first page goes out before re-ranking, and the rest is returned.
    """
    ranges = asker.ranges()
    sent: list[tuple[Path, Hit]] = []
    found: list[tuple[Path, Hit]] = []
    engines = _engines(asker.folders)[0]

    def first_page(root: Path, result: SearchResult) -> None:
        told = {_identity(*item) for item in sent}
        hits = [(root, hit) for hit in result.hits[:_FIRST_SYMBOLS] if _identity(root, hit) not in told]
        sent.extend(hits)
        if asker.page is not None:
            asker.page([_symbol(ranges, root, hit) for root, hit in hits])

    for root, engine in engines:
        early = (lambda result, root=root: first_page(root, result)) if asker.page is not None else None
        result = engine.search(
            params["query"].removeprefix("?"),
            _SYMBOL_LIMIT,
            Filters(),
            rerank=engine.settings.rerank,
            early=early,
            cancel=asker.cancel,
        )
        found.extend((root, hit) for hit in result.hits)
    known = {_identity(root, hit) for root, hit in sent}
    rest = [item for item in _best_first(found, len(engines)) if _identity(*item) not in known]
    return [_symbol(ranges, root, hit) for root, hit in rest[: max(0, _SYMBOL_LIMIT - len(sent))]]


def _hit(ranges: Ranges, root: Path, hit: Hit) -> dict[str, Any]:
    part = ranges.location(root, hit.path, hit.part).range if hit.part is not None else None
    return wire.hit_to_json(ranges.location(root, hit.path, hit.span), part, hit)


def _symbol(ranges: Ranges, root: Path, hit: Hit) -> lsp.WorkspaceSymbol:
    return wire.hit_to_symbol(ranges.location(root, hit.path, hit.span), hit)


def _identity(root: Path, hit: Hit) -> tuple[Path, int, int]:
    """The same in whichever folder it was found, where one holds another."""
    return (root / hit.path, hit.span.start_byte, hit.span.end_byte)


def _engines(folders: Folders) -> tuple[list[tuple[Path, Engine]], list[str]]:
    """Each open folder, named as the client names it, and what is wrong with the others.

    Raises `QueryError` if there is no folder, and what is wrong with the first if none could be opened.
    """
    engines: list[tuple[Path, Engine]] = []
    troubles: list[MosearchError] = []
    for folder in list(folders.values()):
        try:
            engines.append((folder.root, folder.engine()))
        except MosearchError as error:  # noqa: PERF203
            troubles.append(error)
    if not engines:
        raise (
            troubles[0]
            if troubles
            else QueryError("No workspace folder is open, so there is nothing to search.")
        )
    return engines, [str(error) for error in troubles]


def _defaults(engines: list[tuple[Path, Engine]]) -> Settings:
    return engines[0][1].settings


def _in_all(
    asker: Asker,
    engines: list[tuple[Path, Engine]],
    ask: Callable[[Path, Engine, Early | None], SearchResult],
    limit: int,
    troubles: list[str],
) -> dict[str, Any]:
    """Ask one folder after the other, telling each time what is known so far."""
    ranges = asker.ranges()
    found: list[tuple[Path, SearchResult]] = []

    def tell(root: Path, result: SearchResult) -> None:
        if asker.page is not None:
            asker.page(_merge(ranges, [*found, (root, result)], limit, troubles) | {"partial": True})

    for root, engine in engines:
        early = (lambda result, root=root: tell(root, result)) if asker.page is not None else None
        found.append((root, ask(root, engine, early)))
    return _merge(ranges, found, limit, troubles)


def _merge(
    ranges: Ranges, found: list[tuple[Path, SearchResult]], limit: int, troubles: list[str]
) -> dict[str, Any]:
    hits = _best_first([(root, hit) for root, result in found for hit in result.hits], len(found))
    timing = {"total": sum(result.timing_ms["total"] for _, result in found)}
    warnings = troubles + [result.warning for _, result in found if result.warning]
    answer: dict[str, Any] = {
        "hits": [_hit(ranges, root, hit) for root, hit in hits[:limit]],
        "timing_ms": dict(found[0][1].timing_ms) if len(found) == 1 else timing,
    }
    if warnings:
        answer["warning"] = " ".join(warnings)
    return answer


def _best_first(hits: Found, folders: int) -> Found:
    """By score over several folders, each place once; one folder's own order is kept."""
    if folders == 1:
        return hits
    best: dict[tuple[Path, int, int], tuple[Path, Hit]] = {}
    for item in sorted(hits, key=lambda item: -item[1].score):
        best.setdefault(_identity(*item), item)
    return list(best.values())


def _folder_of(folders: Folders, path: Path) -> Folder:
    """The innermost open folder that holds `path`.  Raises `QueryError`."""
    holding = [root for root in list(folders) if path.is_relative_to(root)]
    if not holding:
        raise QueryError(f"{path} lies in no open workspace folder.")
    return folders[max(holding, key=lambda root: len(root.parts))]
