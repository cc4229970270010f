"""Reading only what is new of a table, where rows were merely added: while others fill it, every answer would
else read all of it again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Marks = NDArray[np.uint64]
"""The address of the last known row of each fragment, in order.  A fragment whose rows are moved goes as a
whole; LanceDB's addresses hold the fragment in their upper half."""

NO_MARKS: Marks = np.empty(0, np.uint64)
"""Where no row is known."""

_FRAGMENT = np.uint64(32)


def added_rows(table: Any, columns: Sequence[str], marks: Marks, known: int) -> pa.Table | None:
    """What was added to the `known` rows up to the last of `marks`: these columns and `_rowid`.

    None where it cannot be told so: no row is known, some were deleted or moved, or somebody wrote at this
    moment.
    """
    if not len(marks):
        return None
    version = table.version
    query = table.search().select(list(columns)).with_row_id(True).where(f"_rowid > {marks[-1]}")
    rows = query.limit(None).to_arrow()
    # Rows that were moved may have come to lie before the last known one, and would not be missed.
    still_there = table.take_row_ids(marks.tolist()).select(["_rowid"]).to_arrow().num_rows
    is_whole = still_there == len(marks) and known + rows.num_rows == table.count_rows()
    return rows if is_whole and table.version == version else None


def all_rows(table: Any, columns: Sequence[str]) -> pa.Table:
    """These columns and `_rowid`, of every row."""
    return table.search().select(list(columns)).with_row_id(True).limit(None).to_arrow()


def marks_of(rows: pa.Table, before: Marks = NO_MARKS) -> Marks:
    """The marks of some rows, which lie behind those of `before`."""
    addresses = np.concatenate([before, rows.column("_rowid").to_numpy()])
    addresses.sort()
    fragments = addresses >> _FRAGMENT
    is_last = np.ones(len(addresses), bool)
    np.not_equal(fragments[1:], fragments[:-1], out=is_last[:-1])
    return addresses[is_last]
