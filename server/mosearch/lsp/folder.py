"""One workspace folder: its engine, and the thread that keeps its index up to date."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from mosearch import bulk, memory
from mosearch.errors import CancelledError, MosearchError, SettingsError, StoreLockedError
from mosearch.lsp.beside import Beside
from mosearch.lsp.buffers import Buffers
from mosearch.lsp.configuration import Values
from mosearch.progress import Either, Meter, When
from mosearch.settings import Settings, load_settings
from mosearch.types import Depth, IndexReport

if TYPE_CHECKING:
    from mosearch.engine import Engine
    from mosearch.resident.server import Resident

_log = logging.getLogger(__name__)

# Saves that follow one another (format on save, "save all", a checkout) become one run.
_DEBOUNCE_S = 0.2
# Another process may be indexing the same folder; try again rather than give up.
_RETRY_S = 2.0
# What failed for want of a disk, a permission or an encoder is tried again, later each time.
_LEAST_PAUSE_S = 1.0
_MOST_PAUSE_S = 300.0
# An editor that is closed leaves nothing running, but one that is only restarted finds its host.
_LINGER_S = 1.0
# A question asked while the encoder starts is answered by words.
_PATIENCE_S = 0.3

# An engine that was replaced is closed when no request can use it any more.
_RETIRE_S = 10.0

# Settings that hold from the next request on; for any other the engine is opened anew.
_AT_ONCE = frozenset(
    {
        "rerank",
        "rerank_budget_ms",
        "limit",
        "max_file_bytes",
        "log_level",
        "code_lens",
        "similar_threshold",
        "duplicate_hints",
        "duplicate_threshold",
    }
)

Sources = Sequence[tuple[str, Values]]
"""What the client sets, weakest first, each with what to call it in messages."""


@dataclass(frozen=True, slots=True)
class State:
    """What a folder is doing, for people."""

    name: Literal["opening", "indexing", "ready", "cancelled", "failed"] = "opening"
    stage: str = ""
    done: int = 0
    total: int = 0
    share: float = 0.0
    """How much of the run is done, 0 to 1; it never falls within one run."""
    error: str = ""
    """Why it failed."""
    warning: str = ""
    """It works, but less well: why."""


class Listener(Protocol):
    """Told, from the folder's threads, what the editor should show."""

    def changed(self, folder: Folder) -> None:
        """`folder.state` or its settings are different now."""

    def begin(self, folder: Folder) -> None: ...

    def report(self, folder: Folder, stage: str, done: int, total: int) -> None: ...

    def end(self, folder: Folder, report: IndexReport | None) -> None:
        """`report` is None when the run did not come to its end."""

    def complain(self, folder: Folder, message: str) -> None:
        """Something that the user should know; said once as long as it stays true."""


