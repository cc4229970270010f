"""One workspace folder: its engine, and the thread that keeps its index up to date."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from mosearch.errors import CancelledError, MosearchError, StoreLockedError
from mosearch.lsp.buffers import Buffers
from mosearch.settings import load_settings
from mosearch.types import IndexReport

if TYPE_CHECKING:
    from mosearch.engine import Engine

_log = logging.getLogger(__name__)

# Saves that follow one another (format on save, "save all", a checkout) become one run.
_DEBOUNCE_S = 0.2
# Another process may be indexing the same folder; try again rather than give up.
_RETRY_S = 2.0
_OPEN_TIMEOUT_S = 60.0
# An editor that is closed leaves nothing running, but one that is only restarted finds its host.
_LINGER_S = 1.0


class Listener(Protocol):
    """Told, from the folder's thread, what the editor should show."""

    def begin(self, folder: Folder) -> None: ...

    def report(self, folder: Folder, stage: str, done: int, total: int) -> None: ...

    def end(self, folder: Folder, report: IndexReport | None) -> None:
        """`report` is None when the run did not come to its end."""

    def fail(self, folder: Folder, message: str) -> None: ...


class Folder:
    """Opens the engine in the background, then re-indexes whenever `request_update` was called.

    With `watch`, it notices changed files itself, for a client that does not tell.
    """

    def __init__(self, root: Path, options: dict[str, object], listener: Listener, *, watch: bool) -> None:
        self.root = root
        self._options = options
        self._listener = listener
        self._engine: Engine | None = None
        self._trouble: MosearchError | None = None
        self._opened = threading.Event()
        self._wanted = threading.Event()
        self._stopping = threading.Event()
        self.buffers = Buffers(root.name, self.engine)
        self._watch = watch
        self._thread = threading.Thread(target=self._run, name=f"mosearch-{root.name}", daemon=True)
        self._maintenance: threading.Thread | None = None

    def start(self) -> None:
        self._wanted.set()
        self._thread.start()
        self.buffers.start()

    def request_update(self) -> None:
        self._wanted.set()

    def engine(self) -> Engine:
        """The engine, as soon as it is open.  Raises the `MosearchError` that opening it raised."""
        if not self._opened.wait(_OPEN_TIMEOUT_S):
            raise MosearchError(f"The index of {self.root} did not open in {_OPEN_TIMEOUT_S:.0f} s.")
        if self._engine is None:
            raise self._trouble or MosearchError(f"The index of {self.root} is closed.")
        return self._engine

    def stop(self, timeout: float = 1.5) -> None:
        """End the thread and close the engine; what is indexed so far is kept."""
        self.buffers.stop()
        self._stopping.set()
        self._wanted.set()
        self._thread.join(timeout)

    def _run(self) -> None:
        # Imported here, in the folder's own thread: `initialize` does not wait for numpy and its like.
        from mosearch.engine import Engine
        from mosearch.resident.server import take_over
        from mosearch.workspace import Watcher

        try:
            settings = load_settings(self.root, self._options)
            self._engine = Engine(self.root, settings, _LINGER_S, warm_up=True)
        except Exception as error:
            self._trouble = _named(error, f"The index of {self.root} could not be opened")
            self._listener.fail(self, str(self._trouble))
            return
        finally:
            self._opened.set()
        engine = self._engine
        watcher = Watcher(engine.root, self.request_update)
        resident = take_over(engine) if settings.resident else None
        try:
            if self._watch:
                watcher.start()
            self._keep_fresh(engine)
        finally:
            watcher.stop()
            if resident is not None:
                resident.close()
            self._engine = None
            self._stopping.set()
            if self._maintenance is not None:
                self._maintenance.join()
            engine.close()

    def _keep_fresh(self, engine: Engine) -> None:
        while True:
            self._wanted.wait()
            if self._stopping.is_set():
                return
            self._wanted.clear()
            self._update(engine)
            self._maintain(engine)
            self._stopping.wait(_DEBOUNCE_S)

    def _update(self, engine: Engine) -> None:
        self._listener.begin(self)
        report = None
        try:
            report = engine.update(self._progress, self._stopping, lock_timeout=_RETRY_S)
        except StoreLockedError:
            self._wanted.set()
        except CancelledError:
            pass
        except Exception as error:  # whatever went wrong this time, the next change is another chance
            self._listener.fail(self, str(_named(error, f"{self.root} could not be indexed")))
        finally:
            self._listener.end(self, report)

    def _maintain(self, engine: Engine) -> None:
        """Beside the updates, which need not wait for it; what fails is tried again after the next one."""
        if self._maintenance is not None and self._maintenance.is_alive():
            return

        def run() -> None:
            try:
                engine.maintain(self._stopping)
            except Exception as error:
                _log.warning("%s", _named(error, f"The index of {self.root} could not be maintained"))

        self._maintenance = threading.Thread(target=run, name="mosearch-maintenance", daemon=True)
        self._maintenance.start()

    def _progress(self, stage: str, done: int, total: int) -> None:
        self._listener.report(self, stage, done, total)


def _named(error: Exception, what: str) -> MosearchError:
    """The error as it is if it has a message for the user; anything else with its trace in the log."""
    if isinstance(error, MosearchError):
        return error
    _log.error("%s", what, exc_info=error)
    return MosearchError(f"{what}: {type(error).__name__}: {error}. The server's log has the details.")
