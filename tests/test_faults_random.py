"""Faults at random moments: processes die, disks fill, files rot, hosts hang, clocks go back.

Nothing wrong is ever returned, nothing saved is lost, and the next run puts everything right.
`FAULT_ROUNDS=20` does each twenty times instead of once or twice, at other moments each time.
"""

from __future__ import annotations

import os
import random
import shutil
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import psutil
import pytest

from mosearch import ipc
from mosearch.engine import Engine
from mosearch.errors import MosearchError, QueryError, StoreError, StoreFullError
from mosearch.evaluation.session import Session
from mosearch.settings import load_settings
from mosearch.types import SearchResult

ROUNDS = int(os.environ.get("FAULT_ROUNDS", "0"))
SEED = int(os.environ.get("FAULT_SEED", "0")) or (random.randrange(10**6) if ROUNDS else 11)
COMMAND = [sys.executable, "-m", "mosearch"]
IS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0

Place = tuple[str, str, int, str]
"""Path, symbol, first line, text."""


@pytest.fixture
def chance() -> random.Random:
    print(f"FAULT_SEED={SEED}")  # noqa: T201  # shown when a test fails
    return random.Random(SEED)


class Work:
    """A workspace, and what can be found in it."""

    def __init__(self, root: Path, files: int = 24, functions: int = 6) -> None:
        self.root = root
        self._texts: dict[str, list[str]] = {}
        self.former: set[Place] = set()
        """What could be found before the last edit."""
        for number in range(files):
            path = f"pkg{number % 5}/m{number}.py"
            self._texts[path] = [_function(f"step{number}x{index}", 0) for index in range(functions)]
            self._write(path)

    def edit(self, chance: random.Random, files: int = 3) -> None:
        self.former = self.places()
        for path in chance.sample(sorted(self._texts), files):
            texts = self._texts[path]
            place = chance.randrange(len(texts))
            name = texts[place].split("(")[0].removeprefix("def ")
            texts[place] = _function(name, chance.randrange(10**6))
            self._write(path)

    def places(self) -> set[Place]:
        found = set()
        for path, texts in self._texts.items():
            line = 0
            for text in texts:
                found.add((path, text.split("(")[0].removeprefix("def "), line, text))
                line += text.count("\n") + 3
        return found

    def some_name(self, chance: random.Random) -> str:
        return chance.choice(sorted(self.places()))[1]

    def _write(self, path: str) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("\n\n\n".join(self._texts[path]) + "\n")


def _function(name: str, number: int) -> str:
    return f'def {name}(x):\n    """Number {number}."""\n    y = x + {number}\n    return y'


@pytest.fixture
def work(tmp_path: Path, use_tiny_model: Path) -> Work:
    return Work(tmp_path / "work")


def _stored(engine: Engine) -> set[Place]:
    """All that is indexed; asking for places notices damage, which then is mended."""
    for path in list(engine.store.files()):
        with suppress(QueryError):
            engine.place(path, 0)
    return {
        (path, item.chunk.symbol, item.chunk.start_line, item.chunk.text)
        for path in engine.store.files()
        for item in engine.store.chunks_of(path)
    }


def _hits(result: SearchResult) -> set[Place]:
    return {(hit.path, hit.chunk.symbol, hit.chunk.start_line, hit.chunk.text) for hit in result.hits}


def _check_whole(work: Work) -> None:
    """After one more run everything is there, and nothing else."""
    with Engine(work.root, load_settings(work.root)) as engine:
        report = engine.update()
        assert not report.warning
        assert _stored(engine) == work.places()
        assert engine.status().pending == 0
        name = max(work.places())[1]
        assert name in {symbol for _, symbol, _, _ in _hits(engine.search(name, 5))}


def _index(work: Work, *prefix: str) -> subprocess.Popen[bytes]:
    command = [*prefix, *COMMAND, "index", "--json", "--root", str(work.root)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def _until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.05)


# Processes that die


def test_servers_and_hosts_killed_at_any_moment(
    work: Work, private_runtime: Path, kill_hosts: Callable[[], None], chance: random.Random
) -> None:
    for round_ in range(3 * ROUNDS or 3):
        victim = ("server", "host", "both")[round_ % 3]
        session = Session(work.root)
        work.edit(chance)
        time.sleep(chance.uniform(0, 2.5))
        _ask(session, work, chance)
        if victim != "server":
            kill_hosts()
        if victim == "host":
            work.edit(chance)
            _until(partial(_is_settled, session, work), 60)
        else:
            session.kill()
        session.close()
    _check_whole(work)


