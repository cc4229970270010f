"""Code lenses "n similar" and hints at near-duplicates, worked out in idle time and kept."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lsprotocol import types as lsp
from pygls.lsp.server import LanguageServer

from mosearch.lsp import actions
from mosearch.lsp.folder import Folder
from mosearch.lsp.ranges import Ranges
from mosearch.lsp.text import Document
from mosearch.types import Chunk, Hit, StoredChunk, SymbolKind

if TYPE_CHECKING:
    from mosearch.engine import Engine

SOURCE = "mosearch"
CODE = "near-duplicate"

_QUIET_S = 0.8
"""How long nothing must have happened before the next document is looked at."""
_MOST = 20
"""More similar places than these are not counted."""
_FUNCTIONS = frozenset({SymbolKind.FUNCTION, SymbolKind.METHOD, SymbolKind.CONSTRUCTOR})


@dataclass(frozen=True, slots=True)
class Likeness:
    """What one function of a document is like."""

    head: lsp.Range
    """Its first line."""
    similar: int
    """As many as *Find Similar* shows."""
    twin: Hit | None
    """The one that is nearly the same, if any."""
    twin_location: lsp.Location | None


def likenesses(
    engine: Engine,
    root: Path,
    path: str,
    chunks: Iterable[Chunk],
    head: Callable[[Chunk], lsp.Range],
    ranges: Ranges,
) -> Iterable[Likeness]:
    """One after the other, for the functions among `chunks` of `path` in the folder that the client calls
    `root`.  Raises `StoreError`."""
    similar, duplicate = engine.similar_from, engine.duplicate_from
    for chunk in chunks:
        if chunk.kind not in _FUNCTIONS or chunk.part > 0:
            continue
        hits = engine.neighbours(StoredChunk(path, 0, chunk), min(similar, duplicate), _MOST)
        count = sum(hit.score >= similar for hit in hits)
        alike = (hit for hit in hits if hit.score >= duplicate and hit.chunk.kind in _FUNCTIONS)
        twin = next(alike, None)
        if count or twin is not None:
            place = ranges.location(root, twin.path, twin.span) if twin is not None else None
            yield Likeness(head(chunk), count, twin, place)


class Watch:
    """Looks at open documents when nothing else is to do.  Belongs to the event loop's thread."""

    def __init__(
        self,
        server: LanguageServer,
        document: Callable[[str], Document | None],
        holders: Callable[[str], list[tuple[Folder, str]]],
        ranges: Callable[[], Ranges],
    ) -> None:
        self._server = server
        self._document = document
        self._holders = holders
        self._ranges = ranges
        self._found: dict[str, list[Likeness]] = {}
        self._stale: dict[str, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._cancel: threading.Event | None = None
        self._pool = ThreadPoolExecutor(1, "mosearch-likeness")

    def look_at(self, uri: str) -> None:
        """The document is new, has changed, was closed, or its folder has news."""
        self.disturb()
        if self._document(uri) is None:
            self._stale.pop(uri, None)
            self._publish(uri, [])
        elif self._wanted(uri):
            self._stale[uri] = None
            self._arm()
        elif uri in self._found:
            self._publish(uri, [])

    def disturb(self) -> None:
        """Something else is to do: stop, and wait for the next quiet moment."""
        if self._cancel is not None:
            self._cancel.set()
        if self._stale:
            self._arm()

    def lenses(self, uri: str) -> list[lsp.CodeLens]:
        """Those that were found last: better old by one edit than gone at every key."""
        holders = self._holders(uri)
        if not holders or not holders[0][0].settings.code_lens:
            return []
        return [_lens(uri, item) for item in self._found.get(uri, []) if item.similar]

    def _wanted(self, uri: str) -> bool:
        holders = self._holders(uri)
        settings = holders[0][0].settings if holders else None
        return settings is not None and (settings.code_lens or settings.duplicate_hints)

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(_QUIET_S, self._quiet)

    def _quiet(self) -> None:
        self._timer = None
        held = [(uri, holders[0][0]) for uri in self._stale if (holders := self._holders(uri))]
        ready = [uri for uri, folder in held if folder.state.name == "ready"]
        if not ready or self._cancel is not None:
            return  # the folder's change of state, or the end of the work that runs, brings us back
        uri = ready[0]
        del self._stale[uri]
        self._cancel = threading.Event()
        work = asyncio.get_running_loop().run_in_executor(self._pool, self._work_out, uri, self._cancel)
        work.add_done_callback(lambda done: self._worked_out(uri, done))

    def _work_out(self, uri: str, cancel: threading.Event) -> list[Likeness] | None:
        """Off the event loop; None if it was disturbed."""
        document = self._document(uri)
        if document is None:
            return None
        folder, path = self._holders(uri)[0]
        engine = folder.engine()
        chunks = engine.chunks(path, document.source)
        found = []

        def head(chunk: Chunk) -> lsp.Range:
            start = ranges.location(folder.root, path, chunk.symbol_span).range.start
            return lsp.Range(start, lsp.Position(start.line, document.width(start.line)))

        ranges = self._ranges()
        for item in likenesses(engine, folder.root, path, chunks, head, ranges):
            if cancel.is_set():
                return None
            found.append(item)
        return None if cancel.is_set() else found

    def _worked_out(self, uri: str, done: asyncio.Future[list[Likeness] | None]) -> None:
        self._cancel = None
        if not done.cancelled() and done.exception() is None:
            found = done.result()
            if found is not None:
                self._publish(uri, found)
            elif self._document(uri) is not None:
                self._stale[uri] = None
        if self._stale:
            self._arm()

    def _publish(self, uri: str, found: list[Likeness]) -> None:
        before = self._found.pop(uri, [])
        if found:
            self._found[uri] = found
        if not found and not before:
            return
        holders = self._holders(uri)
        hints = bool(holders) and holders[0][0].settings.duplicate_hints
        document = self._document(uri)
        diagnostics = [_hint(item) for item in found if item.twin is not None] if hints else []
        if diagnostics or any(item.twin is not None for item in before):
            version = document.version if document is not None else None
            self._server.text_document_publish_diagnostics(
                lsp.PublishDiagnosticsParams(uri, diagnostics, version)
            )
        workspace = self._server.client_capabilities.workspace
        if workspace is not None and workspace.code_lens is not None and workspace.code_lens.refresh_support:
            self._server.workspace_code_lens_refresh(None, lambda _: None)


def _lens(uri: str, item: Likeness) -> lsp.CodeLens:
    count = f"{item.similar}+" if item.similar >= _MOST else str(item.similar)
    start = item.head.start
    arguments: dict[str, Any] = {
        "textDocument": {"uri": uri},
        "position": {"line": start.line, "character": start.character},
        "limit": _MOST,
        "show": True,
    }
    return lsp.CodeLens(item.head, lsp.Command(f"{count} similar", actions.COMMAND, arguments=[arguments]))


def _hint(item: Likeness) -> lsp.Diagnostic:
    assert item.twin is not None
    assert item.twin_location is not None
    name = item.twin.chunk.symbol or item.twin.path
    where = f"{item.twin.path}:{item.twin_location.range.start.line + 1}"
    return lsp.Diagnostic(
        range=item.head,
        message=f"Near-duplicate of {name} ({where})",
        severity=lsp.DiagnosticSeverity.Hint,
        code=CODE,
        source=SOURCE,
        related_information=[lsp.DiagnosticRelatedInformation(item.twin_location, name)],
    )
