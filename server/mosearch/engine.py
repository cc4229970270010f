"""The façade that the command line and the language server share.

One `Engine` serves one workspace root.  It owns the store, starts the encoder host when it is
first needed, and turns failures of the encoder into answers by words with a warning.
"""

from __future__ import annotations

import hashlib
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from mosearch import indexer, memory, parsing, ranking, workspace
from mosearch.candidates import Index, plan
from mosearch.connection import Connection
from mosearch.documents import Documents, Ground, parsed_chunks
from mosearch.embedding import Embedder
from mosearch.errors import (
    CancelledError,
    EncoderError,
    QueryError,
    StoreDamagedError,
)
from mosearch.exits import exits_in_use
from mosearch.pace import Pace
from mosearch.places import selection
from mosearch.progress import Cancel, Either, Progress, When, no_progress
from mosearch.ranking import Pool
from mosearch.searcher import Early, Searcher, neighbours, other_parts, without_host
from mosearch.settings import Settings, cache_dir
from mosearch.status import Activities, Activity, Status, StatusFeed
from mosearch.store import Coverage, Store
from mosearch.types import (
    Depth,
    Filters,
    Hit,
    IndexReport,
    ModelInfo,
    ParsedFile,
    SearchResult,
    SkipReason,
    StoredChunk,
)

_IDLE_POLL_S = 0.5
# A question may rest on a picture of the coverage this old; counting takes longer than answering.
_COVERAGE_S = 1.0
_STARTING = "The encoder is still starting; ask again in a moment."
# Each write of vectors leaves a fragment that every question reads: merged now and then.
_UNMERGED_TEXTS = 8_000
_MAINTENANCE_POLL_S = 0.1
# So many take about a second to read: worth a process of its own where one can be had.
_VERY_MANY_FILES = 200
# Of a long body so many parts are compared beside the one that was pointed at.
_MOST_OTHER_PARTS = 5

# Chunks and terms of another version are never mixed with ours: they lie in a folder beside.
_CONTENT_VERSION = f"chunks{parsing.CHUNKING_VERSION}-terms{ranking.TERMS_VERSION}"
# Another version of MoSEarch that was used this recently may still be in use.
_OUTDATED_S = 86_400.0

Apart = Callable[[Progress, Cancel], None]
"""Brings the same index up to date from another process, as far as it can; never raises."""

_Result = TypeVar("_Result")


