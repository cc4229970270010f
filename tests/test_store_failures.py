"""Locks, other processes, sudden death, damage, full and read-only devices."""

from __future__ import annotations

import os
import random
import re
import secrets
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mosearch.errors import StoreDamagedError, StoreError, StoreFullError, StoreLockedError
from mosearch.store import Store
from mosearch.store._failures import translated
from mosearch.store._locks import ProcessLock
from mosearch.text import digest
from mosearch.types import Chunk, FileRecord, Filters, StoredChunk, SymbolKind

MODEL, EXIT, DIM = "c0ffee00" * 8, 3, 8

# What other processes run: a writer that commits files of `chunks` chunks for ever, and says so.
WRITER = """
import sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from test_store_failures import open_store, put
store = open_store(Path(sys.argv[1]))
number = 0
while True:
    number += 1
    put(store, f"file{number % 7}.py", [f"text {number} {i}" for i in range(number % 5)])
    if number % 10 == 0:
        store.sweep()
    if number % 25 == 0:
        store.optimize(ann_rows=50)
    print(number, flush=True)
"""
SUICIDE = """
import os, signal, sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from test_store_failures import open_store, put
store = open_store(Path(sys.argv[1]))
from mosearch.store import _chunks, _files
STEP = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
put(store, "a.py", ["new"])
"""
HOLDER = """
import sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from test_store_failures import open_store
with open_store(Path(sys.argv[1])).writer_lock():
    print("held", flush=True)
    sys.stdin.read()
"""


def open_store(folder: Path) -> Store:
    return Store.open(folder / "index", folder / "vectors")


def put(store: Store, path: str, texts: list[str]) -> None:
    """Commits a file of one chunk per text, with its vectors."""
    file_id = secrets.randbits(63)
    chunks = [
        Chunk("f", "", SymbolKind.FUNCTION, "python", i, i + 1, i, i, "", "", text, "", digest(text))
        for i, text in enumerate(texts)
    ]
    vectors = np.full((len(texts), DIM), DIM**-0.5, np.float16)
    store.add_vectors(MODEL, EXIT, [chunk.digest for chunk in chunks], vectors)
    store.commit(
        [FileRecord(path, file_id, 1, 1, "", "python", len(texts))],
        [StoredChunk(path, file_id, chunk) for chunk in chunks],
        texts,
    )


