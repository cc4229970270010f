"""What is dropped and what stays on disk, and what a failure of the file system is taken for."""

from __future__ import annotations

import errno
import os
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mosearch import home
from mosearch.engine import Engine
from mosearch.errors import StoreDamagedError, StoreError, StoreLockedError
from mosearch.settings import cache_dir
from mosearch.store import Store, users
from mosearch.store._failures import translated
from mosearch.store._prune import prune
from mosearch.store._vectors import VectorTable
from mosearch.types import Filters
from test_store_failures import DIM, EXIT, MODEL, data_files, open_store, put

_MONTH_AGO_S = 31 * 86_400.0


def _age(folder: Path) -> None:
    for path in (folder, *folder.iterdir()):
        os.utime(path, (time.time() - _MONTH_AGO_S,) * 2)


def test_damage_is_no_conflict_whatever_the_project_is_called(tmp_path: Path) -> None:
    index, vectors = tmp_path / "concurrent-ruby" / "index", tmp_path / "vectors"
    with Store.open(index, vectors) as store:
        put(store, "a.py", ["one", "two"])
    for file in data_files(index, "chunks"):
        file.unlink()
    with pytest.raises(StoreDamagedError):
        Store.open(index, vectors)
    with home.open_store(tmp_path, index, vectors) as store:
        assert not store.files()