def _ask(session: Session, work: Work, chance: random.Random) -> None:
    """Answers may be a moment old, but are never anything that was not there."""
    known = {((work.root / path).as_uri(), symbol) for path, symbol, _, _ in work.places() | work.former}
    for hit in session.search(work.some_name(chance), limit=30):
        assert (hit["location"]["uri"], hit["symbol"]) in known
        assert hit["preview"] in {text for _, _, _, text in work.places() | work.former}


def _is_settled(session: Session, work: Work) -> bool:
    status = session.status()
    with suppress(KeyError):
        expected = (len(work.places()), 0)
        if (status["chunks"], status["pending"]) == expected:
            newest = sorted(work.places() - work.former)
            return all(_finds(session, place) for place in newest)
    return False


def _finds(session: Session, place: Place) -> bool:
    return any(hit["preview"] == place[3] for hit in session.search(place[1], limit=10))


# Disks


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A small file system of its own for the cache."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)]
    if not IS_ROOT or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    monkeypatch.setenv("MOSEARCH_CACHE_DIR", str(folder / "cache"))
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_disk_that_is_full_at_any_moment(work: Work, disk: Path, chance: random.Random) -> None:
    """Full from some moment of a run on; what was there before stays, and later runs complete it."""
    ballast = disk / "ballast"
    for _ in range(ROUNDS or 2):
        if chance.random() < 0.3:
            shutil.rmtree(disk / "cache", ignore_errors=True)
        work.edit(chance)
        with Engine(work.root, load_settings(work.root)) as engine:
            moment = chance.randrange(12)

            def fill(_stage: str, _done: int, _total: int) -> None:
                nonlocal moment
                moment -= 1
                if moment == 0:
                    room = shutil.disk_usage(disk).free - chance.choice((0, 4096, 20_000))
                    ballast.write_bytes(b"x" * max(0, room))

            try:
                report = engine.update(fill)
            except StoreFullError as error:
                assert "Free some disk space" in str(error)
            else:
                assert moment > 0 or report.warning or _stored(engine) == work.places()
            assert _stored(engine) <= work.places() | work.former
            assert _hits(engine.search(work.some_name(chance), 20)) <= work.places() | work.former
        ballast.unlink(missing_ok=True)
        _check_whole(work)


def test_a_cache_that_becomes_read_only_at_any_moment(work: Work, disk: Path, chance: random.Random) -> None:
    with Engine(work.root, load_settings(work.root)) as engine:
        engine.update()
    for _ in range(ROUNDS or 2):
        before = work.places()
        work.edit(chance)
        process = _index(work)
        time.sleep(chance.uniform(0.3, 1.6))
        locked = not subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=False).returncode
        out, _ = process.communicate(timeout=120)
        if locked:
            assert process.returncode in (0, 3), out
            with Engine(work.root, load_settings(work.root)) as engine:
                assert _hits(engine.search(max(before)[1], 20)) <= work.places() | before
                assert engine.status().chunks == len(before)
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
        _check_whole(work)


