"""When work that nobody waits for may go on, and what of it comes first."""

from __future__ import annotations

import time

from mosearch.idle import reason_to_wait

# It keeps away for this long from whoever asks or types.
_IN_USE_S = 2.0
_RECENT_FILES = 100


class Pace:
    """Follows how one workspace is used.  Its methods may be called from several threads."""

    def __init__(self) -> None:
        self.left_behind = False
        """Whether an update left texts for the index exit to somebody who may be busy deepening."""
        self._last_use = 0.0
        self._recent: list[str] = []

    def use(self, path: str | None = None) -> None:
        """Somebody asks or types, perhaps in a file: it is deepened before others, but not just now."""
        self._last_use = time.monotonic()
        if path is not None:
            others = [other for other in self._recent if other != path]
            self._recent = [path, *others[: _RECENT_FILES - 1]]

    @property
    def recent(self) -> tuple[str, ...]:
        """Paths of the files that were typed in, the latest first."""
        return tuple(self._recent)

    def reason_to_wait(self, load_percent: int) -> str:
        """`in use`, `battery` or `load`; empty when deepening may go on.  See `mosearch.idle`."""
        if time.monotonic() - self._last_use < _IN_USE_S:
            return "in use"
        return reason_to_wait(load_percent)