def start(script: str, folder: Path) -> subprocess.Popen[str]:
    here = str(Path(__file__).parent)
    return subprocess.Popen(
        [sys.executable, "-c", script, str(folder), here],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "cache"


def data_files(folder: Path, table: str) -> list[Path]:
    return sorted((folder / "v1" / f"{table}.lance" / "data").glob("*.lance"))


# Opening


def test_importing_the_room_loads_no_database() -> None:
    code = "import mosearch.store, sys; print({'lancedb', 'pyarrow', 'numpy'} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"lancedb", "pyarrow"} & set(re.findall(r"\w+", shown.stdout))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_folders_are_private_to_the_user(folder: Path) -> None:
    folder.mkdir(mode=0o755)
    (folder / "index").mkdir(mode=0o755)
    open_store(folder).close()
    for name in ("index", "index/v1", "vectors", "vectors/v1"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o700


def test_tables_of_another_schema_are_left_alone(folder: Path) -> None:
    other = folder / "index" / "v0" / "chunks.lance"
    other.mkdir(parents=True)
    (other / "old").write_text("kept")
    with open_store(folder) as store:
        put(store, "a.py", ["one"])
    assert (other / "old").read_text() == "kept"


def test_a_reopened_store_is_as_it_was_left(folder: Path) -> None:
    with open_store(folder) as store:
        put(store, "a.py", ["one", "two"])
        before, name = store.files(), store.generation
    with open_store(folder) as store:
        assert (store.files(), store.generation) == (before, name)
        assert [c.chunk.text for c in store.chunks_of("a.py")] == ["one", "two"]
        last = store.stats().last_commit
        assert last is not None
        assert abs(last - time.time()) < 60


def test_creation_that_was_cut_short_is_begun_again(folder: Path) -> None:
    open_store(folder).close()
    (folder / "index" / "v1" / "meta.json").unlink()
    shutil.rmtree(folder / "index" / "v1" / "files.lance" / "_versions")
    with open_store(folder) as store:
        put(store, "a.py", ["one"])
        assert list(store.files()) == ["a.py"]


def test_chunks_must_belong_to_the_commit(folder: Path) -> None:
    with open_store(folder) as store:
        put(store, "a.py", ["one"])
        chunks = store.chunks_of("a.py")
        with pytest.raises(ValueError, match="none of the files"):
            store.commit([], chunks, [""])
        with pytest.raises(ValueError, match="0 terms for 1 chunks"):
            store.commit([], chunks, [])


# Locks and other processes


def test_a_second_writer_waits_and_then_names_the_first(folder: Path) -> None:
    with open_store(folder) as store:
        put(store, "a.py", ["one"])
        holder = start(HOLDER, folder)
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            with (
                pytest.raises(StoreLockedError, match=f"Process {holder.pid} is writing"),
                store.writer_lock(0.1),
            ):
                pass
            assert list(store.files()) == ["a.py"]
        finally:
            end(holder)
        with store.writer_lock(5), store.writer_lock(0):
            put(store, "b.py", ["two"])
        assert set(store.files()) == {"a.py", "b.py"}


def test_threads_may_write_and_read_at_once(folder: Path) -> None:
    failures: list[BaseException] = []

    def guarded(work: object) -> None:
        try:
            assert callable(work)
            work()
        except BaseException as error:
            failures.append(error)

    with open_store(folder) as store:
        put(store, "fixed.py", ["fixed"])

        def write(name: str) -> None:
            for i in range(8):
                put(store, name, [f"{name} {i}"])
                if i % 3 == 0:
                    store.optimize()

        def read() -> None:
            with open_store(folder) as reader:
                for _ in range(25):
                    assert [c.chunk.text for c in reader.chunks_of("fixed.py")] == ["fixed"]
                    assert len(reader.search_text(["fixed"], 5, Filters())) == 1
                    assert len(reader.get_vectors(MODEL, EXIT, [digest("fixed")])) == 1

        jobs = [lambda: write("a.py"), lambda: write("b.py"), read, read]
        threads = [threading.Thread(target=guarded, args=(job,)) for job in jobs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert [c.chunk.text for p in ("a.py", "b.py") for c in store.chunks_of(p)] == ["a.py 7", "b.py 7"]


def test_a_table_that_is_being_created_is_not_there_yet(folder: Path) -> None:
    """LanceDB writes a version under another name first; a process killed then leaves just that."""
    with open_store(folder) as store:
        put(store, "a.py", ["one"])
        half = folder / "vectors" / "v1" / f"vectors_{MODEL[:16]}_{EXIT + 1}.lance" / "_versions"
        half.mkdir(parents=True)
        (half / "18446744073709551614.manifest#1").write_bytes(b"")
        assert not store.maintenance_due()
        assert store.coverage(MODEL).vectors == {EXIT: 1}
        assert store.stats().vectors == {(MODEL[:16], EXIT): 1}
        store.add_vectors(MODEL, EXIT + 1, [digest("one")], np.ones((1, DIM), np.float16))
        assert store.coverage(MODEL).vectors == {EXIT: 1, EXIT + 1: 1}


def test_readers_are_not_hurt_by_tables_that_others_create(folder: Path) -> None:
    """As a question does that writes the first deep vectors while its process looks whether to merge."""
    vector = np.ones((1, DIM), np.float16)
    with open_store(folder) as store:
        put(store, "a.py", ["one"])

        def create() -> None:
            for exit in range(10, 30):
                store.add_vectors(MODEL, exit, [digest("one")], vector)

        creating = threading.Thread(target=create)
        creating.start()
        while creating.is_alive():
            store.maintenance_due()
            store.coverage(MODEL)
        assert len(store.coverage(MODEL).vectors) == 21


def test_an_index_that_is_being_filled_can_be_opened(folder: Path) -> None:
    """Two first commands at once: the second does not wait for all that the first does."""
    opened = threading.Event()

    def open_it() -> None:
        with open_store(folder):
            opened.set()

    (folder / "index").mkdir(parents=True)
    with ProcessLock(folder / "index" / "writer.lock").held(0):
        second = threading.Thread(target=open_it)
        second.start()
        assert not opened.wait(0.5)
        with open_store(folder):
            assert opened.wait(30)
    second.join()


def test_a_reader_of_what_grows_reads_only_what_is_new(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While others fill an index, every answer would else read all of it."""

    def seen(store: Store) -> tuple[list[str], dict[int, int], set[str]]:
        found = store.search_vectors(MODEL, EXIT, np.ones(DIM, np.float32), 99, Filters())
        return sorted(store.files()), dict(store.coverage(MODEL).vectors), {c.chunk.text for c, _ in found}

    with open_store(folder) as writer, open_store(folder) as reader:
        assert seen(reader) == ([], {}, set())
        put(writer, "a.py", ["one", "two"])
        assert seen(reader) == (["a.py"], {EXIT: 2}, {"one", "two"})
        with monkeypatch.context() as patch:
            for room in ("_chunks", "_files", "_vectors"):
                patch.setattr(f"mosearch.store.{room}.all_rows", None)
            put(writer, "b.py", ["three"])
            assert seen(reader) == (["a.py", "b.py"], {EXIT: 3}, {"one", "two", "three"})
            put(writer, "c.py", ["one", "four"])
            assert seen(reader) == (["a.py", "b.py", "c.py"], {EXIT: 4}, {"one", "two", "three", "four"})
        put(writer, "a.py", ["five"])
        writer.remove(["b.py"])
        assert seen(reader) == (["a.py", "c.py"], {EXIT: 3}, {"one", "four", "five"})


def test_rows_that_are_moved_while_others_are_added_are_missed(folder: Path) -> None:
    """LanceDB numbers the new place of moved rows some time before they are there: what is added meanwhile
    lies behind it, and no row comes to lie behind what was known then."""
    with open_store(folder) as writer, open_store(folder) as merger, open_store(folder) as reader:

        def put_rows(number: int, words: str) -> None:
            texts = [f"{words} {secrets.token_hex(4)}" for _ in range(number)]
            file_id = secrets.randbits(63)
            chunks = [
                Chunk("f", "", SymbolKind.FUNCTION, "python", 0, 1, 0, 0, "", "", text, "", digest(text))
                for text in texts
            ]
            stored = [StoredChunk("a.py", file_id, chunk) for chunk in chunks]
            writer._tables.chunks.append(stored, texts)

        def known_rows_are_there() -> None:
            chunks = reader._tables.chunks
            rows = chunks._columns_at(chunks.version()).row_ids.tolist()
            there = chunks._table.take_row_ids(rows).select(["_rowid"]).to_arrow().num_rows
            assert there == len(rows) == chunks.rows()

        for turn in range(6):
            for part in range(2):
                put_rows(1_000, " ".join(f"word{turn}x{part}x{i}" for i in range(60)))
            merging = threading.Thread(target=merger._tables.chunks.optimize)
            merging.start()
            while merging.is_alive():
                put_rows(1, "word")
                reader._tables.chunks._columns_at(reader._tables.chunks.version())
            merging.join()
            known_rows_are_there()


@pytest.mark.parametrize("seed", range(3))
def test_a_reader_follows_whatever_others_do(folder: Path, seed: int) -> None:
    chance = random.Random(seed)
    live: dict[str, list[str]] = {}
    query = np.ones(DIM, np.float32)
    with open_store(folder) as writer, open_store(folder) as reader:
        for _ in range(30):
            path = f"{chance.randrange(8)}.py"
            step = chance.choice(["put", "put", "put", "remove", "sweep", "optimize"])
            if step == "put":
                live[path] = chance.sample([f"text {i}" for i in range(20)], chance.randrange(1, 4))
                put(writer, path, live[path])
            elif step == "remove":
                live.pop(path, None)
                writer.remove([path])
            else:
                getattr(writer, step)()
            if chance.random() < 0.7:
                found = reader.search_vectors(MODEL, EXIT, query, 999, Filters())
                expected = sorted((path, text) for path, texts in live.items() for text in texts)
                assert sorted((stored.path, stored.chunk.text) for stored, _ in found) == expected
                assert reader.coverage(MODEL).vectors.get(EXIT, 0) == len({text for _, text in expected})


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_a_writer_killed_at_any_moment_leaves_a_right_index(folder: Path) -> None:
    """After each kill, every listed file has all its chunks and vectors, and searches find each."""
    for seconds in (0.0, 0.03, 0.11, 0.26):
        writer = start(WRITER, folder)
        assert writer.stdout is not None
        assert writer.stdout.readline() == "1\n"
        time.sleep(seconds)
        writer.send_signal(signal.SIGKILL)
        lines = writer.communicate()[0].split()
        last = int(lines[-1]) if lines else 1
        with open_store(folder) as store:
            check(store, last)
            put(store, "after.py", ["after"])
            assert store.optimize()
            check(store, last)
            assert store.stats().dead_chunks == 0


def test_what_killed_writers_left_goes_with_the_old_versions(folder: Path) -> None:
    """LanceDB keeps files that no version knows of for a week: somebody might be about to commit them."""
    with open_store(folder) as store:
        put(store, "a.py", ["one", "two"])
        store.optimize()
        tables = sorted(folder.glob("*/v1/*.lance"))
        left = []
        for table in tables:
            some = next((table / "data").iterdir())
            left.append(some.with_name("01" * 12 + "37deb2421b952fb7e9b78c1c07.lance"))
            shutil.copy(some, left[-1])
            index = table / "_indices" / "ef11f29d-5f1c-47f8-9ebc-71e590cbb100"
            index.mkdir(parents=True)
            left.append(index / "page_data.lance")
            left[-1].write_bytes(b"half")
        assert len(tables) == 3
        assert store.optimize()
        assert [path for path in left if path.exists()] == []
        assert [c.chunk.text for c in store.chunks_of("a.py")] == ["one", "two"]
        assert len(store.get_vectors(MODEL, EXIT, [digest("one"), digest("two")])) == 2


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
@pytest.mark.parametrize("step", ["_chunks.ChunksTable.append", "_files.FilesTable.upsert"])
def test_a_writer_killed_between_two_steps_leaves_the_former_version(folder: Path, step: str) -> None:
    with open_store(folder) as store:
        put(store, "a.py", ["old"])
    writer = start(SUICIDE.replace("STEP", step), folder)
    writer.communicate()
    assert writer.returncode == -signal.SIGKILL
    with open_store(folder) as store:
        assert [c.chunk.text for c in store.chunks_of("a.py")] == ["old"]
        assert [c.chunk.text for c, _ in store.search_text(["old", "new"], 5, Filters())] == ["old"]


def check(store: Store, last: int) -> None:
    """`last` is the number of the last file that the writer said it committed."""
    newest = 0
    for path, record in store.files().items():
        texts = [c.chunk.text for c in store.chunks_of(path)]
        assert len(texts) == record.chunks
        if path == "after.py" or not texts:
            continue
        number = int(texts[0].split()[1])
        newest = max(newest, number)
        assert path == f"file{number % 7}.py"
        assert texts == [f"text {number} {i}" for i in range(number % 5)]
        found = store.search_text([str(number)], 50, Filters(path_globs=(f"/{path}",)))
        assert {c.chunk.text for c, _ in found} >= set(texts)
        assert store.known_digests(MODEL, EXIT, [digest(t) for t in texts]) == {digest(t) for t in texts}
    assert newest >= last - 1  # every fifth file is empty
    assert store.missing_texts(MODEL, EXIT).total == 0


def test_optimizing_apart_is_seen_here_and_fails_loudly(folder: Path) -> None:
    with open_store(folder) as store:
        for text in ("one", "two", "three"):
            put(store, "a.py", [text])
        assert store.start_optimizing().wait() == 0
        assert store.stats().dead_chunks == 0
        assert [c.chunk.text for c, _ in store.search_text(["three"], 5, Filters())] == ["three"]
        damage_manifest(folder)
        assert store.start_optimizing().wait() == StoreError.exit_code


def test_nothing_of_the_folder_that_one_works_in_is_run(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "filelock.py").write_text("raise SystemExit(77)\n")
    with open_store(folder) as store:
        put(store, "a.py", ["one"])
        monkeypatch.chdir(tmp_path)
        assert store.start_optimizing().wait() == 0


# Damage


def damage_data(folder: Path) -> None:
    for path in data_files(folder / "index", "chunks"):
        os.truncate(path, 20)


def damage_bits(folder: Path) -> None:
    for path in data_files(folder / "index", "files"):
        path.write_bytes(bytes(b ^ 0xA5 for b in path.read_bytes()))


def damage_by_loss(folder: Path) -> None:
    for path in data_files(folder / "index", "chunks"):
        path.unlink()


def damage_manifest(folder: Path) -> None:
    for path in (folder / "index" / "v1" / "chunks.lance" / "_versions").glob("*.manifest"):
        os.truncate(path, 9)


def damage_note(folder: Path) -> None:
    (folder / "index" / "v1" / "meta.json").write_text("{")


def damage_table(folder: Path) -> None:
    shutil.rmtree(folder / "index" / "v1" / "chunks.lance")


def damage_history(folder: Path) -> None:
    """The chunks of an older moment than the files, as after a partial restore."""
    shutil.rmtree(folder / "index" / "v1" / "chunks.lance")
    shutil.copytree(folder / "older.lance", folder / "index" / "v1" / "chunks.lance")


@pytest.mark.parametrize(
    "damage",
    [damage_data, damage_bits, damage_by_loss, damage_manifest, damage_note, damage_table, damage_history],
)
def test_damage_is_named_and_set_aside_and_vectors_survive(folder: Path, damage: object) -> None:
    with open_store(folder) as store:
        shutil.copytree(folder / "index" / "v1" / "chunks.lance", folder / "older.lance")
        put(store, "a.py", ["one", "two"])
    assert callable(damage)
    damage(folder)

    generation = None
    with pytest.raises(StoreDamagedError, match=re.escape(str(folder))):  # noqa: SIM117
        with open_store(folder) as store:
            generation = store.generation
            store.files()
            store.chunks_of("a.py")
    aside = Store.quarantine(folder / "index", folder / "vectors", seen=generation)

    assert aside is not None
    assert aside.is_dir()
    with open_store(folder) as store:
        assert store.files() == {}
        put(store, "a.py", ["one"])
        assert store.stats().vectors == {(MODEL[:16], EXIT): 2}
        assert Store.quarantine(folder / "index", folder / "vectors", seen=generation or "gone") is None
        assert Store.quarantine(folder / "index", folder / "vectors") is None
        assert list(store.files()) == ["a.py"]


def test_a_rotten_index_of_files_hides_no_chunks(folder: Path) -> None:
    """Such an index has no checksums: what it finds must be what the list of files says."""
    expected = {f"f{number}.py": [f"{number} {part}" for part in range(3)] for number in range(8)}
    with open_store(folder) as store:
        for path, texts in expected.items():
            put(store, path, texts)
        store.optimize()
    noticed = 0
    for index in sorted((folder / "index").rglob("page_data.lance")):
        data = index.read_bytes()
        for offset in range(0, len(data), len(data) // 12):
            index.write_bytes(data[:offset] + bytes([data[offset] ^ 0x10]) + data[offset + 1 :])
            try:
                with open_store(folder) as store:
                    found = {path: [c.chunk.text for c in store.chunks_of(path)] for path in expected}
            except StoreDamagedError:
                noticed += 1
            else:
                assert found == expected
        index.write_bytes(data)
    assert noticed


def test_damaged_vectors_are_set_aside_too(folder: Path) -> None:
    with open_store(folder) as store:
        put(store, "a.py", ["one"])
        store.add_vectors(MODEL, EXIT + 1, [digest("one")], np.ones((1, DIM), np.float16))
    for path in data_files(folder / "vectors", f"vectors_{MODEL[:16]}_{EXIT}"):
        os.truncate(path, 20)
    with open_store(folder) as store:
        with pytest.raises(StoreDamagedError):
            store.get_vectors(MODEL, EXIT, [digest("one")])
        Store.quarantine(folder / "index", folder / "vectors")
    with open_store(folder) as store:
        assert list(store.files()) == ["a.py"]
        assert store.stats().vectors == {(MODEL[:16], EXIT + 1): 1}
        assert store.missing_texts(MODEL, EXIT).total == 1


def test_a_reader_notices_that_the_tables_were_set_aside(folder: Path) -> None:
    with open_store(folder) as reader:
        put(reader, "a.py", ["one"])
        Store.quarantine(folder / "index", folder / "vectors", seen=reader.generation)
        with pytest.raises(StoreError):
            reader.files()


def test_a_writer_can_tell_that_the_tables_were_built_anew(folder: Path) -> None:
    with open_store(folder) as store:
        put(store, "a.py", ["one"])
        assert not store.is_set_aside()
        Store.quarantine(folder / "index", folder / "vectors", seen=store.generation)
        with open_store(folder) as other:
            assert store.is_set_aside()
            assert not other.is_set_aside()


# Devices


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Path]:
    """A file system of 700 kB."""
    mounted = tmp_path / "device"
    mounted.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=700k", "tmpfs", str(mounted)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system needs the rights of root")
    yield mounted
    subprocess.run(["umount", "-l", str(mounted)], check=True)


def test_a_full_device_is_named_and_leaves_the_index_usable(device: Path) -> None:
    with open_store(device) as store:
        put(store, "a.py", ["one"])
        with pytest.raises(StoreFullError, match=r"no room.*Free some disk space"):
            for i in range(500):
                put(store, f"b{i}.py", [secrets.token_hex(5000) for _ in range(9)])
        assert [c.chunk.text for c in store.chunks_of("a.py")] == ["one"]
        assert all(len(store.chunks_of(path)) == record.chunks for path, record in store.files().items())


def test_a_read_only_device_is_named_and_still_answers(device: Path) -> None:
    with open_store(device) as store:
        put(store, "a.py", ["one"])
        subprocess.run(["mount", "-o", "remount,ro", str(device)], check=True)
        with pytest.raises(StoreFullError, match="may not be written"):
            put(store, "b.py", ["two"])
        assert [c.chunk.text for c in store.chunks_of("a.py")] == ["one"]
    with open_store(device) as store:
        assert len(store.search_text(["one"], 5, Filters())) == 1


@pytest.mark.parametrize("name", ["PanicException", "RustPanic"])
def test_a_panic_in_rust_is_damage(tmp_path: Path, name: str) -> None:
    """They cannot be imported: a corrupt index file brings them about, but not every time."""
    panic = type(name, (BaseException,), {})
    with pytest.raises(StoreDamagedError, match="built again"), translated("search the index", tmp_path):
        raise panic("range start must not be greater than end")