class Folder:
    """Opens the engine in the background, then re-indexes whenever `request_update` was called.

    Settings are read again before each run, and what failed is tried again, so what the user corrects takes
    effect.  With `watch`, it notices changed files itself, for a client that does
    not tell.
    """

    def __init__(
        self, root: Path, sources: Sources, listener: Listener, *, watch: bool, uri: str | None = None
    ) -> None:
        self.root = root
        self.uri = uri if uri is not None else root.as_uri()
        """As the client wrote it."""
        self.state = State()
        self.settings_problem = ""
        """What is wrong with the settings now; the last good ones hold."""
        self.tried: Future[None] = Future()
        """Done once the engine is open or could not be opened."""
        self._sources = sources
        self._listener = listener
        self._engine: Engine | None = None
        self._trouble: MosearchError | None = None
        self._wanted = threading.Event()
        self._meter = Meter()
        self._cancelled = threading.Event()
        self._stopping = threading.Event()
        self.buffers = Buffers(root.name, self._engine_when_open)
        self._watch = watch
        self._thread = threading.Thread(target=self._run, name=f"mosearch-{root.name}", daemon=True)
        self._maintenance = Beside(f"maintenance of the index of {root}", self._stopping)
        self._deepening = Beside(f"deepening of the index of {root}", self._stopping)
        self._is_settled = False
        self._resident: Resident | None = None
        """Commands that ask about the same folder are answered here."""
        self._door_of: Settings | None = None
        """The settings whose commands are answered."""

    def start(self) -> None:
        self._wanted.set()
        self._thread.start()
        self.buffers.start()

    def request_update(self) -> None:
        self._wanted.set()

    def configure(self, sources: Sources) -> None:
        """The client's settings have changed.  Reads the other sources, so not for the event loop.

        What can hold at once does, whatever goes on; the rest when the folder's thread comes to it.
        """
        self._sources = sources
        engine = self._engine
        if engine is not None:
            with suppress(MosearchError):  # the thread will say what is wrong
                settings = load_settings(self.root, further=sources)
                engine.settings = replace(engine.settings, **_at_once(settings))
                self._listener.changed(self)
        self._wanted.set()

    def cancel(self) -> None:
        """End the run of indexing, or the deepening, that goes on; the next change begins another."""
        self._cancelled.set()

    @property
    def settings(self) -> Settings:
        """Those in force; the defaults while there are none."""
        engine = self._engine
        return engine.settings if engine is not None else Settings()

    def engine(self) -> Engine:
        """The engine.  Raises the `MosearchError` that opening it raised, or another before `tried`."""
        engine = self._engine
        if engine is None:
            raise self._trouble or MosearchError(f"The index of {self.root} is not open.")
        return engine

    def stop(self, timeout: float = 1.5) -> None:
        """End the thread and close the engine; what is indexed so far is kept."""
        self.buffers.stop()
        self._stopping.set()
        self._wanted.set()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _engine_when_open(self) -> Engine:
        self.tried.result()
        return self.engine()

    def _run(self) -> None:
        # Imported here, in the folder's own thread: `initialize` does not wait for numpy and its like.
        from mosearch.workspace import Watcher

        watcher = Watcher(self.root.resolve(), self.request_update)
        try:
            if self._watch and self.root.is_dir():
                watcher.start()
            self._keep_fresh()
        finally:
            watcher.stop()
            self._close()

    def _keep_fresh(self) -> None:
        pause: float | None = None
        while True:
            self._wanted.wait(pause)
            if self._stopping.is_set():
                return
            self._wanted.clear()
            self._cancelled.clear()
            engine = self._current_engine()
            self._have_tried()
            is_done = engine is not None and self._update(engine)
            pause = None if is_done else min(2 * (pause or _LEAST_PAUSE_S), _MOST_PAUSE_S)
            if engine is not None:
                self.buffers.embed_soon()
                self._go_on(self._engine or engine)
            self._stopping.wait(_DEBOUNCE_S)

    def _current_engine(self) -> Engine | None:
        """The engine with the settings of now; the one before when these are wrong."""
        try:
            settings = load_settings(self.root, further=self._sources)
            self._fit(settings)
        except Exception as error:
            trouble = _named(error, f"The index of {self.root} could not be opened")
            self._complain(trouble)
        else:
            self._trouble = None
            self.settings_problem = ""
        return self._engine

    def _fit(self, settings: Settings) -> None:
        """Have an engine with these settings.  Raises what opening it raises, the old one is kept then."""
        old = self._engine
        if old is None or _differ_at_opening(old.settings, settings):
            with memory.loading():
                from mosearch.engine import Engine

                engine = Engine(self.root, settings, _LINGER_S, warm_up=True, patience_seconds=_PATIENCE_S)
            self._replace(engine)
        else:
            old.settings = settings
            if self._door_of == settings:
                return
            self._open_door(old)
        self._listener.changed(self)

    def _replace(self, engine: Engine | None) -> None:
        """Let go of the engine and the door to it, and take another."""
        old, self._engine = self._engine, engine
        if engine is not None:
            self._have_tried()
            self.buffers.show_again()
        self._open_door(engine)
        if old is not None and engine is not None:
            retire = threading.Timer(_RETIRE_S, old.close)
            retire.daemon = True
            retire.start()
        elif old is not None:
            old.close()

    def _complain(self, trouble: MosearchError) -> None:
        self._trouble = trouble
        if isinstance(trouble, SettingsError) or self._engine is not None:
            self.settings_problem = str(trouble)
        if self._engine is None:
            self._become(State("failed", error=str(trouble)))
        else:
            self._listener.changed(self)
        self._listener.complain(self, str(trouble))

    def _open_door(self, engine: Engine | None) -> None:
        """Answer the commands that have this engine's settings, and no longer those of other ones."""
        from mosearch.resident.server import take_over

        if self._resident is not None:
            self._resident.close()
            self._resident = None
        self._door_of = engine.settings if engine is not None else None
        if engine is not None and engine.settings.resident:
            self._resident = take_over(engine)

    def _update(self, engine: Engine) -> bool:
        """Whether nothing is left to try again without a change of files."""
        self._listener.begin(self)
        self._meter = Meter()
        self._become(State("indexing", warning=self.state.warning))
        report = None
        state = State("ready", warning=self.state.warning)
        try:
            report = self._bring_up_to_date(engine)
            state = State("ready", warning=report.warning)
        except StoreLockedError:
            self._wanted.set()
            state = self.state
        except CancelledError:
            state = State("cancelled", warning=self.state.warning)
        except Exception as error:  # whatever went wrong this time, it is tried again
            trouble = _named(error, f"{self.root} could not be indexed")
            state = State("ready", warning=str(trouble))
        finally:
            self._listener.end(self, report)
            self._become(state)
        if not self._is_settled:  # by now all modules are loaded
            memory.settle()
            self._is_settled = True
        if state.warning:
            self._listener.complain(self, state.warning)
        return not state.warning and (report is None or report.is_settled)

    def _bring_up_to_date(self, engine: Engine) -> IndexReport:
        """Down to the index exit; what changes meanwhile is read as soon as the cheapest exit covers all."""
        stop = Either(self._stopping, self._cancelled)
        while True:
            apart = partial(bulk.update, self.root, engine.settings)
            report = engine.update(
                self._progress, stop, depth=Depth.FIRST, lock_timeout=_RETRY_S, apart=apart
            )
            try:
                change = Either(self._stopping, self._cancelled, self._wanted)
                warning = engine.go_on(self._progress, change, depth=Depth.INDEX)
                return replace(report, warning=warning or report.warning)
            except CancelledError:
                if stop.is_set():
                    raise
            self._stopping.wait(_DEBOUNCE_S)
            self._wanted.clear()
            engine = self._current_engine() or engine

    def _go_on(self, engine: Engine) -> None:
        """Deepen and merge; what fails is tried again after the next update."""
        self._maintenance.want(lambda: engine.maintain(self._stopping))
        if not self._cancelled.is_set():
            self._deepening.want(lambda: self._deepen(engine))

    def _deepen(self, engine: Engine) -> None:
        is_replaced = When(lambda: self._engine is not engine)
        trouble = engine.go_on(cancel=Either(self._stopping, self._cancelled, is_replaced))
        if trouble:
            _log.warning("%s: deepening waits: %s", self.root, trouble)
        engine.maintain(self._stopping)

    def _progress(self, stage: str, done: int, total: int) -> None:
        share = self._meter.update(stage, done, total)
        self._become(replace(self.state, stage=stage, done=done, total=total, share=share))
        self._listener.report(self, stage, done, total)

    def _become(self, state: State) -> None:
        if state != self.state:
            self.state = state
            self._listener.changed(self)

    def _have_tried(self) -> None:
        if not self.tried.done():
            self.tried.set_result(None)

    def _close(self) -> None:
        self._stopping.set()
        self._have_tried()
        self._maintenance.join()
        self._deepening.join()
        self._replace(None)


def _differ_at_opening(old: Settings, new: Settings) -> bool:
    return replace(old, **_at_once(new)) != new


def _at_once(settings: Settings) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in _AT_ONCE}


def _named(error: Exception, what: str) -> MosearchError:
    """The error as it is if it has a message for the user; anything else with its trace in the log."""
    if isinstance(error, MosearchError):
        return error
    _log.error("%s", what, exc_info=error)
    return MosearchError(f"{what}: {type(error).__name__}: {error}. The server's log has the details.")
