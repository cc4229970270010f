"""An editor, as a workspace folder sees it, for tests of what happens without one."""

from __future__ import annotations

from mosearch.lsp.folder import Folder
from mosearch.types import IndexReport


class Silent:
    """An editor that shows nothing."""

    def changed(self, folder: Folder) -> None: ...

    def begin(self, folder: Folder) -> None: ...

    def report(self, folder: Folder, stage: str, done: int, total: int) -> None: ...

    def end(self, folder: Folder, report: IndexReport | None) -> None: ...

    def complain(self, folder: Folder, message: str) -> None: ...
