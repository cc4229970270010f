"""An index that is open: what it holds, the model and the encoder beside it, the documents above it."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from mosearch import home, workspace
from mosearch.connection import Connection
from mosearch.documents import Documents, Ground
from mosearch.errors import EncoderError, StoreDamagedError, StoreLockedError
from mosearch.exits import exits_in_use
from mosearch.pace import Pace
from mosearch.settings import Settings
from mosearch.status import Activities, Activity, Status, StatusFeed
from mosearch.store import Coverage, Store
from mosearch.types import IndexReport, ModelInfo, StoredChunk

_log = logging.getLogger(__name__)

# A question may rest on a picture of the coverage this old; counting takes longer than answering.
_COVERAGE_S = 1.0


class Opened:
    """What is open of one workspace.  Methods may be called from several threads."""

    def __init__(
        self, root: Path, settings: Settings, linger_seconds: float | None, *, warm_up: bool
    ) -> None:
        """As `Engine`."""
        self.root = workspace.resolve_root(root)
        self.settings = settings
        self._exits = exits_in_use(settings)
        self.index_dir = home.index_dir(self.root, self.model)
        self._vectors_dir = home.vectors_dir(self.root)
        self._encoder = Connection(settings, linger_seconds, lambda: self.model.fingerprint)
        if warm_up and self._needs_host():
            self._encoder.warm_up()
        self.store = self._open_store()
        self._documents = Documents(workspace.IgnoreRules.load(self.root))
        self.overlay = self._documents.overlay
        self._update_lock = threading.RLock()
        self._opening = threading.Lock()
        self._is_compared = False
        self._unread: Mapping[str, str] = {}
        self._pace = Pace()
        self._coverage: tuple[float, Coverage] | None = None
        self._activities = Activities()
        self._feed = StatusFeed(self.status)

    @property
    def model(self) -> ModelInfo:
        return self._exits.model

    @property
    def first_exit(self) -> int:
        return self._exits.first

    @property
    def index_exit(self) -> int:
        return self._exits.index

    @property
    def rerank_exit(self) -> int:
        return self._exits.rerank

    @property
    def activity(self) -> Activity:
        """What goes on just now."""
        return self._activities.current

    def close(self) -> None:
        """Let go of the store and the encoder; may be called again."""
        if not self._encoder.is_closed:
            self._encoder.close()
            self._feed.close()
            self.store.close()

    def report(self, warning: str = "") -> IndexReport:
        """The index as it is, for answers that could not bring it up to date.  Raises `StoreError`."""
        records = self.store.files().values()
        skipped = Counter(
            record.skip_reason for record in records if record.skip_reason and not record.trouble
        )
        return IndexReport(
            files=sum(not record.skip_reason for record in records),
            chunks=sum(record.chunks for record in records),
            skipped=dict(sorted(skipped.items())),
            failed={r.path: r.trouble for r in records if r.trouble} | dict(self._unread),
            warning=warning,
        )

    def on_status(self, listener: Callable[[Status], None]) -> Callable[[], None]:
        """Call `listener` with the status now and after each change, four times a second at most.

        It is called from a thread of its own.  Returns what ends it; closing the engine ends it, too.
        """
        return self._feed.subscribe(listener)

    def status(self) -> Status:
        """Counts and state, read from the store.  Raises `StoreError`."""
        # Another thread may update meanwhile: what is counted after must not be older than the sync that is
        # told, nor be told as a state at rest.
        self._follow_others()
        began, last_sync = self.activity, self.store.last_sync()
        report = self.report()
        coverage = self.store.coverage(self.model.fingerprint)
        activity = Activities.most_urgent(began, self.activity)
        exits = sorted({self.first_exit, self.index_exit, self.rerank_exit} | set(coverage.vectors))
        device, trouble = self._encoder.running()
        return Status(
            root=self.root,
            index_dir=self.index_dir,
            files=report.files,
            pending_files=activity.total - activity.done if activity.stage == "parse" else 0,
            chunks=report.chunks,
            texts=coverage.texts,
            vectors={exit: coverage.vectors.get(exit, 0) for exit in exits},
            pending=coverage.missing(self.index_exit),
            skipped=report.skipped,
            failed=report.failed,
            activity=activity,
            last_sync=last_sync,
            model=self.model,
            first_exit=self.first_exit,
            index_exit=self.index_exit,
            rerank_exit=self.rerank_exit,
            in_process=() if self._needs_host() else (self.first_exit,),
            device=device,
            trouble=self._exits.trouble or self._encoder.trouble or trouble,
            stats=self.store.stats(),
        )

    def _open_store(self) -> Store:
        return home.open_store(self.root, self.index_dir, self._vectors_dir)

    def _needs_host(self) -> bool:
        """Whether not even the cheapest exit is embedded in this process."""
        try:
            return self._encoder.needs_host(self.first_exit)
        except EncoderError:
            return True  # which the host will explain

    def _note(self, activity: Activity) -> None:
        """What the calling thread is doing from now on."""
        self._activities.note(activity)
        self._coverage = None
        self._feed.changed()

    def _recent_coverage(self) -> Coverage:
        now = time.monotonic()
        known = self._coverage
        if known is None or now - known[0] > _COVERAGE_S:
            self._coverage = known = now, self.store.coverage(self.model.fingerprint)
        return known[1]

    def _is_current(self, stored: StoredChunk) -> bool:
        """Whether a chunk's file is still as it was read and not ignored now, or is shown by an editor.

        To be asked until the files on disk were compared with the store for the first time: with a million
        chunks that takes a second, and answers need not wait for it.
        """
        if stored.file_id < 0:
            return True
        if self._documents.is_ignored(stored.path):
            return False
        record = self.store.files().get(stored.path)
        path = str(self.root / stored.path)
        return record is not None and workspace.is_unchanged(path, record.size, record.mtime_ns)

    def _ground(self) -> Ground:
        return Ground(self.store, self.settings.max_file_bytes, self.model.reads_language)

    def _look_for_model(self) -> None:
        """A model that was missing or damaged may be there now, with an index of its own."""
        if not self._exits.trouble:
            return
        self._exits = exits_in_use(self.settings)
        index_dir = home.index_dir(self.root, self.model)
        if self.index_dir != index_dir:
            self.index_dir = index_dir
            self.store = self._open_store()
            self._documents.forget_chunks()

    def _follow_others(self) -> None:
        """Where another process has set damaged tables aside, open what is there now."""
        if self.store.is_set_aside():
            with self._opening:
                if self.store.is_set_aside():
                    self._reopen()

    def _begin_anew(self, damaged: Store, cause: StoreDamagedError) -> None:
        """Set damaged tables aside, unless another thread or process has, and open what is there now.

        Who has may fill the new ones for minutes, which nobody waits for here.
        """
        with suppress(StoreDamagedError):  # also the note that names the tables may be damaged
            self._follow_others()
        if self.store is not damaged:
            return
        try:
            with self._update_lock:
                if self.store is damaged:
                    _log.warning("%s", cause)
                    Store.quarantine(self.index_dir, self._vectors_dir, seen=damaged.generation)
                    with self._opening:
                        self._reopen()
        except StoreLockedError:
            self._follow_others()
            if self.store is damaged:
                raise

    def _reopen(self) -> None:
        self.store = self._open_store()
        self._coverage = None
        self._is_compared = False
