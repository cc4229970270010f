"""Which texts wait for a vector, in the order in which they should get one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from mosearch.store._chunks import ChunksTable
from mosearch.store._directory import Place, key_of
from mosearch.store._files import Snapshot
from mosearch.store._values import MissingText
from mosearch.types import Chunk

_TEXTS_AT_ONCE = 1_024

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


def batches(groups: Groups) -> Iterator[list[Place]]:
    """Where the texts are, some at a time."""
    places = ((file_id, key_of(digest)) for file_id, digests in groups.items() for digest in digests)
    while part := list(islice(places, _TEXTS_AT_ONCE)):
        yield part


def texts(chunks: ChunksTable, places: Sequence[Place], snapshot: Snapshot) -> list[MissingText]:
    """The texts at those of `places` that are still there, each once, in their order; within a file from
    the top."""
    order = {file_id: number for number, file_id in enumerate(dict.fromkeys(id for id, _ in places))}
    found = chunks.still_at(places, snapshot)
    found.sort(key=lambda stored: (order[stored.file_id], stored.chunk.start_byte))
    each: dict[str, Chunk] = {}
    for stored in found:
        each.setdefault(stored.chunk.digest, stored.chunk)
    return [MissingText(one.digest, one.encoder_text, one.language) for one in each.values()]
