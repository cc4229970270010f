"""Which texts wait for a vector, in the order in which they should get one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from mosearch.store._chunks import ChunksTable
from mosearch.store._files import Snapshot
from mosearch.store._values import MissingText
from mosearch.types import StoredChunk

_FILES_AT_ONCE = 64

Groups = dict[int, set[bytes]]
"""`file_id` → digests to be read from that file; a digest is in one file only."""


def by_file(
    chunks: ChunksTable, snapshot: Snapshot, known: NDArray[np.uint64], recent: Sequence[str]
) -> Groups:
    """Digests of live chunks whose first bytes are not in `known`; files in the order of `recent` first,
    then those changed last."""
    groups: Groups = defaultdict(set)
    for digest, file_id in chunks.live_digests_without(known, snapshot).items():
        groups[file_id].add(digest)
    places = {path: place for place, path in enumerate(recent)}

    def order(file_id: int) -> tuple[int, int]:
        record = snapshot.by_id[file_id]
        return places.get(record.path, len(places)), -record.mtime_ns

    return {file_id: groups[file_id] for file_id in sorted(groups, key=order)}


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
