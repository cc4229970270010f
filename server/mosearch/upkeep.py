"""Keeping an open index up to date: with the files on disk, down to the exits in use, small, and whole."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from mosearch import home, indexer, memory, workspace
from mosearch.embedding import Embedder
from mosearch.errors import CancelledError, EncoderError, ModelError, StoreDamagedError, StoreLockedError
from mosearch.opened import Opened
from mosearch.progress import Cancel, Either, Progress, When, no_progress
from mosearch.settings import Settings
from mosearch.status import Activity
from mosearch.types import Depth, IndexReport

_IDLE_POLL_S = 0.5
# Each write of vectors leaves a fragment that every question reads: merged now and then.
_UNMERGED_TEXTS = 8_000
_MAINTENANCE_POLL_S = 0.1
# A question waits no longer for whoever builds the index anew.
_ANSWER_LOCK_S = 0.5
# So many take about a second to read: worth a process of its own where one can be had.
_VERY_MANY_FILES = 200

Apart = Callable[[Progress, Cancel], None]
"""Brings the same index up to date from another process, as far as it can; never raises."""

_Result = TypeVar("_Result")


class Upkeep(Opened):
    """An open index that can be brought up to date.  Methods may be called from several threads."""

    def __init__(
        self, root: Path, settings: Settings, linger_seconds: float | None, *, warm_up: bool
    ) -> None:
        super().__init__(root, settings, linger_seconds, warm_up=warm_up)
        self._maintaining = threading.Lock()

    def update(
        self,
        progress: Progress = no_progress,
        cancel: Cancel | None = None,
        *,
        depth: Depth = Depth.INDEX,
        lock_timeout: float = 10.0,
        apart: Apart | None = None,
    ) -> IndexReport:
        """Bring the index up to date with the files on disk, down to `depth`.

        Does nothing that is already done, keeps what it did when cancelled or killed.  Where the
        encoder cannot run, everything is still found by its words and the report says why.  When
        very many files have changed, `apart` may do the work first; the report does not count that.
        Raises `StoreError`, `CancelledError`, `RootError`.
        """
        cancel = cancel if cancel is not None else threading.Event()
        noted = self._noting(progress)
        store = self.store
        try:
            return self._update(noted, cancel, depth, lock_timeout, apart)
        except StoreDamagedError as error:
            self._begin_anew(store, error)
            return self._update(noted, cancel, depth, lock_timeout, apart)
        finally:
            self._note(Activity())

    def go_on(
        self, progress: Progress = no_progress, cancel: Cancel | None = None, *, depth: Depth = Depth.DEEP
    ) -> str:
        """Embed what `update` left: at the index exit at once, at the deepest exit in idle time.

        Returns, when nothing is left to do down to `depth`, why some texts could not be embedded.
        Deepening keeps away from whoever asks or types, and waits while the machine runs on battery or
        others use it.  Raises `StoreError`, and `CancelledError` when `cancel` is raised; what is done
        is kept.
        """
        cancel = cancel if cancel is not None else threading.Event()
        try:
            return self._mended(lambda: self._go_on(progress, cancel, depth), cancel)
        finally:
            self._note(Activity())

    def embed_shown(self) -> None:
        """Vectors for all that editors show and that has none yet.

        Raises `EncoderError` when meaning has to wait, `StoreError`.
        """
        self._documents.embed(self.store, self._encoder, self._exits)

    def maintain(self, cancel: Cancel | None = None) -> None:
        """Merge small writes and refresh the indices if that is due, in a process of low priority.

        With `cancel`, waits for it and ends it early when that is raised; without, it goes on by itself.
        Does nothing while another thread is at it.  Raises `StoreError`.
        """
        if self._maintaining.acquire(blocking=False):
            try:
                self._mended(lambda: self._maintain(cancel), cancel)
            finally:
                self._maintaining.release()

    def _maintain(self, cancel: Cancel | None) -> None:
        home.note_use(self.index_dir)
        home.drop_outdated(self.index_dir)
        home.drop_forsaken()
        self.store.note_model(self.model.fingerprint)
        self.store.note_live()
        if not self.store.maintenance_due():
            return
        process = self.store.start_optimizing()
        while cancel is not None and process.poll() is None:
            if cancel.is_set():
                process.terminate()
                process.wait()
            time.sleep(_MAINTENANCE_POLL_S)

    def clean(self) -> None:
        """Drop the vectors of all models but this one, and what was replaced, now.

        Raises `StoreError`, and `ModelError` where it is not known which vectors are this model's.
        """
        if self._exits.trouble:
            raise ModelError(f"No vectors were dropped: {self._exits.trouble}")
        self._mended(self._clean)

    def _clean(self) -> None:
        self.store.drop_other_models(self.model.fingerprint)
        self.store.optimize()

    def _mended(self, work: Callable[[], _Result], cancel: Cancel | None = None) -> _Result:
        """What `work` gives; an index that turns out to be damaged is built again first.

        Where another process is at that, what there is by now has to do.
        """
        store = self.store
        try:
            return work()
        except StoreDamagedError as error:
            self._begin_anew(store, error)
            with suppress(StoreLockedError):
                self.update(cancel=cancel, depth=Depth.FIRST, lock_timeout=_ANSWER_LOCK_S)
            return work()

    def _update(
        self, progress: Progress, cancel: Cancel, depth: Depth, lock_timeout: float, apart: Apart | None
    ) -> IndexReport:
        self._look_for_model()
        with self._updating(lock_timeout):
            rules = workspace.IgnoreRules.load(self.root)
            done = self._reconciled(rules, progress, cancel, lock_timeout, apart)
        if done.changed:
            memory.give_back()
        new = set(done.digests)
        known = self.store.known_digests(self.model.fingerprint, self.index_exit, new)
        self._documents.lay_all(rules, self._ground())
        embedded, warning = self._embedder().run(depth, progress, cancel)
        self._pace.left_behind = depth < Depth.INDEX
        if not warning:
            with suppress(EncoderError):  # who shows documents tries again
                self.embed_shown()
        return replace(
            self.report(warning),
            embedded=embedded,
            reused=len(done.digests) - len(new - known),
            changed_files=done.changed,
            removed_files=done.removed,
            skipped=dict(sorted(done.skipped.items())),
            failed=dict(sorted(done.failed.items())),
            is_settled=not done.unread,
        )

    @contextmanager
    def _updating(self, timeout: float) -> Iterator[None]:
        """Keeps other threads from updating.  Raises `StoreLockedError` after `timeout` seconds."""
        if not self._update_lock.acquire(timeout=timeout):
            raise StoreLockedError(
                f"The index of {self.root} is being brought up to date, which did not end within "
                f"{timeout:g} s. Try again in a moment."
            )
        try:
            yield
        finally:
            self._update_lock.release()

    def _reconciled(
        self,
        rules: workspace.IgnoreRules,
        progress: Progress,
        cancel: Cancel,
        lock_timeout: float,
        apart: Apart | None,
    ) -> indexer.Reconciled:
        """The files of the store made those on disk."""
        limit = self.settings.max_file_bytes
        progress("scan", 0, 0)
        self._follow_others()  # also where who builds the tables anew keeps the lock
        with self.store.writer_lock(timeout=lock_timeout):
            self._follow_others()  # who held the lock before may have built them anew meanwhile
            store, looked = self.store, time.time()  # what is saved from now on may be missed
            found = indexer.survey(self.root, store, limit, rules)
            if apart is None or found.news < _VERY_MANY_FILES:
                told = self.model.reads_language
                done = indexer.reconcile(
                    self.root, store, found, limit, progress, cancel, digest_language=told
                )
                store.note_sync(looked)
                self._is_compared, self._unread = True, done.unread
                return done
        apart(progress, cancel)  # needs the lock, and may leave something to do
        return self._reconciled(rules, progress, cancel, lock_timeout, None)

    def _go_on(self, progress: Progress, cancel: Cancel, depth: Depth) -> str:
        _, warning = self._embedder().run(Depth.INDEX, self._noting(progress), cancel)
        if not warning and depth is Depth.DEEP and self.settings.deepen:
            warning = self._deepen(cancel)
        return warning

    def _deepen(self, cancel: Cancel) -> str:
        done = 0

        def count(_stage: str, texts: int, _total: int) -> None:
            nonlocal done
            done = texts

        def is_called_off() -> bool:
            return self._pace.left_behind or done >= _UNMERGED_TEXTS or bool(self._reason_to_wait())

        stop = Either(cancel, When(is_called_off))
        while not self.store.coverage(self.model.fingerprint).is_complete(self._deepest_exit):
            if cancel.is_set():
                raise CancelledError("Deepening was cancelled; what is done so far is kept.")
            if reason := self._reason_to_wait():
                if self.activity.reason != reason:
                    self._note(Activity("paused", reason=reason))
                time.sleep(_IDLE_POLL_S)
                continue
            if done >= _UNMERGED_TEXTS:
                self.maintain(cancel)
            self._pace.left_behind, done = False, 0
            with suppress(CancelledError):  # paused, called to shallower work, or ended: the next round tells
                if warning := self._embedder().run(Depth.DEEP, self._noting(count), stop)[1]:
                    return warning
        return ""

    def _reason_to_wait(self) -> str:
        return self._pace.reason_to_wait(self.settings.deepen_load)

    @property
    def _deepest_exit(self) -> int:
        return self.rerank_exit if self.settings.rerank else self.index_exit

    def _embedder(self) -> Embedder:
        return Embedder(
            store=self.store,
            encoder=self._encoder,
            fingerprint=self.model.fingerprint,
            first_exit=self.first_exit,
            index_exit=self.index_exit,
            deepest_exit=self._deepest_exit,
            recent=self._pace.recent,
        )

    def _noting(self, progress: Progress) -> Progress:
        """`progress`, and the same for those who listen to the status."""

        def tell(stage: str, done: int, total: int) -> None:
            self._note(Activity(stage, done, total))
            progress(stage, done, total)

        return tell
