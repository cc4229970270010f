"""One workspace folder: its engine, and the thread that keeps its index up to date."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from mosearch.errors import CancelledError, MosearchError, StoreLockedError
from mosearch.settings import load_settings
from mosearch.types import IndexReport

if TYPE_CHECKING:
    from mosearch.engine import Engine

# Saves that follow one another (format on save, "save all", a checkout) become one run.
_DEBOUNCE_S = 0.2
# Another process may be indexing the same folder; try again rather than give up.
_RETRY_S = 2.0
_OPEN_TIMEOUT_S = 60.0
# An editor that is closed leaves nothing running, but one that is only restarted finds its host.
_LINGER_S = 3.0


class Listener(Protocol):
    """Told, from the folder's thread, what the editor should show."""

    def begin(self, folder: Folder) -> None: ...

    def report(self, folder: Folder, stage: str, done: int, total: int) -> None: ...

    def end(self, folder: Folder, report: IndexReport) -> None: ...

    def fail(self, folder: Folder, message: str) -> None: ...


class Folder:
    """Opens the engine in the background, then re-indexes whenever `request_update` was called."""

    def __init__(self, root: Path, options: dict[str, object], listener: Listener) -> None:
        self.root = root
        self._options = options
        self._listener = listener
        self._engine: Engine | None = None
        self._trouble: MosearchError | None = None
        self._opened = threading.Event()
        self._wanted = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"mosearch-{root.name}", daemon=True)

    def start(self) -> None:
        self._wanted.set()
        self._thread.start()

    def request_update(self) -> None:
        self._wanted.set()

    def engine(self) -> Engine:
        """The engine, as soon as it is open.  Raises the `MosearchError` that opening it raised."""
        if not self._opened.wait(_OPEN_TIMEOUT_S):
            raise MosearchError(f"The index of {self.root} did not open in {_OPEN_TIMEOUT_S:.0f} s.")
        if self._engine is None:
            raise self._trouble or MosearchError(f"The index of {self.root} is closed.")
        return self._engine

    def stop(self, timeout: float = 3.0) -> None:
        """End the thread and close the engine; what is indexed so far is kept."""
        self._stopping.set()
        self._wanted.set()
        self._thread.join(timeout)

    def _run(self) -> None:
        # Imported here, in the folder's own thread: `initialize` does not wait for numpy and its like.
        from mosearch.engine import Engine

        try:
            settings = load_settings(self.root, self._options)
            self._engine = Engine(self.root, settings, _LINGER_S)
        except MosearchError as error:
            self._trouble = error
            self._listener.fail(self, str(error))
            return
        finally:
            self._opened.set()
        engine = self._engine
        engine.warm_up()
        try:
            self._keep_fresh(engine)
        finally:
            self._engine = None
            engine.close()

    def _keep_fresh(self, engine: Engine) -> None:
        while True:
            self._wanted.wait()
            if self._stopping.is_set():
                return
            self._wanted.clear()
            self._update(engine)
            self._stopping.wait(_DEBOUNCE_S)

    def _update(self, engine: Engine) -> None:
        self._listener.begin(self)
        report = IndexReport()
        try:
            report = engine.update(self._progress, self._stopping, lock_timeout=_RETRY_S)
            engine.maintain(self._stopping)
        except StoreLockedError:
            self._wanted.set()
        except CancelledError:
            pass
        except MosearchError as error:
            self._listener.fail(self, str(error))
        finally:
            self._listener.end(self, report)

    def _progress(self, stage: str, done: int, total: int) -> None:
        self._listener.report(self, stage, done, total)
