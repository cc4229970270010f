"""The first half of indexing: a workspace's files become chunks.

`reconcile` makes the store's files equal those on disk: from then on everything can be found by its
words.  It is safe to interrupt anywhere; running it again does what is left.
"""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from mosearch import parsing, ranking, workspace
from mosearch.errors import CancelledError
from mosearch.progress import Cancel, Progress
from mosearch.store import Store
from mosearch.types import (
    FileRecord,
    FileStat,
    ParsedFile,
    SkippedFile,
    SkipReason,
    StoredChunk,
)

# A commit rewrites nothing but costs some milliseconds and a fragment: large enough to keep both
# rare, small enough that an interrupted run repeats well under five seconds of parsing.
_COMMIT_CHUNKS = 2000
_COMMIT_FILES = 250

# A file written this recently may change again without its time stamp moving on.
_UNSETTLED_NS = 1_000_000_000


@dataclass(slots=True)
class Reconciled:
    """What the first pass found and did."""

    changed: int = 0
    removed: int = 0
    digests: list[str] = field(default_factory=list)
    """Digests of all chunks of changed files, with repetitions."""
    skipped: Counter[str] = field(default_factory=Counter)
    failed: dict[str, str] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)
    """Those of `failed` that may be readable in a moment."""


@dataclass(frozen=True, slots=True)
class Survey:
    """How a workspace's files differ from the store's."""

    known: Mapping[str, FileRecord]
    """What the store holds, by path."""
    changed: Sequence[FileStat]
    """Files to read: new ones, and those with another time or size."""
    gone: Sequence[str]
    skipped: Sequence[SkippedFile]
    """Left out by what the scan saw."""
    left_out: Counter[str]
    """Reason → how many files are the same as before and were left out then."""

    @property
    def news(self) -> int:
        """How many files are to be read, but for those that could not be read last time."""
        records = (self.known.get(stat.path) for stat in self.changed)
        return sum(record is None or not record.trouble for record in records)


def survey(
    root: Path, store: Store, max_file_bytes: int, rules: workspace.IgnoreRules | None = None
) -> Survey:
    """Compare what is on disk with the store, by time and size.

    `rules` are those of now, if the caller has read them.  Raises `StoreError`, `RootError`.
    """
    workspace.resolve_root(root)  # a root that is gone is an error, not a folder without files
    scanned = workspace.scan(root, max_file_bytes=max_file_bytes, rules=rules)
    known = store.files()
    present = {stat.path for stat in scanned.files} | {skip.path for skip in scanned.skipped}
    changed: list[FileStat] = []
    left_out: Counter[str] = Counter()
    for stat in scanned.files:
        record = known.get(stat.path)
        if record is None or (record.size, record.mtime_ns) != (stat.size, stat.mtime_ns):
            changed.append(stat)
        elif record.skip_reason:
            left_out[record.skip_reason] += 1
    # What lies below a folder that could not be listed for a moment is still there.
    unlisted = tuple(skip.path and f"{skip.path}/" for skip in scanned.skipped if skip.passing)
    gone = [path for path in known if path not in present and not path.startswith(unlisted)]
    return Survey(known, changed, gone, scanned.skipped, left_out)


def reconcile(
    root: Path,
    store: Store,
    found: Survey,
    max_file_bytes: int,
    progress: Progress,
    cancel: Cancel,
    *,
    digest_language: bool = False,
) -> Reconciled:
    """Make the store's files and chunks equal to what was `found` on disk; `digest_language` as for
    `parsing.parse`.

    The caller has held the store's writer lock since before the survey.
    Raises `StoreError`, `CancelledError`.
    """
    result = Reconciled(skipped=Counter(found.left_out))
    if found.gone:
        store.remove(found.gone)
        result.removed = len(found.gone)
    with ThreadPoolExecutor(1, "mosearch-words") as beside:
        batch = _Batch(store, beside)
        for skip in found.skipped:
            _record_skip(batch, FileStat(skip.path, 0, 0), skip, found.known.get(skip.path), result)
        _reindex(root, batch, found, max_file_bytes, digest_language, result, progress, cancel)
    batch.raise_trouble()
    return result


