"""What a command asks of an index, and the answer, both as plain data that can cross a socket."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from mosearch.errors import QueryError, StoreFullError, StoreLockedError, UsageError
from mosearch.progress import Cancel, Progress

if TYPE_CHECKING:
    from mosearch.engine import Engine
    from mosearch.types import Filters, Hit, IndexReport, SearchResult, StoredChunk

Answer = dict[str, Any]

PATIENCE_SECONDS = 5.0
"""How long a command waits for an encoder that starts, where the index is deeper than what is embedded
without one.  It does not wait merely to re-rank: what stays behind starts one for the next command."""

_LOCK_SECONDS = 10.0
_BRIEF_LOCK_SECONDS = 2.0
"""As long as it takes to compare a large folder with the index."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Exactly one of `query`, `code` and `path` is given: a question in words, code as text, or a place."""

    query: str | None = None
    code: str | None = None
    path: str | None = None
    """Relative to the root, separated by `/`."""
    line: int = 0
    """0-based."""
    limit: int
    languages: tuple[str, ...] = ()
    path_globs: tuple[str, ...] = ()
    rerank: bool = True
    everything: bool = False
    """For code and places: what is probably not similar, too."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Request:
        """Raises `UsageError` for what no version of this one wrote."""
        try:
            languages, path_globs = tuple(values.pop("languages")), tuple(values.pop("path_globs"))
            return cls(languages=languages, path_globs=path_globs, **values)
        except (KeyError, TypeError, AttributeError) as error:
            raise UsageError(f"This is no request: {error!r}.") from error


def check(request: Request) -> None:
    """Refuse what can be refused without an index.  Raises `QueryError`, `UsageError`."""
    from mosearch.searcher import check_query

    if request.query is not None:
        check_query(request.query)
    if request.code is not None and not request.code.strip():
        raise QueryError("There is no code to compare with: standard input is empty.")
    _filters(request)


def answer(engine: Engine, request: Request, progress: Progress, cancel: Cancel) -> Answer:
    """Bring the index up to date and answer from it.  Raises `MosearchError`."""
    check(request)
    report = _refresh(engine, progress, cancel)
    rerank = engine.settings.rerank and request.rerank
    if request.query is not None:
        result = engine.search(request.query, request.limit, _filters(request), rerank=rerank)
    else:
        place = _place(engine, request)
        result = engine.similar(
            place,
            request.path is not None,
            request.limit,
            _filters(request),
            rerank=rerank,
            everything=request.everything,
        )
    return result_json(result, report)


def result_json(result: SearchResult, report: IndexReport) -> Answer:
    found: Answer = {
        "hits": [_hit_json(hit) for hit in result.hits],
        "timing_ms": dict(result.timing_ms),
        "index": report_json(report),
    }
    if result.pending:
        found["depth"] = {"exit": result.exit, "pending": result.pending}
    if result.warning:
        found["warning"] = result.warning
    return found


def report_json(report: IndexReport) -> Answer:
    found: Answer = {
        "files": report.files,
        "chunks": report.chunks,
        "embedded": report.embedded,
        "reused": report.reused,
        "changed_files": report.changed_files,
        "removed_files": report.removed_files,
        "skipped": dict(report.skipped),
        "failed": dict(report.failed),
    }
    if report.warning:
        found["warning"] = report.warning
    return found


def _hit_json(hit: Hit) -> Answer:
    """Lines count from 1; `part` is there only where a part of a long definition answers, and of an excerpt
    the preview's lines do not follow one another in the file."""
    chunk = hit.chunk
    found = {
        "path": hit.path,
        "start_line": hit.span.start_line + 1,
        "end_line": hit.span.end_line + 1,
        "symbol": chunk.symbol,
        "kind": chunk.kind.label,
        "container": chunk.container,
        "language": chunk.language,
        "score": hit.score,
        "exit": hit.exit,
        "preview": hit.preview,
        "is_excerpt": hit.is_excerpt,
    }
    if hit.part is not None:
        found["part"] = {"start_line": hit.part.start_line + 1, "end_line": hit.part.end_line + 1}
    return found


def _refresh(engine: Engine, progress: Progress, cancel: Cancel) -> IndexReport:
    """Update as far as answering needs; while that cannot be, answer from what there is."""
    from mosearch.types import Depth

    # What was complete once is not waited for: another process may be at it for minutes.
    timeout = _LOCK_SECONDS if engine.store.last_sync() is None else _BRIEF_LOCK_SECONDS
    try:
        return engine.update(progress, cancel, depth=Depth.FIRST, lock_timeout=timeout)
    except (StoreLockedError, StoreFullError) as error:
        report = engine.report(warning=f"Answers may miss the latest changes: {error}")
        if not report.files and isinstance(error, StoreFullError):
            raise
        return report


def _place(engine: Engine, request: Request) -> StoredChunk:
    from mosearch.places import code_chunk
    from mosearch.types import StoredChunk

    if request.code is not None:
        return StoredChunk("", 0, code_chunk(request.code))
    return engine.place(request.path or "", request.line)


def _filters(request: Request) -> Filters:
    from mosearch.parsing import LANGUAGES
    from mosearch.types import Filters

    wanted = frozenset(language.lower() for language in request.languages)
    unknown = wanted - set(LANGUAGES)
    if unknown:
        raise UsageError(
            f"Unknown language {', '.join(sorted(unknown))}. Known are: {', '.join(sorted(LANGUAGES))}."
        )
    return Filters(languages=wanted, path_globs=request.path_globs)
