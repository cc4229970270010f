"""Opening and creating the tables.  The only module that names LanceDB's connection."""

from __future__ import annotations

import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from mosearch.errors import StoreDamagedError, StoreLockedError
from mosearch.private import make_private
from mosearch.store import _chunks, _files
from mosearch.store._chunks import ChunksTable
from mosearch.store._files import FilesTable
from mosearch.store._folders import generation, tables_folder, write_generation
from mosearch.store._lance import lancedb
from mosearch.store._locks import ProcessLock
from mosearch.store._vectors import VectorTables

# LanceDB's own limits are 6 GiB and 1 GiB.  At 100,000 chunks four times as much was no faster.
_INDEX_CACHE_BYTES = 256 << 20
_METADATA_CACHE_BYTES = 8 << 20
_LOOK_SECONDS = 0.1


@dataclass(frozen=True)
class Tables:
    files: FilesTable
    chunks: ChunksTable
    vectors: VectorTables
    generation: str


def open_tables(index_dir: Path, vectors_dir: Path, writer: ProcessLock, timeout: float) -> Tables:
    """Opens the tables of this schema version, creating what is missing.

    Raises StoreDamagedError when a part that must be there is not.
    """
    index, vectors = tables_folder(index_dir), tables_folder(vectors_dir)
    for folder in (index_dir, index, vectors_dir, vectors):
        make_private(folder)
    name = _created(index_dir, writer, timeout)
    session = new_session()
    connection = connect(index, session)
    tables = Tables(
        FilesTable(_open(connection, index, "files", _files.SCHEMA)),
        ChunksTable(_open(connection, index, "chunks", _chunks.SCHEMA)),
        VectorTables(connect(vectors, session), vectors),
        name,
    )
    _check_complete(tables, index_dir)
    return tables


def new_session() -> Any:
    """What the connections of one process remember of what they read."""
    return lancedb.Session(
        index_cache_size_bytes=_INDEX_CACHE_BYTES, metadata_cache_size_bytes=_METADATA_CACHE_BYTES
    )


def connect(folder: Path, session: Any) -> Any:
    """A connection whose every read sees what other processes have written."""
    return lancedb.connect(str(folder), read_consistency_interval=timedelta(0), session=session)


def _check_complete(tables: Tables, index_dir: Path) -> None:
    """Raises StoreDamagedError when files are listed whose chunks are lost.

    A table whose newest version is gone opens at an older one: dead rows do not make up for live ones.
    """
    while True:
        snapshot = tables.files.snapshot()
        rows = tables.chunks.live_rows(snapshot)
        if rows == snapshot.chunks:
            return
        if tables.files.version() == snapshot.version:
            raise StoreDamagedError(
                f"{index_dir} lists {snapshot.chunks} chunks but holds {rows}. "
                "It has to be set aside and built again."
            )


def _created(index_dir: Path, writer: ProcessLock, timeout: float) -> str:
    """The name of the tables, which are created unless there are some.

    Whoever has just created them may go on to fill them at once, for minutes: that is not waited for.
    Raises StoreLockedError after `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if name := generation(index_dir):
            return name
        with suppress(StoreLockedError), writer.held(_LOOK_SECONDS):
            return generation(index_dir) or _create(index_dir)
    with writer.held(0):
        return generation(index_dir) or _create(index_dir)


def _create(index_dir: Path) -> str:
    """Makes empty tables; what a process killed here left before is overwritten.

    The note that names them is written last: without it, nothing was ever committed.
    """
    for name in ("chunks", "files"):
        shutil.rmtree(tables_folder(index_dir) / f"{name}.lance", ignore_errors=True)
    connection = connect(tables_folder(index_dir), new_session())
    chunks = connection.create_table("chunks", schema=_chunks.SCHEMA)
    ChunksTable.create_indices(chunks)
    connection.create_table("files", schema=_files.SCHEMA)
    return write_generation(index_dir)


def _open(connection: Any, folder: Path, name: str, schema: Any) -> Any:
    table = connection.open_table(name)
    if table.schema.names != schema.names:
        raise StoreDamagedError(
            f"Table {name} in {folder} has columns {table.schema.names}. It has to be built again."
        )
    return table
