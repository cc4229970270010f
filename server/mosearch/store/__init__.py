"""The index on disk: LanceDB tables of files, chunks and vectors.

A row in `files` says that a version of a file is searchable, and is written last; a chunk whose
`file_id` is in no such row is dead: invisible to every read, and swept later.  So a process killed
at any moment leaves dead rows at worst.  Vectors are keyed by digest in a folder of their own, which
the worktrees of one repository share.

This room knows no torch, no LSP and no parsing.  Importing it does not import LanceDB; opening a
`Store` does.
"""

from mosearch.store._store import Store
from mosearch.store._users import users
from mosearch.store._values import (
    ROWS_VERSION,
    Coverage,
    MissingText,
    MissingTexts,
    StoreStats,
)

__all__ = [
    "ROWS_VERSION",
    "Coverage",
    "MissingText",
    "MissingTexts",
    "Store",
    "StoreStats",
    "users",
]