def _reindex(
    root: Path,
    batch: _Batch,
    found: Survey,
    max_file_bytes: int,
    digest_language: bool,
    result: Reconciled,
    progress: Progress,
    cancel: Cancel,
) -> None:
    changed = found.changed
    for done, stat in enumerate(changed):
        if cancel.is_set():
            batch.flush()
            raise CancelledError("Indexing was cancelled; what is done so far is kept.")
        progress("parse", done, len(changed))
        source = workspace.read_source(root, stat, max_file_bytes=max_file_bytes)
        old = found.known.get(stat.path)
        if isinstance(source, SkippedFile):
            _record_skip(batch, stat, source, old, result)
            continue
        record = _new_record(source)
        if old is not None and old.content_hash == source.content_hash and not old.skip_reason:
            batch.touch(replace(old, size=record.size, mtime_ns=record.mtime_ns))
            continue
        parsed = parsing.parse_file(source.path, source.data, digest_language=digest_language)
        result.changed += 1
        result.digests.extend(chunk.digest for chunk in parsed.chunks)
        batch.add(replace(record, language=parsed.language, chunks=len(parsed.chunks)), parsed)
    batch.flush()
    progress("parse", len(changed), len(changed))


def _new_record(source: workspace.Source) -> FileRecord:
    return FileRecord(
        path=source.path,
        file_id=secrets.randbits(63),
        size=source.size,
        mtime_ns=_settled(source.mtime_ns),
        content_hash=source.content_hash,
        language="",
        chunks=0,
    )


def _settled(mtime_ns: int) -> int:
    """The time stamp, or 0, which no file has, where the file may change again without a new one."""
    return mtime_ns if abs(time.time_ns() - mtime_ns) > _UNSETTLED_NS else 0


def _record_skip(
    batch: _Batch, stat: FileStat, skip: SkippedFile, old: FileRecord | None, result: Reconciled
) -> None:
    """Count the skip and remember it, in place of an older version; what cannot be read is tried again.

    The older version of what may be readable in a moment stays.
    """
    unreadable = skip.reason is SkipReason.UNREADABLE
    reason = f"{skip.reason.value}: {skip.detail}" if unreadable and skip.detail else skip.reason.value
    record = FileRecord(
        path=stat.path,
        file_id=secrets.randbits(63),
        size=stat.size,
        mtime_ns=0 if unreadable else _settled(stat.mtime_ns),
        content_hash="",
        language="",
        chunks=0,
        skip_reason=reason,
    )
    if record.trouble:
        result.failed[stat.path] = record.trouble
    else:
        result.skipped[reason] += 1
    if skip.passing:
        result.unread[stat.path] = record.trouble
        if old is not None and not old.skip_reason:
            return
    if old is None or replace(old, file_id=record.file_id) != record:
        batch.add(record, None)


class _Batch:
    """Files waiting for one commit."""

    def __init__(self, store: Store, beside: Executor) -> None:
        """`beside` runs what others do while files are read."""
        self._store = store
        self._beside = beside
        self._merging: Future[None] | None = None
        self._records: list[FileRecord] = []
        self._chunks: list[StoredChunk] = []
        self._terms: list[str] = []
        self._touched: list[FileRecord] = []

    def add(self, record: FileRecord, parsed: ParsedFile | None) -> None:
        self._records.append(record)
        for chunk in parsed.chunks if parsed is not None else ():
            self._chunks.append(StoredChunk(record.path, record.file_id, chunk))
            self._terms.append(ranking.terms_of_chunk(record.path, chunk))
        if len(self._chunks) >= _COMMIT_CHUNKS or len(self._records) >= _COMMIT_FILES:
            self.flush()
            if self._merging is None or self._merging.done():
                self.raise_trouble()
                self._merging = self._beside.submit(self._store.index_words)

    def touch(self, record: FileRecord) -> None:
        """Another time or size for a file whose content is the same."""
        self._touched.append(record)

    def raise_trouble(self) -> None:
        """Waits for what goes on beside.  Raises `StoreError` if that failed."""
        if self._merging is not None:
            self._merging.result()

    def flush(self) -> None:
        if self._records:
            self._store.commit(self._records, self._chunks, self._terms)
        if self._touched:
            self._store.touch(self._touched)
        self._records, self._chunks, self._terms, self._touched = [], [], [], []