class Engine:
    """Index, search and status of one workspace.  Methods may be called from several threads."""

    def __init__(
        self,
        root: Path,
        settings: Settings,
        linger_seconds: float | None = None,
        *,
        warm_up: bool = False,
        patience_seconds: float | None = None,
    ) -> None:
        """Open, or begin, the index of `root`.

        `linger_seconds` is how long the encoder host is asked to stay for others after this engine is
        closed; None asks for the setting `idle_seconds`.  With `warm_up`, a host that even the cheapest
        exit needs is sought, and started if need be, while the store opens.  A question waits for a host
        that starts; if `patience_seconds` are given, only for so long, and only where the index is deeper
        than what can be embedded without it.
        A model that is missing or damaged is no error: answers are by words until it is there.
        Raises `RootError`, `SettingsError`, `StoreError`.
        """
        self.root = workspace.resolve_root(root)
        self.settings = settings
        self._patience_seconds = patience_seconds
        self._exits = exits_in_use(settings)
        self.index_dir = self._content_dir()
        key = workspace.repository_key(self.root)
        self._vectors_dir = cache_dir() / "vectors" / _folder_name(key, Path(key).name)
        self._encoder = Connection(settings, linger_seconds)
        if warm_up and self._needs_host():
            self._encoder.warm_up()
        self.store = self._open_store()
        self._documents = Documents(workspace.IgnoreRules.load(self.root))
        self.overlay = self._documents.overlay
        self._update_lock = threading.RLock()
        self._maintaining = threading.Lock()
        self._activities = Activities()
        self._feed = StatusFeed(self.status)
        self._coverage: tuple[float, Coverage] | None = None
        self._pace = Pace()

    def _needs_host(self) -> bool:
        """Whether not even the cheapest exit is embedded in this process."""
        try:
            return self._encoder.needs_host(self.first_exit)
        except EncoderError:
            return True  # which the host will explain

    @property
    def activity(self) -> Activity:
        """What the engine is doing just now."""
        return self._activities.current

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

    def _content_dir(self) -> Path:
        """Digests of texts for an encoder that is told their language are others: they have a folder of their
        own."""
        workspace_dir = cache_dir() / "workspaces" / _folder_name(str(self.root), self.root.name)
        return workspace_dir / (_CONTENT_VERSION + ("-languages" if self.model.reads_language else ""))

    def close(self) -> None:
        """Let go of the store and the encoder; may be called again."""
        if not self._encoder.is_closed:
            self._encoder.close()
            self._feed.close()
            self.store.close()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

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
        except StoreDamagedError:
            self._begin_anew(store)
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
            return self._mended(lambda: self._go_on(progress, cancel, depth))
        finally:
            self._note(Activity())

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

    def _update(
        self, progress: Progress, cancel: Cancel, depth: Depth, lock_timeout: float, apart: Apart | None
    ) -> IndexReport:
        if self._exits.trouble:
            self._exits = exits_in_use(self.settings)
            if self.index_dir != self._content_dir():
                self.index_dir = self._content_dir()
                self.store = self._open_store()
                self._documents.forget_chunks()
        with self._update_lock:
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
        )

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
        with self.store.writer_lock(timeout=lock_timeout):
            found = indexer.survey(self.root, self.store, limit, rules)
            if apart is None or len(found.changed) < _VERY_MANY_FILES:
                told = self.model.reads_language
                done = indexer.reconcile(
                    self.root, self.store, found, limit, progress, cancel, digest_language=told
                )
                self.store.note_sync()
                return done
        apart(progress, cancel)  # needs the lock, and may leave something to do
        return self._reconciled(rules, progress, cancel, lock_timeout, None)

    def maintain(self, cancel: Cancel | None = None) -> None:
        """Merge small writes and refresh the indices if that is due, in a process of low priority.

        With `cancel`, waits for it and ends it early when that is raised; without, it goes on by itself.
        Does nothing while another thread is at it.
        """
        if self._maintaining.acquire(blocking=False):
            try:
                self._maintain(cancel)
            finally:
                self._maintaining.release()

    def _maintain(self, cancel: Cancel | None) -> None:
        self._drop_outdated()
        self.store.note_model(self.model.fingerprint)
        if not self.store.maintenance_due():
            return
        process = self.store.start_optimizing()
        while cancel is not None and process.poll() is None:
            if cancel.is_set():
                process.terminate()
                process.wait()
            time.sleep(_MAINTENANCE_POLL_S)

    def clean(self) -> None:
        """Drop the vectors of all models but this one, and what was replaced, now.  Raises `StoreError`."""
        self.store.drop_other_models(self.model.fingerprint)
        self.store.optimize()

    def _drop_outdated(self) -> None:
        """Delete what other versions of MoSEarch left, unless one may still be in use."""
        for folder in self.index_dir.parent.iterdir():
            if folder != self.index_dir and time.time() - folder.stat().st_mtime > _OUTDATED_S:
                shutil.rmtree(folder, ignore_errors=True)

    def report(self, warning: str = "") -> IndexReport:
        """The index as it is, for answers that could not bring it up to date.  Raises `StoreError`."""
        records = self.store.files().values()
        skipped = Counter(record.skip_reason for record in records if record.skip_reason)
        skipped.pop(SkipReason.UNREADABLE.value, None)
        return IndexReport(
            files=sum(not record.skip_reason for record in records),
            chunks=sum(record.chunks for record in records),
            skipped=dict(sorted(skipped.items())),
            failed={
                record.path: record.skip_reason
                for record in records
                if record.skip_reason == SkipReason.UNREADABLE.value
            },
            warning=warning,
        )

    def search(
        self,
        query: str,
        limit: int,
        filters: Filters | None = None,
        *,
        rerank: bool = True,
        early: Early | None = None,
        cancel: threading.Event | None = None,
    ) -> SearchResult:
        """Answer a question in words from the index as it is now.

        `early` gets the answer as it is before re-ranking; raising `cancel` ends the question.
        Raises `QueryError`, `StoreError`, `CancelledError`.
        """
        return self._answer(
            lambda searcher: searcher.search(query, limit, filters or Filters(), rerank=rerank),
            rerank,
            early,
            cancel,
        )

    def show(self, path: str, text: str) -> None:
        """An editor shows `text` for `path` (relative, `/`): it replaces what is stored in every answer.

        Its words are found at once, its meaning after `embed_shown`.  A file that is ignored or no code
        stays out.  Raises `StoreError`.
        """
        self._pace.use(path)
        self._documents.lay(path, text, self._ground())

    def embed_shown(self) -> None:
        """Vectors for all that editors show and that has none yet.

        Raises `EncoderError` when meaning has to wait, `StoreError`.
        """
        self._documents.embed(self.store, self._encoder, self._exits)

    def _ground(self) -> Ground:
        return Ground(self.store, self.settings.max_file_bytes, self.model.reads_language)

    def hide(self, path: str) -> None:
        """The editor closed `path`: what is stored counts again."""
        self._documents.hide(path)

    def pool(self, query: str, *, rerank: bool = True) -> Pool:
        """All that `search` ranks for a question, to try other weights on it.

        Raises `QueryError`, `StoreError`.
        """
        searcher = self._searcher(rerank, self._recent_coverage(), None, None)
        return searcher.pool(query, Filters(), rerank=rerank)

    def place(
        self, path: str, start_line: int, end_line: int | None = None, text: str | None = None
    ) -> StoredChunk:
        """The chunk at a 0-based line of `path` (relative, `/`), or exactly the lines up to `end_line`.

        `text` is the content that an editor shows.
        Raises `QueryError` where there is no code, `StoreError`.
        """
        if end_line is not None:
            content = text if text is not None else self._read(path)
            told = self.model.reads_language
            lines = selection(path, content, start_line, end_line, digest_language=told)
            return StoredChunk(path, 0, lines)
        if text is not None:
            chunks = parsed_chunks(path, text.encode("utf-8", "surrogatepass"), self.model.reads_language)
        else:
            chunks = tuple(stored.chunk for stored in self._stored_chunks(path))
        chunk = parsing.chunk_at(ParsedFile("", chunks), start_line)
        if chunk is None:
            raise QueryError(f"{path}:{start_line + 1} is blank or beyond the end; point at a line of code.")
        return StoredChunk(path, 0, chunk)

    def similar(
        self,
        place: StoredChunk,
        here: bool,
        limit: int,
        filters: Filters | None = None,
        *,
        rerank: bool = True,
        everything: bool = False,
        early: Early | None = None,
        cancel: threading.Event | None = None,
    ) -> SearchResult:
        """Code like that at `place`, without the place itself if it is `here`, in this workspace.

        What is probably not similar is left out unless `everything` is wanted.  `early` and `cancel` are as
        for `search`.  Raises `QueryError`, `StoreError`, `CancelledError`.
        """
        parts = self._parts(place) if here else [place]
        wanted = filters or Filters()
        return self._answer(
            lambda searcher: searcher.similar(
                parts, here, limit, wanted, rerank=rerank, everything=everything
            ),
            rerank,
            early,
            cancel,
        )

    def neighbours(self, place: StoredChunk, least: float, limit: int, filters: Filters) -> tuple[Hit, ...]:
        """Code at least so like that at `place` by stored vectors alone: for work in idle time.

        `least` is a cosine similarity at the index exit.  Raises `StoreError`.
        """
        index = Index(self.store, self.overlay, self.model.fingerprint)
        return neighbours(index, self.index_exit, place, least, limit, filters)

    def on_status(self, listener: Callable[[Status], None]) -> Callable[[], None]:
        """Call `listener` with the status now and after each change, four times a second at most.

        It is called from a thread of its own.  Returns what ends it; closing the engine ends it, too.
        """
        return self._feed.subscribe(listener)

    def status(self) -> Status:
        """Counts and state, read from the store.  Raises `StoreError`."""
        activity = self.activity
        report = self.report()
        coverage = self.store.coverage(self.model.fingerprint)
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
            last_sync=self.store.last_sync(),
            model=self.model,
            first_exit=self.first_exit,
            index_exit=self.index_exit,
            rerank_exit=self.rerank_exit,
            in_process=() if self._needs_host() else (self.first_exit,),
            device=device,
            trouble=self._exits.trouble or self._encoder.trouble or trouble,
            stats=self.store.stats(),
        )

    def _noting(self, progress: Progress) -> Progress:
        """`progress`, and the same for those who listen to the status."""

        def tell(stage: str, done: int, total: int) -> None:
            self._note(Activity(stage, done, total))
            progress(stage, done, total)

        return tell

    def _note(self, activity: Activity) -> None:
        self._activities.note(activity)
        self._coverage = None
        self._feed.changed()

    def _parts(self, place: StoredChunk) -> list[StoredChunk]:
        """The place, and the other parts of a long body that it is a part of."""
        if place.chunk.parts == 1 or place.path not in self.store.files():
            return [place]
        return [place, *other_parts(place, self._stored_chunks(place.path))[:_MOST_OTHER_PARTS]]

    def _stored_chunks(self, path: str) -> list[StoredChunk]:
        record = self.store.files().get(path)
        if record is None or record.skip_reason:
            why = f" (it is left out: {record.skip_reason})" if record is not None else ""
            raise QueryError(f"{path} is not in the index of {self.root}{why}.")
        return self._mended(lambda: self.store.chunks_of(path))

    def _read(self, path: str) -> str:
        try:
            return (self.root / path).read_text("utf-8", "replace")
        except OSError as error:
            raise QueryError(f"Cannot read {self.root / path}: {error.strerror}.") from error

    def _searcher(
        self, rerank: bool, coverage: Coverage, early: Early | None, cancel: threading.Event | None
    ) -> Searcher:
        exits = {self.first_exit, self.index_exit} | ({self.rerank_exit} if rerank else set())
        best = plan(coverage, exits, self.overlay)
        wanted = {*best.exits, *({self.rerank_exit} if rerank else ())}
        return Searcher(
            index=Index(self.store, self.overlay, self.model.fingerprint),
            encoder=self._encoder,
            at_hand=self._encoder.exits_at_hand(best.base, wanted, self._patience_seconds),
            plan=best,
            rerank_exit=self.rerank_exit,
            rerank_budget_ms=self.settings.rerank_budget_ms,
            likeness=ranking.FITTED.get(self.model.name, {}),
            early=early,
            cancel=cancel,
        )

    def _answer(
        self,
        ask: Callable[[Searcher], SearchResult],
        rerank: bool,
        early: Early | None,
        cancel: threading.Event | None,
    ) -> SearchResult:
        self._pace.use()
        try:
            return self._mended(lambda: self._ask(ask, rerank, early, cancel))
        finally:
            self._pace.use()

    def _ask(
        self,
        ask: Callable[[Searcher], SearchResult],
        rerank: bool,
        early: Early | None,
        cancel: threading.Event | None,
    ) -> SearchResult:
        coverage = self._recent_coverage()
        searcher = self._searcher(rerank, coverage, early, cancel)
        is_missed = searcher.plan.base not in searcher.at_hand
        trouble = self._encoder.trouble or (_STARTING if is_missed else "")
        said = without_host(searcher.at_hand, trouble) if trouble else self._encoder.host_trouble
        result = ask(searcher)
        warning = " ".join(filter(None, (result.warning, said)))
        return replace(result, pending=coverage.missing(self.index_exit), warning=warning)

    def _recent_coverage(self) -> Coverage:
        now = time.monotonic()
        known = self._coverage
        if known is None or now - known[0] > _COVERAGE_S:
            self._coverage = known = now, self.store.coverage(self.model.fingerprint)
        return known[1]

    def _mended(self, work: Callable[[], _Result]) -> _Result:
        """What `work` gives; an index that turns out to be damaged is built again first."""
        store = self.store
        try:
            return work()
        except StoreDamagedError:
            self._begin_anew(store)
            self.update()
            return work()

    def _begin_anew(self, damaged: Store) -> None:
        """Set damaged tables aside, unless another thread or process has, and open what is there now."""
        with self._update_lock:
            if self.store is damaged:
                Store.quarantine(self.index_dir, self._vectors_dir, seen=damaged.generation)
                self.store = self._open_store()
                self._coverage = None

    def _open_store(self) -> Store:
        """Open the store; what does not read back is moved aside and built anew."""
        try:
            return Store.open(self.index_dir, self._vectors_dir)
        except StoreDamagedError:
            Store.quarantine(self.index_dir, self._vectors_dir)
            return Store.open(self.index_dir, self._vectors_dir)


def _folder_name(identity: str, readable: str) -> str:
    """A folder name that a person recognises and that is unique to `identity`."""
    digest = hashlib.blake2b(identity.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
    safe = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in readable)[:40]
    return f"{safe}-{digest}"
