"""What the resident process does between commands: it embeds what their answers did not wait for."""

from __future__ import annotations

import logging
import threading

from mosearch.engine import Engine
from mosearch.errors import CancelledError

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
                if trouble := self._engine.go_on(cancel=self._stopping):
                    _log.warning("%s", trouble)
                self._engine.maintain(self._stopping)
            except CancelledError:
                return
            except Exception:  # whatever it was, the next command is another chance
                _log.exception("going on with %s failed", self._engine.root)