@pytest.mark.skipif(not IS_ROOT or not shutil.which("setpriv"), reason="giving up privileges needs root")
def test_a_cache_whose_permissions_are_lost_at_any_moment(
    work: Work, tmp_path: Path, chance: random.Random
) -> None:
    cache = Path(os.environ["MOSEARCH_CACHE_DIR"])
    powers = "-dac_override,-dac_read_search"
    ordinary = ("setpriv", f"--bounding-set={powers}", f"--inh-caps={powers}")
    for _ in range(ROUNDS or 1):
        work.edit(chance)
        process = _index(work, *ordinary)
        time.sleep(chance.uniform(0.3, 1.6))
        folders = [folder for folder in (cache, *cache.rglob("*")) if folder.is_dir()]
        for folder in chance.sample(folders, len(folders) // 2):
            folder.chmod(0o500)
        out, _ = process.communicate(timeout=120)
        assert process.returncode in (0, 3), out
        for folder in folders:
            with suppress(FileNotFoundError):
                folder.chmod(0o700)
        _check_whole(work)


# Files that rot


KINDS = {
    "chunks": "workspaces/**/chunks.lance/data/*",
    "chunk versions": "workspaces/**/chunks.lance/_versions/*",
    "chunk indices": "workspaces/**/chunks.lance/_indices/**/*",
    "files": "workspaces/**/files.lance/data/*",
    "file versions": "workspaces/**/files.lance/_versions/*",
    "deletions": "workspaces/**/_deletions/*",
    "transactions": "workspaces/**/_transactions/*",
    "notes": "workspaces/**/*.json",
    "vectors": "vectors/**/data/*",
    "vector versions": "vectors/**/_versions/*",
    "vector indices": "vectors/**/_indices/**/*",
    "users": "vectors/**/users/*",
}


@pytest.fixture
def sound(work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chance: random.Random) -> Path:
    """A cache folder with an index that was edited and merged."""
    folder = tmp_path / "sound"
    monkeypatch.setenv("MOSEARCH_CACHE_DIR", str(folder))
    with Engine(work.root, load_settings(work.root)) as engine:
        engine.update()
        engine.store.optimize(ann_rows=64)
        for _ in range(2):
            work.edit(chance)
            engine.update()
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_files_that_rot(
    work: Work,
    sound: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    chance: random.Random,
    kind: str,
) -> None:
    for round_ in range(3 * ROUNDS or 1):
        damage = ("cut", "flipped", "gone")[(round_ + list(KINDS).index(kind)) % 3]
        cache = tmp_path / f"cache{round_}"
        shutil.copytree(sound, cache)
        monkeypatch.setenv("MOSEARCH_CACHE_DIR", str(cache))
        victim = chance.choice(sorted(path for path in cache.glob(KINDS[kind]) if path.is_file()))
        what = _harm(victim, damage, chance)
        try:
            _live_with_damage(work, chance)
            _check_whole(work)
        except Exception as error:
            error.add_note(f"{victim.relative_to(cache)}: {what}") if sys.version_info >= (3, 11) else None
            raise
        shutil.rmtree(cache)


def _harm(victim: Path, damage: str, chance: random.Random) -> str:
    data = bytearray(victim.read_bytes())
    if damage == "gone":
        victim.unlink()
        return "removed"
    if damage == "cut":
        size = chance.randrange(max(1, len(data)))
        victim.write_bytes(data[:size])
        return f"cut to {size} of {len(data)} bytes"
    if not data:
        return "empty, so left alone"
    flips = [chance.randrange(len(data)) for _ in range(chance.choice((1, 1, 8)))]
    for place in flips:
        data[place] ^= 1 << chance.randrange(8)
    victim.write_bytes(data)
    return f"bits flipped in bytes {flips} of {len(data)}"


def _live_with_damage(work: Work, chance: random.Random) -> None:
    """Before anything is put right: whatever is answered is true."""
    with Engine(work.root, load_settings(work.root)) as engine:
        for rerank in (False, True):
            with suppress(StoreError):
                hits = _hits(engine.search(work.some_name(chance), 30, rerank=rerank))
                assert hits <= work.places()
        with suppress(StoreError):
            for path in engine.store.files():
                assert {
                    (c.path, c.chunk.symbol, c.chunk.start_line, c.chunk.text)
                    for c in engine.store.chunks_of(path)
                } <= work.places()
        engine.update()


# Hosts that do not do their work


@pytest.mark.skipif(not ROUNDS, reason="waits until it is sure: only with FAULT_ROUNDS")
def test_a_host_that_hangs_is_replaced(work: Work, private_runtime: Path, chance: random.Random) -> None:
    with Engine(work.root, load_settings(work.root)) as engine:
        engine.update()
        for _ in range(ROUNDS or 1):
            host = psutil.Process(engine._encoder.client().status().pid)
            host.suspend()
            try:
                start = time.monotonic()
                result = engine.search(work.some_name(chance), 5)
                assert _hits(result) <= work.places()
                assert not result.warning
                assert time.monotonic() - start < 60
                work.edit(chance)
                assert not engine.update().warning
                assert engine._encoder.client().status().pid != host.pid
            finally:
                with suppress(psutil.NoSuchProcess):
                    host.kill()
            assert _stored(engine) == work.places()
            assert engine.status().pending == 0


def test_a_host_that_answers_garbage_is_not_believed(
    work: Work,
    private_runtime: Path,
    kill_hosts: Callable[[], None],
    chance: random.Random,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What stands between client and host puts noise in place of some of what the host says."""
    with Engine(work.root, load_settings(work.root)) as engine:
        engine.update()
    (address_file,) = private_runtime.glob("mose-*.json")
    address = ipc.read_address(address_file)
    assert address is not None
    for _ in range(ROUNDS or 1):
        work.edit(chance)
        with _Meddler(address.path, private_runtime / "meddler.sock", chance) as path:
            ipc.write_address(address_file, ipc.Address(str(path), 0, address.token))
            with Engine(work.root, load_settings(work.root)) as engine:
                with suppress(MosearchError):
                    engine.update()
                assert _hits(engine.search(work.some_name(chance), 20)) <= work.places() | work.former
        ipc.write_address(address_file, address)
        _check_whole(work)
        _check_vectors(work)


def _check_vectors(work: Work) -> None:
    """The stored vectors are those that the encoder gives now."""
    with Engine(work.root, load_settings(work.root)) as engine:
        exit = engine.index_exit
        chunks = {
            c.chunk.digest: c.chunk for path in engine.store.files() for c in engine.store.chunks_of(path)
        }
        kept = engine.store.get_vectors(engine.model.fingerprint, exit, list(chunks))
        from mosearch.types import Priority

        texts = [chunks[digest].encoder_text for digest in kept]
        fresh = engine._encoder.client().encode(texts, "code", (exit,), priority=Priority.INDEX)[exit]
        for (digest, vector), other in zip(kept.items(), fresh, strict=True):
            assert abs(float(vector.astype(float) @ other.astype(float)) - 1) < 2e-2, digest


class _Meddler:
    """Passes bytes on between clients and a host, and spoils some of what the host says."""

    def __init__(self, target: str, path: Path, chance: random.Random) -> None:
        self._target, self._path, self._chance = target, path, chance
        path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._open: list[socket.socket] = []

    def __enter__(self) -> Path:
        threading.Thread(target=self._accept, daemon=True).start()
        return self._path

    def __exit__(self, *_: object) -> None:
        for each in (self._listener, *self._open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.socket(socket.AF_UNIX)
                self._open += [near, far]
                far.connect(self._target)
                threading.Thread(target=self._pass, args=(near, far, False), daemon=True).start()
                threading.Thread(target=self._pass, args=(far, near, True), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, spoils: bool) -> None:
        with suppress(OSError):
            greeted = False
            while data := bytearray(source.recv(1 << 16)):
                if spoils and greeted and self._chance.random() < 0.7:
                    data = bytearray(self._chance.randbytes(len(data)))
                greeted = True
                target.sendall(data)
        for each in (source, target):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


# Clocks and watchers


def test_a_clock_that_goes_back(work: Work, monkeypatch: pytest.MonkeyPatch, chance: random.Random) -> None:
    """An hour back, a year ahead: files look older or newer than what is indexed."""
    now, now_ns = time.time, time.time_ns
    with Engine(work.root, load_settings(work.root)) as engine:
        for _ in range(ROUNDS or 3):
            shift = chance.choice((-3600, -86_400 * 40, 31_536_000))
            with monkeypatch.context() as patch:
                patch.setattr(time, "time", lambda shift=shift: now() + shift)
                patch.setattr(time, "time_ns", lambda shift=shift: now_ns() + shift * 10**9)
                work.edit(chance)
                for path in work.root.rglob("*.py"):
                    if chance.random() < 0.5:
                        os.utime(path, (now() + shift, now() + shift))
                assert not engine.update().warning
                engine.store.optimize(ann_rows=64)
                assert _stored(engine) == work.places()
            work.edit(chance)
            engine.update()
            assert _stored(engine) == work.places()
    _check_whole(work)


_WITHOUT_EVENTS = """
    import sys, threading
    from pathlib import Path
    from mosearch.workspace import Watcher

    changed = threading.Event()
    watcher = Watcher(Path(sys.argv[1]), changed.set, 0.1)
    watcher.start()
    assert watcher.is_polling
    assert changed.wait(10)
    watcher.stop()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of inotify")
@pytest.mark.parametrize("limit", ["max_inotify_instances", "max_inotify_watches"])
def test_without_inotify_it_looks_from_time_to_time(work: Work, limit: str) -> None:
    script = f'echo 0 > /proc/sys/user/{limit} && exec "$@"'
    inside = ["unshare", "-Ur", "sh", "-c", script, "sh"]
    if subprocess.run([*inside, "true"], check=False, capture_output=True).returncode:
        pytest.skip("limits cannot be set here")
    command = [*inside, sys.executable, "-c", textwrap.dedent(_WITHOUT_EVENTS), str(work.root)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not ROUNDS, reason="takes half a minute: only with FAULT_ROUNDS")
def test_a_server_without_inotify_finds_what_is_saved(
    work: Work, private_runtime: Path, chance: random.Random
) -> None:
    script = 'echo 0 > /proc/sys/user/max_inotify_instances && exec "$@"'
    command = ["unshare", "-Ur", "sh", "-c", script, "sh", *COMMAND, "serve", "--stdio"]
    with Session(work.root, command=command) as session:
        _until(lambda: _is_settled(session, work), 60)
        work.edit(chance)
        _until(lambda: _is_settled(session, work), 60)
