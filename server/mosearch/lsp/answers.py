"""What the requests ask for, over all workspace folders.  Runs off the event loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lsprotocol import types as lsp

from mosearch.errors import MosearchError, QueryError
from mosearch.lsp import wire
from mosearch.lsp.folder import Folder
from mosearch.settings import Settings
from mosearch.types import Filters, Hit, SearchResult

if TYPE_CHECKING:
    from mosearch.engine import Engine

_SYMBOL_LIMIT = 50

Folders = Mapping[Path, Folder]
"""The open workspace folders, by the path that the client gave."""


def search(folders: Folders, params: object) -> dict[str, Any]:
    """`mosearch/search`: the best hits over all workspace folders."""
    engines, troubles = _engines(folders)
    request = wire.read_search(params, _defaults(engines))
    found = [
        (root, engine.search(request.query, request.limit, request.filters, rerank=request.rerank))
        for root, engine in engines
    ]
    return _merge(found, request.limit, troubles)


def similar(folders: Folders, params: object, open_text: Callable[[str], str | None]) -> dict[str, Any]:
    """`mosearch/similar`: code like that at a position or in a range, over all workspace folders.

    `open_text` gives the text of an open document, by URI: it counts as the editor shows it.
    """
    engines, troubles = _engines(folders)
    request = wire.read_similar(params, _defaults(engines))
    path = wire.to_path(request.uri)
    folder = _folder_of(folders, path)
    home = folder.engine()
    place = home.place(
        path.relative_to(folder.root).as_posix(),
        request.start_line,
        request.end_line if request.is_range else None,
        open_text(request.uri),
    )
    found = [
        (root, engine.similar(place, engine is home, request.limit, request.filters, rerank=request.rerank))
        for root, engine in engines
    ]
    return _merge(found, request.limit, troubles)


def status(folders: Folders) -> dict[str, Any]:
    """`mosearch/status`: what each folder's index holds, or why it is not open."""
    return {"folders": [_folder_status(folder) for folder in list(folders.values())]}


def _folder_status(folder: Folder) -> dict[str, Any]:
    try:
        return folder.engine().status().to_json()
    except MosearchError as error:
        return {"root": str(folder.root), "error": str(error)}


def symbols(folders: Folders, query: str) -> list[lsp.WorkspaceSymbol]:
    """`workspace/symbol`, answered by meaning as well as by name."""
    found: list[tuple[float, Path, Hit]] = []
    for root, engine in _engines(folders)[0]:
        rerank = engine.settings.rerank
        result = engine.search(query.removeprefix("?"), _SYMBOL_LIMIT, Filters(), rerank=rerank)
        found.extend((hit.score, root, hit) for hit in result.hits)
    found.sort(key=lambda item: -item[0])
    return [wire.hit_to_symbol(root, hit) for _, root, hit in found[:_SYMBOL_LIMIT]]


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


def _merge(found: list[tuple[Path, SearchResult]], limit: int, troubles: list[str]) -> dict[str, Any]:
    hits = [(hit.score, root, hit) for root, result in found for hit in result.hits]
    if len(found) > 1:
        hits.sort(key=lambda item: -item[0])
    timing = {"total": sum(result.timing_ms["total"] for _, result in found)}
    warnings = troubles + [result.warning for _, result in found if result.warning]
    answer: dict[str, Any] = {
        "hits": [wire.hit_to_json(root, hit) for _, root, hit in hits[:limit]],
        "timing_ms": dict(found[0][1].timing_ms) if len(found) == 1 else timing,
    }
    if warnings:
        answer["warning"] = " ".join(warnings)
    return answer


def _folder_of(folders: Folders, path: Path) -> Folder:
    """The innermost open folder that holds `path`.  Raises `QueryError`."""
    holding = [root for root in list(folders) if path.is_relative_to(root)]
    if not holding:
        raise QueryError(f"{path} lies in no open workspace folder.")
    return folders[max(holding, key=lambda root: len(root.parts))]