def test_a_file_without_chunks_that_changes_for_ever_takes_no_room(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        put(store, "a.py", ["one"])
        (record,) = store.files().values()
        assert not store.maintenance_due()
        for number in range(300):
            store.touch([replace(record, mtime_ns=number)])
        assert store.maintenance_due()
        assert store.optimize()
        assert len([path for path in store.index_dir.rglob("*") if path.is_file()]) < 60
        assert not store.maintenance_due()


def test_a_cache_inside_the_workspace_is_no_source(
    root: Path, open_engine: Callable[[Path], Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOSEARCH_CACHE_DIR", str(root / "build-cache"))
    engine = open_engine(root)
    engine.update()
    files = dict(engine.store.files())
    assert not [path for path in files if path.startswith("build-cache")]
    assert engine.update().changed_files == 0
    assert engine.store.files().keys() == files.keys()


def test_a_branch_that_holds_little_costs_no_vectors(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        put(store, "large.py", [f"text {number}" for number in range(5_000)])
        assert prune(store._tables, store.vectors_dir) == 0
        store.remove(["large.py"])
        put(store, "small.py", ["text 1"])
        assert prune(store._tables, store.vectors_dir) == 0
        store.optimize()
        assert store.coverage(MODEL).vectors == {EXIT: 1}
        # After a month of the small one the large one is not expected back.
        note = store.vectors_dir / "most-live"
        os.utime(note, (time.time() - _MONTH_AGO_S,) * 2)
        assert prune(store._tables, store.vectors_dir) > 3_000


def test_what_is_live_is_noted_day_by_day(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        put(store, "large.py", [f"text {number}" for number in range(5_000)])
        store.note_live()
        note = store.vectors_dir / "most-live"
        os.utime(note, (time.time() - _MONTH_AGO_S,) * 2)
        put(store, "large.py", [f"text {number}" for number in range(4_990)])
        store.note_live()
        assert time.time() - note.stat().st_mtime < 3600
        store.remove(["large.py"])
        assert prune(store._tables, store.vectors_dir) == 0


def test_merging_that_cannot_begin_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_store(tmp_path) as store:
        put(store, "a.py", ["one"])
        monkeypatch.setattr(sys, "executable", str(tmp_path / "upgraded away"))
        with pytest.raises(StoreError, match="cannot be merged now") as told:
            store.start_optimizing()
        assert not isinstance(told.value, StoreDamagedError)


def test_vectors_set_aside_ask_for_no_maintenance(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        put(store, "a.py", ["one"])
        aside = store.vectors_dir / "v1" / "damaged-20990101-000000-vectors_x_0.lance" / "_versions"
        aside.mkdir(parents=True)
        for number in range(300):
            (aside / str(number)).touch()
        assert not store.maintenance_due()


@pytest.mark.parametrize("folder", ["src", "."])
def test_a_folder_that_cannot_be_listed_for_a_moment_keeps_its_files(
    root: Path, open_engine: Callable[[Path], Engine], monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    engine = open_engine(root)
    engine.update()
    before = set(engine.store.files())
    listed = os.scandir

    def stumbling(path: str | Path) -> os._ScandirIterator[str]:
        if path == str(root / folder):  # not a Path: whether the root is there is asked before
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return listed(path)

    with monkeypatch.context() as patched:
        patched.setattr(os, "scandir", stumbling)
        assert engine.update().removed_files == 0
    assert before <= set(engine.store.files())
    assert any(path.startswith("src/") for path in before)


def test_a_worktree_that_does_not_read_back_keeps_nobody_from_merging(tmp_path: Path) -> None:
    vectors = tmp_path / "vectors"
    with Store.open(tmp_path / "theirs", vectors) as store:
        put(store, "a.py", [f"text {number}" for number in range(3_000)])
    for file in data_files(tmp_path / "theirs", "chunks"):
        file.write_bytes(b"rot")
    with Store.open(tmp_path / "mine", vectors) as store:
        put(store, "a.py", ["text 1"])
        assert store.optimize()
        assert len(store._tables.vectors.all()[MODEL[:16], EXIT].keys()) == 3_000, "they may be in use"


@pytest.mark.parametrize(
    "code",
    [
        *(errno.ENOLCK, errno.ESTALE, errno.ETIMEDOUT, errno.ENOMEM),
        *(errno.EHOSTUNREACH, errno.ECONNRESET, errno.ENODEV, errno.ENXIO),
    ],
)
def test_a_file_system_that_stumbles_is_no_damage(tmp_path: Path, code: int) -> None:
    for error in (OSError(code, os.strerror(code)), RuntimeError(f"lance error: IO (os error {code})")):
        with pytest.raises(StoreError, match="try again") as told, translated("read the index", tmp_path):
            raise error
        assert not isinstance(told.value, StoreDamagedError | StoreLockedError)


def test_vectors_that_do_not_read_back_once_are_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_store(tmp_path) as store:
        put(store, "a.py", ["one"])
        vectors, generation = store.stats().vectors, store.generation
    renew, failures = VectorTable.renew_indices, [OSError(errno.EIO, os.strerror(errno.EIO))]

    def stumble(table: VectorTable) -> None:
        if failures:
            raise failures.pop()
        renew(table)

    monkeypatch.setattr(VectorTable, "renew_indices", stumble)
    Store.quarantine(tmp_path / "index", tmp_path / "vectors", seen=generation)
    assert not failures
    with open_store(tmp_path) as store:
        assert store.stats().vectors == vectors


def test_what_cannot_be_encoded_is_no_damage(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        put(store, "a.py", ["one"])
        with pytest.raises(UnicodeEncodeError):
            store.search_text(["one"], 1, Filters(languages=frozenset({"\ud800"})))


def test_vectors_of_a_folder_that_became_a_repository_are_dropped(tmp_path: Path) -> None:
    index, before, after = (tmp_path / name for name in ("index", "before", "after"))
    for vectors in (before, after):
        with Store.open(index, vectors) as store:
            put(store, "a.py", ["one"])
    assert list(users(before)) == []
    assert list(users(after)) == [index.resolve()]


def test_an_index_where_nothing_can_be_noted_opens(tmp_path: Path) -> None:
    (tmp_path / "index" / "vectors_folder").mkdir(parents=True)
    with open_store(tmp_path) as store:
        put(store, "a.py", ["one"])
        assert list(users(store.vectors_dir)) == [(tmp_path / "index").resolve()]


def test_vectors_that_another_process_dropped_are_missing_not_damaged(tmp_path: Path) -> None:
    other_model = "beef" * 16
    with open_store(tmp_path) as mine, open_store(tmp_path) as theirs:
        put(mine, "a.py", ["one", "two"])
        query = np.full(DIM, DIM**-0.5, np.float32)
        assert len(mine.search_vectors(MODEL, EXIT, query, 5, Filters())) == 2
        assert theirs.drop_other_models(other_model) == 1
        assert mine.search_vectors(MODEL, EXIT, query, 5, Filters()) == []
        put(mine, "b.py", ["three"])
        assert len(mine.search_vectors(MODEL, EXIT, query, 5, Filters())) == 1


def test_what_was_set_aside_goes_after_a_month(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        put(store, "a.py", ["one"])
        generation = store.generation
    aside = Store.quarantine(tmp_path / "index", tmp_path / "vectors", seen=generation)
    assert aside is not None
    old = aside.rename(aside.with_name("damaged-20200101-000000-v1"))
    with open_store(tmp_path) as store:
        recent = shutil.copytree(old, aside)
        store.optimize()
        assert recent.exists()
        assert not old.exists()


def test_indexes_and_vectors_of_folders_that_are_gone_go_after_a_month(
    root: Path, tmp_path: Path, open_engine: Callable[[Path], Engine]
) -> None:
    gone = tmp_path / "gone"
    shutil.copytree(root, gone)
    vanished = open_engine(gone)
    vanished.update()
    vanished.close()
    engine = open_engine(root)
    engine.update()
    index, vectors = vanished.index_dir.parent, vanished._vectors_dir
    for folder in (index, vectors, engine.index_dir.parent, engine._vectors_dir):
        _age(folder)
    looked = cache_dir() / "workspaces" / "looked"
    home.drop_forsaken()
    assert index.exists(), "its folder is still there"
    shutil.rmtree(gone)
    home.drop_forsaken()
    assert index.exists(), "one look a day"
    looked.unlink()
    home.drop_forsaken()
    assert not index.exists()
    looked.unlink()
    _age(vectors)
    home.drop_forsaken()
    assert not vectors.exists()
    assert engine.index_dir.exists()
    assert engine._vectors_dir.exists()


def test_files_dated_in_the_future_are_read_once(root: Path, open_engine: Callable[[Path], Engine]) -> None:
    (root / "later.py").write_text("def later():\n    return 1\n")
    os.utime(root / "later.py", (4e9, 4e9))
    engine = open_engine(root)
    engine.update()
    assert engine.store.files()["later.py"].mtime_ns == 4_000_000_000 * 10**9
    (root / "later.py").write_text("def later():\n    return 22\n")
    assert engine.update().changed_files == 1


@pytest.mark.skipif(sys.platform != "linux", reason="events of Linux")
def test_a_permission_that_changes_is_an_event(tmp_path: Path) -> None:
    from mosearch.workspace.inotify import FolderWatch

    (tmp_path / "a.py").write_text("")
    watch = FolderWatch(str(tmp_path), lambda _: True)
    try:
        (tmp_path / "a.py").chmod(0o600)
        assert [event.path for event in watch.wait(5.0)] == ["a.py"]
    finally:
        watch.close()
