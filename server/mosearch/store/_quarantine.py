"""Setting damaged tables aside, so that new ones can be built while the vectors are kept."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from mosearch.errors import StoreDamagedError
from mosearch.store._failures import translated
from mosearch.store._folders import SET_ASIDE, generation, tables_folder
from mosearch.store._locks import ProcessLock

_SECOND_LOOK_S = 0.5
"""A disk or a network that fails once may not fail twice, and vectors are dear."""
_TIME = "%Y%m%d-%H%M%S"
_KEPT_S = 30 * 86_400.0


def quarantine(
    index_dir: Path, vectors_dir: Path, *, seen: str | None = None, timeout: float = 10.0
) -> Path | None:
    """Moves the tables of `index_dir` into a `damaged-…` folder beside them and returns that folder.

    `seen` is the `Store.generation` whose tables were found damaged.  Without it, they are moved when
    they cannot be opened.  None is returned, and nothing moved, when another process has already put
    new tables in their place.  Vector tables that do not read back are moved too; the others stay, and
    their indices are made anew.
    Only the latest damaged folder is kept.  Raises StoreLockedError, StoreFullError.
    """
    writer = ProcessLock(index_dir / "writer.lock")
    with writer.held(timeout), translated("set aside the index", index_dir):
        is_bad = _opens_not(index_dir, vectors_dir, writer) if seen is None else _is(index_dir, seen)
        moved = _move(tables_folder(index_dir)) if is_bad else None
    if seen is not None and not is_bad:
        return None  # whoever put new tables there has looked at the vectors, too
    # Compaction, too, must stand still: it removes files while they are being read.
    vectors, upkeep = (ProcessLock(vectors_dir / f"{name}.lock") for name in ("vectors", "maintenance"))
    with vectors.held(timeout), upkeep.held(timeout), translated("check the vectors", vectors_dir):
        _set_vectors_aside(tables_folder(vectors_dir))
    return moved


# LanceDB is loaded inside these functions because importing this room must not load it.


def _opens_not(index_dir: Path, vectors_dir: Path, writer: ProcessLock) -> bool:
    from mosearch.store._tables import open_tables

    try:
        with translated("open the index", index_dir):
            open_tables(index_dir, vectors_dir, writer, timeout=0)
    except StoreDamagedError:
        return True
    return False


def _is(index_dir: Path, seen: str) -> bool:
    try:
        return generation(index_dir) == seen
    except StoreDamagedError:
        return True


def _set_vectors_aside(folder: Path) -> None:
    from mosearch.store._tables import connect, new_session
    from mosearch.store._vectors import SCHEMA_COLUMNS, VectorTable

    def reads_back(name: str) -> bool:
        try:
            with translated("read vectors", folder):
                table = connect(folder, new_session()).open_table(name)
                rows = sum(len(batch) for batch in table.search().select(SCHEMA_COLUMNS).to_batches())
                whole = rows == int(table.count_rows())
                if whole:  # its indices may be what is damaged
                    VectorTable(table).renew_indices()
                return whole
        except StoreDamagedError:
            return False

    for path in folder.glob("vectors_*.lance"):
        if not reads_back(path.stem):
            time.sleep(_SECOND_LOOK_S)
            if not reads_back(path.stem):
                _move(path)


def drop_set_aside(folder: Path) -> None:
    """Remove what was set aside in `folder` a month ago."""
    before = time.strftime(_TIME, time.localtime(time.time() - _KEPT_S))
    for path in folder.glob(f"{SET_ASIDE}*"):
        if path.name.removeprefix(SET_ASIDE) < before:
            shutil.rmtree(path, ignore_errors=True)


def _move(path: Path) -> Path:
    for older in path.parent.glob(f"{SET_ASIDE}*-{path.name}"):
        shutil.rmtree(older, ignore_errors=True)
    target = path.with_name(f"{SET_ASIDE}{time.strftime(_TIME)}-{path.name}")
    path.rename(target)
    return target
