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


class Document(Protocol):
    """An open document; its text is read when it is looked at, not at every key."""

    @property
    def source(self) -> str: ...


class Buffers:
    """Tells one folder's engine what its open documents hold, from a thread of its own.

    The thread that indexes may be busy for minutes; edits do not wait for it.  `engine` waits for the
    folder's engine and raises `MosearchError` when it has none.
    """

    def __init__(self, name: str, engine: Callable[[], Engine]) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._open: dict[str, Document] = {}
        self._pending: dict[str, Document | None] = {}
        self._changed = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"mosearch-buffers-{name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._changed.set()

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

    def _run(self) -> None:
        while True:
            self._changed.wait()
            if self._stopping.wait(_DEBOUNCE_S):
                return
            self._changed.clear()
            with self._lock:
                pending, self._pending = self._pending, {}
            for path, document in pending.items():
                self._apply(path, document)

    def _apply(self, path: str, document: Document | None) -> None:
        try:
            engine = self._engine()
            if document is None:
                engine.hide(path)
            else:
                engine.show(path, document.source)
        except MosearchError as error:
            # What the words say is searchable all the same; the next edit tries again.
            _log.warning("%s: %s", path, error)
        except Exception:
            _log.exception("%s: what the editor shows could not be taken in", path)
