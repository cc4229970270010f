"""Which texts wait for a vector, in the order in which they should get one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from mosearch.store._chunks import ChunksTable
from mosearch.store._files import Snapshot
from mosearch.store._values import MissingText
from mosearch.types import StoredChunk

_FILES_AT_ONCE = 64

Groups = dict[int, set[bytes]]
"""`file_id` → digests to be read from that file; a digest is in one file only."""


def by_file(chunks: ChunksTable, snapshot: Snapshot, known: set[bytes]) -> Groups:
    """Digests of live chunks that are not in `known`, files changed last first."""
    groups: Groups = defaultdict(set)
    for digest, file_id in chunks.live_digests(None, snapshot).items():
        if digest not in known:
            groups[file_id].add(digest)
    order = sorted(groups, key=lambda file_id: -snapshot.by_id[file_id].mtime_ns)
    return {file_id: groups[file_id] for file_id in order}


def batches(groups: Groups) -> Iterator[tuple[list[int], set[bytes]]]:
    """Some files at a time, and the digests wanted from them."""
    ids = list(groups)
    for start in range(0, len(ids), _FILES_AT_ONCE):
        part = ids[start : start + _FILES_AT_ONCE]
        yield part, set().union(*(groups[file_id] for file_id in part))


def texts(chunks: Sequence[StoredChunk], wanted: set[bytes]) -> Iterator[MissingText]:
    """The texts of `chunks` whose digest is wanted, each once."""
    done: set[str] = set()
    for chunk in (stored.chunk for stored in chunks):
        if chunk.digest not in done and bytes.fromhex(chunk.digest) in wanted:
            done.add(chunk.digest)
            yield MissingText(chunk.digest, chunk.encoder_text, chunk.language)
