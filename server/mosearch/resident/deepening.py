"""What the resident process does between commands: it embeds what their answers did not wait for."""

from __future__ import annotations

import logging
import threading

from mosearch.engine import Engine
from mosearch.errors import CancelledError
from mosearch.progress import Either
from mosearch.types import Depth

_log = logging.getLogger(__name__)

_STOP_S = 5.0


class Deepening:
    """Goes on with an engine's index in a thread of its own, whenever it is woken."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._wanted = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mosearch-deepening", daemon=True)
        self._thread.start()
        self.wake()

    def wake(self) -> None:
        """There may be something to do."""
        self._wanted.set()

    def stop(self) -> None:
        """End it; what is embedded so far is kept."""
        self._stopping.set()
        self._wanted.set()
        self._thread.join(_STOP_S)

    def _run(self) -> None:
        while True:
            self._wanted.wait()
            if self._stopping.is_set():
                return
            self._wanted.clear()
            try:
                self._go_on()
            except CancelledError:
                pass  # somebody has asked since, or it is the end
            except Exception:  # whatever it was, the next command is another chance
                _log.exception("going on with %s failed", self._engine.root)

    def _go_on(self) -> None:
        """Down to the index exit, then care for the tables; what is deeper gives way to the next answer."""
        trouble = self._engine.go_on(cancel=self._stopping, depth=Depth.INDEX)
        self._engine.maintain(self._stopping)
        trouble = trouble or self._engine.go_on(cancel=Either(self._stopping, self._wanted))
        if trouble:
            _log.warning("%s", trouble)
