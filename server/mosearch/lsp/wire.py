"""Between the protocol's JSON and our values.  Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lsprotocol import types as lsp

from mosearch.errors import QueryError
from mosearch.settings import Settings
from mosearch.types import Filters, Hit, SymbolKind

_HALF = re.compile("[\ud800-\udfff]")

LARGEST_LIMIT = 1000


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """Parameters of `mosearch/search`."""

    query: str
    limit: int
    filters: Filters
    rerank: bool


@dataclass(frozen=True, slots=True)
class Delivery:
    """How an answer is to come, which every request of ours may say."""

    channel: str | None = None
    partial_token: int | str | None = None
    show: bool = False


@dataclass(frozen=True, slots=True)
class SimilarRequest:
    """Parameters of `mosearch/similar`."""

    uri: str
    start_line: int
    end_line: int
    is_range: bool
    limit: int
    filters: Filters
    rerank: bool
    everything: bool


def read_search(params: object, settings: Settings) -> SearchRequest:
    """What is left out or null is as `settings` say.  Raises `QueryError`, which names the wrong field."""
    values = _mapping(params, "the parameters")
    query = values.get("query")
    if not isinstance(query, str):
        raise QueryError(f"`query` must be a string, not {query!r}.")
    return SearchRequest(query, _limit(values, settings), _filters(values), _rerank(values, settings))


def read_delivery(params: object) -> Delivery:
    """Raises `QueryError`, which names the wrong field."""
    values = _mapping(params, "the parameters")
    channel, token = values.get("channel"), values.get("partialResultToken")
    if channel is not None and not isinstance(channel, str):
        raise QueryError(f"`channel` must be a string, not {channel!r}.")
    if token is not None and (not isinstance(token, (int, str)) or isinstance(token, bool)):
        raise QueryError(f"`partialResultToken` must be a string or a number, not {token!r}.")
    return Delivery(channel, token, values.get("show") is True)


def read_similar(params: object, settings: Settings) -> SimilarRequest:
    """What is left out or null is as `settings` say.  Raises `QueryError`, which names the wrong field."""
    values = _mapping(params, "the parameters")
    document = _mapping(values.get("textDocument"), "`textDocument`")
    uri = document.get("uri")
    if not isinstance(uri, str):
        raise QueryError(f"`textDocument.uri` must be a string, not {uri!r}.")
    is_range = values.get("range") is not None
    if is_range:
        span = _mapping(values["range"], "`range`")
        first, last = _line(span.get("start"), "`range.start`"), _line(span.get("end"), "`range.end`")
        if last > first and span["end"].get("character") == 0:
            last -= 1  # the end is exclusive: whole lines end at the start of the next one
    else:
        first = last = _line(values.get("position"), "`position`")
    if last < first:
        raise QueryError(f"`range` ends (line {last}) before it starts (line {first}).")
    limit, rerank = _limit(values, settings), _rerank(values, settings)
    everything = values.get("all") is True
    return SimilarRequest(uri, first, last, is_range, limit, _filters(values), rerank, everything)


def hit_to_json(location: lsp.Location, part: lsp.Range | None, hit: Hit) -> dict[str, Any]:
    """`part` is the part that answers, where that is not all of the definition."""
    chunk = hit.chunk
    found: dict[str, Any] = {
        "location": location_to_json(location),
        "symbol": chunk.symbol,
        "kind": int(chunk.kind),
        "container": chunk.container,
        "language": chunk.language,
        "path": hit.path,
        "score": hit.score,
        "exit": hit.exit,
        "preview": hit.preview,
    }
    return found if part is None else found | {"part": _range_to_json(part)}


def location_to_json(location: lsp.Location) -> dict[str, Any]:
    return {"uri": location.uri, "range": _range_to_json(location.range)}


def _range_to_json(span: lsp.Range) -> dict[str, Any]:
    return {
        "start": {"line": span.start.line, "character": span.start.character},
        "end": {"line": span.end.line, "character": span.end.character},
    }


def hit_to_symbol(location: lsp.Location, hit: Hit) -> lsp.WorkspaceSymbol:
    chunk = hit.chunk
    return lsp.WorkspaceSymbol(
        name=chunk.symbol or hit.path.rpartition("/")[2],
        kind=lsp.SymbolKind(int(chunk.kind)),
        container_name=chunk.container or hit.path,
        location=location,
    )


def _mapping(value: object, name: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise QueryError(f"{name} must be an object, not {value!r}.")
    return value


def _line(position: object, name: str) -> int:
    line = _mapping(position, name).get("line")
    if not isinstance(line, int) or isinstance(line, bool) or line < 0:
        raise QueryError(f"{name}.line must be a number from 0, not {line!r}.")
    return line


def _limit(values: Mapping[str, Any], settings: Settings) -> int:
    limit = values.get("limit")
    if limit is None:
        return settings.limit
    if not isinstance(limit, int) or isinstance(limit, bool) or not 1 <= limit <= LARGEST_LIMIT:
        raise QueryError(f"`limit` must be a number from 1 to {LARGEST_LIMIT}, not {limit!r}.")
    return limit


def _rerank(values: Mapping[str, Any], settings: Settings) -> bool:
    rerank = values.get("rerank")
    if rerank is None:
        return settings.rerank
    if not isinstance(rerank, bool):
        raise QueryError(f"`rerank` must be true or false, not {rerank!r}.")
    return rerank


def _filters(values: Mapping[str, Any]) -> Filters:
    given = _mapping(values.get("filters") or {}, "`filters`")
    unknown = set(given) - {"languages", "paths", "kinds"}
    if unknown:
        raise QueryError(f"`filters` may hold languages, paths and kinds, not {', '.join(sorted(unknown))}.")
    kinds = _list(given, "kinds", int)
    try:
        symbol_kinds = frozenset(SymbolKind(kind) for kind in kinds)
    except ValueError as error:
        raise QueryError(f"`filters.kinds` holds LSP symbol kinds, 1 to 26: {error}.") from error
    return Filters(
        languages=frozenset(language.lower() for language in _list(given, "languages", str)),
        path_globs=tuple(_list(given, "paths", str)),
        kinds=symbol_kinds,
    )


def _list(values: Mapping[str, Any], name: str, item_type: type) -> list[Any]:
    items = values.get(name) or []
    if not isinstance(items, list) or not all(type(item) is item_type for item in items):
        raise QueryError(f"`filters.{name}` must be a list of {item_type.__name__} values, not {items!r}.")
    if any(isinstance(item, str) and _HALF.search(item) for item in items):
        raise QueryError(f"`filters.{name}` holds half of a character: {items!r}.")
    return items
