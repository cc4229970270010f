"""Open documents: what editors show and have not saved becomes searchable a moment after the last key."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from mosearch.errors import MosearchError

if TYPE_CHECKING:
    from mosearch.engine import Engine

_log = logging.getLogger(__name__)

# Long enough to gather the keys of a word, short enough to be there before the hand is off the keyboard.
_DEBOUNCE_S = 0.05
# Before another try at what could not be embedded, longer each time.
_LEAST_PAUSE_S = 0.25
_MOST_PAUSE_S = 30.0


class Document(Protocol):
    """An open document; its text is read when it is looked at, not at every key."""

    @property
    def source(self) -> str: ...


class Buffers:
    """Tells one folder's engine what its open documents hold, from threads of its own.

    The thread that indexes may be busy for minutes; edits do not wait for it.  One thread takes in what
    documents say, so that their words are found although the encoder may be busy, or may have to be started
    again; the other embeds it, and tries until that is done.  `engine` waits for the folder's engine and
    raises `MosearchError` when it has none.
    """

    def __init__(self, name: str, engine: Callable[[], Engine]) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        # A document is read and taken in under it: no older text follows a newer one.
        self._applying = threading.Lock()
        self._open: dict[str, Document] = {}
        self._pending: dict[str, Document | None] = {}
        self._changed = threading.Event()
        self._unembedded = threading.Event()
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=work, name=f"mosearch-{what}-{name}", daemon=True)
            for what, work in (("buffers", self._take_in), ("edits", self._embed))
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._changed.set()
        self._unembedded.set()

    def put(self, path: str, document: Document | None) -> None:
        """`path` (relative, `/`) was opened or edited, or, without a document, closed."""
        with self._lock:
            self._pending[path] = document
            if document is not None:
                self._open[path] = document
            else:
                self._open.pop(path, None)
        self._changed.set()

    def show_again(self) -> None:
        """There is a new engine, which knows of no document yet."""
        with self._lock:
            self._pending = {**self._open, **self._pending}
        self._changed.set()

    def settle(self, path: str) -> None:
        """Take in what `path` holds now, without waiting for further keys."""
        with self._applying:
            with self._lock:
                if path not in self._pending:
                    return
                document = self._pending.pop(path)
            self._apply(path, document)
        self._unembedded.set()

    def embed_soon(self) -> None:
        """An update may have left documents without vectors."""
        self._unembedded.set()

    def _take_in(self) -> None:
        while True:
            self._changed.wait()
            if self._stopping.wait(_DEBOUNCE_S):
                return
            self._changed.clear()
            with self._lock:
                paths = list(self._pending)
            for path in paths:
                self.settle(path)

    def _apply(self, path: str, document: Document | None) -> None:
        try:
            engine = self._engine()
            if document is None:
                engine.hide(path)
            else:
                engine.show(path, document.source)
        except MosearchError as error:  # a new engine, or an update, looks at all documents again
            _log.warning("%s: %s", path, error)
        except Exception:
            _log.exception("%s: what the editor shows could not be taken in", path)

    def _embed(self) -> None:
        pause: float | None = None
        while True:
            self._unembedded.wait(pause)
            if self._stopping.is_set():
                return
            self._unembedded.clear()
            try:
                self._engine().embed_shown()
                pause = None
            except Exception as error:  # the words are searchable all the same
                pause = min(2 * (pause or _LEAST_PAUSE_S), _MOST_PAUSE_S)
                trace = None if isinstance(error, MosearchError) else error
                _log.warning("what editors show waits for its vectors: %s", error, exc_info=trace)
