"""The client against real host processes: one host, priorities, crashes, cancelling, strangers."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from mosearch.encoder import EncoderClient, connect, model_info
from mosearch.encoder.address import address_file
from mosearch.encoder.link import Link
from mosearch.encoder.protocol import (
    PROTOCOL_VERSION,
    Encode,
    Failure,
    Hello,
    Message,
    StatusQuestion,
    Welcome,
    pack,
)
from mosearch.errors import CancelledError, HostError, ModelError, UsageError
from mosearch.ipc import Address, log_folder, read_address, write_address
from mosearch.mose import load
from mosearch.types import Priority

BULK = [f"def function_{n}(argument): return argument + {n}\n" * 3 for n in range(6000)]


@pytest.fixture
def client(tiny_model: Path) -> Iterator[EncoderClient]:
    with connect(str(tiny_model), device="cpu", threads=1) as client:
        yield client


@pytest.fixture
def private_client(tiny_model: Path, private_runtime: Path) -> Iterator[EncoderClient]:
    assert list(private_runtime.iterdir()) == []
    with connect(str(tiny_model), device="cpu", threads=1) as client:
        yield client


def eventually(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def hosts(runtime: Path) -> list[psutil.Process]:
    return [p for p in psutil.process_iter(["cmdline"]) if str(runtime) in " ".join(p.info["cmdline"] or [])]


def published(model: Path, runtime: Path) -> Address | None:
    return read_address(address_file(runtime, model_info(model).fingerprint, "cpu"))


@contextmanager
def raw_link(address: Address, first: Message) -> Iterator[Link]:
    with closing(Link(address.dial(10))) as link:
        link.send(first)
        yield link


def test_vectors_are_those_of_the_model(tiny_model: Path, client: EncoderClient) -> None:
    texts = ["", "def readFile(): pass", "\ud800", *BULK[:600], "z" * 2_000_000]
    progress: list[int] = []
    found = client.encode(texts, exits=[0, 2], priority=Priority.INDEX, on_progress=progress.append)
    expected = load(tiny_model, "cpu", torch.float32).encode(texts, exits=[0, 2])
    assert sorted(found) == [0, 2]
    for layer, vectors in found.items():
        assert vectors.dtype == np.float16
        products = (vectors.astype(np.float32) * expected[layer].astype(np.float32)).sum(1)
        assert products.min() > 0.998
    assert progress == sorted(progress) and progress[-1] == len(texts) and len(progress) > 2
    assert client.texts_sent == len(texts)


def test_queries_and_codes_and_empty_requests(tiny_model: Path, client: EncoderClient) -> None:
    assert client.info == model_info(tiny_model)
    assert client.device == "cpu"
    found = client.encode(["open a file"], "query", priority=Priority.QUERY)
    assert {layer: v.shape for layer, v in found.items()} == {0: (1, 32), 1: (1, 32), 2: (1, 32)}
    assert client.encode([], priority=Priority.EDIT)[1].shape == (0, 32)
    named = client.encode(["x"], priority=Priority.EDIT, languages=["python"])
    assert np.array_equal(named[1], client.encode(["x"], priority=Priority.EDIT)[1])


def test_wrong_requests_are_usage_errors(client: EncoderClient) -> None:
    with pytest.raises(UsageError, match="no exits"):
        client.encode(["x"], exits=[9], priority=Priority.EDIT)
    with pytest.raises(UsageError, match="one per text"):
        client.encode(["x"], priority=Priority.EDIT, languages=[])


def test_many_threads_share_a_client(client: EncoderClient) -> None:
    expected = client.encode(BULK[:80], exits=[1], priority=Priority.INDEX)[1]

    def one(row: int) -> bool:
        found = client.encode([BULK[row]], exits=[1], priority=Priority.EDIT)[1]
        return bool(np.allclose(found[0], expected[row], atol=0.01))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(one, range(80)))


def test_ten_simultaneous_starts_give_one_host(tiny_model: Path, private_runtime: Path) -> None:
    program = (
        "import sys; from mosearch.encoder import connect;"
        "print(connect(sys.argv[1], device='cpu').status().pid)"
    )
    command = [sys.executable, "-c", program, str(tiny_model)]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(10)]
    pids = {process.communicate(timeout=60)[0].strip() for process in started}
    assert len(pids) == 1 and psutil.pid_exists(int(pids.pop()))
    assert len(hosts(private_runtime)) == 1


def test_the_host_belongs_to_nobody_and_is_private(
    tiny_model: Path, private_runtime: Path, private_client: EncoderClient
) -> None:
    pid = private_client.status().pid
    assert os.getsid(pid) == pid, "it would get the Ctrl+C of our terminal"
    address = published(tiny_model, private_runtime)
    assert address is not None
    assert Path(address.path).stat().st_mode & 0o777 == 0o600
    assert private_runtime.stat().st_mode & 0o777 == 0o700
    for file in [*private_runtime.glob("*.json"), *log_folder().iterdir()]:
        assert file.stat().st_mode & 0o777 == 0o600, file
    private_client.close()
    assert psutil.pid_exists(pid), "it went with its first client"
    address_file(private_runtime, model_info(tiny_model).fingerprint, "cpu").unlink()
    psutil.Process(pid).wait(20)  # nobody can find it any more, so it leaves


def test_a_killed_host_is_replaced(private_client: EncoderClient) -> None:
    client = private_client
    idle = psutil.Process(client.status().pid)
    expected = client.encode(BULK[:300], exits=[2], priority=Priority.INDEX)[2]
    idle.kill()
    idle.wait(20)
    first = client.status().pid
    assert first != idle.pid
    killed = threading.Event()

    def kill(done: int) -> None:
        if not killed.is_set() and done < 2000:
            killed.set()
            os.kill(first, signal.SIGKILL)

    progress: list[int] = []

    def note(done: int) -> None:
        progress.append(done)
        kill(done)

    found = client.encode(BULK[:2000], exits=[2], priority=Priority.INDEX, on_progress=note)[2]
    assert killed.is_set()
    assert np.allclose(found[:300], expected, atol=0.01)
    assert progress == sorted(set(progress)) and progress[-1] == 2000, "a text was done twice or never"
    assert client.status().pid != first


def test_a_host_that_dies_again_and_again_is_given_up(
    private_runtime: Path, private_client: EncoderClient
) -> None:
    client = private_client

    def kill(_done: int) -> None:
        for process in hosts(private_runtime):
            process.kill()
            process.wait(20)

    with pytest.raises(HostError, match="died twice"):
        client.encode(BULK, exits=[2], priority=Priority.INDEX, on_progress=kill)


def test_cancelling_frees_the_host(client: EncoderClient) -> None:
    cancel = threading.Event()
    with pytest.raises(CancelledError):
        client.encode(
            BULK, exits=[2], priority=Priority.DEEPEN, cancel=cancel, on_progress=lambda _: cancel.set()
        )
    eventually(lambda: not client.status().texts_waiting.get(Priority.DEEPEN))
    assert len(client.encode(["x"], "query", priority=Priority.QUERY)[1]) == 1


def test_a_query_does_not_wait_for_bulk_work(client: EncoderClient) -> None:
    cancel = threading.Event()
    done: list[int] = []

    def bulk() -> None:
        with pytest.raises(CancelledError):
            while True:
                client.encode(BULK, priority=Priority.INDEX, cancel=cancel, on_progress=done.append)

    thread = threading.Thread(target=bulk)
    thread.start()
    try:
        before = client.status()

        def is_busy() -> bool:
            nonlocal before
            before = client.status()
            return before.texts_waiting.get(Priority.INDEX, 0) > 500

        eventually(is_busy)
        client.encode(["open a file"], "query", priority=Priority.QUERY)
        # Done since: ours, the batch that was running, and, on a busy machine, what was computed between the
        # answer and our looking.  Behind what was waiting, the query would have waited for all of it.
        assert client.status().texts_done - before.texts_done < before.texts_waiting[Priority.INDEX]
    finally:
        cancel.set()
        thread.join()


def test_closing_ends_running_calls(tiny_model: Path) -> None:
    client = connect(str(tiny_model), device="cpu")
    with pytest.raises(HostError, match="closed"):
        client.encode(BULK, priority=Priority.DEEPEN, on_progress=lambda _: client.close())
    with pytest.raises(HostError, match="closed"):
        client.status()


@pytest.mark.usefixtures("private_runtime")
def test_without_permission_to_start_there_is_no_host(tiny_model: Path) -> None:
    with pytest.raises(HostError, match="No encoder host is running"):
        connect(str(tiny_model), device="cpu", start=False)


def test_an_unused_host_leaves_and_is_replaced_when_needed(tiny_model: Path, private_runtime: Path) -> None:
    file = address_file(private_runtime, model_info(tiny_model).fingerprint, "cpu")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(file.with_suffix(".sock")))
    write_address(file, Address(str(file.with_suffix(".sock")), 0, "left by a host that was killed"))
    with connect(str(tiny_model), device="cpu", idle_seconds=0.3) as client:
        process = psutil.Process(client.status().pid)
        process.wait(20)
        assert {found.suffix for found in private_runtime.iterdir()} <= {".lock"}
        assert len(client.encode(["x"], priority=Priority.EDIT)[1]) == 1


@pytest.mark.usefixtures("private_runtime")
def test_a_host_stays_as_long_as_its_most_patient_client_wished(tiny_model: Path) -> None:
    with connect(str(tiny_model), device="cpu", linger_seconds=0) as hasty:
        process = psutil.Process(hasty.status().pid)
        with connect(str(tiny_model), device="cpu", linger_seconds=3):
            pass
    time.sleep(1.5)
    assert process.is_running(), "one client asked it to stay for 3 s"
    process.wait(20)


@pytest.mark.usefixtures("private_runtime")
def test_a_host_that_cannot_start_tells_why(tiny_model: Path) -> None:
    with pytest.raises(HostError, match="Cannot compute on device 'abacus'"):
        connect(str(tiny_model), device="abacus")


def test_a_model_that_is_missing_starts_nothing(private_runtime: Path) -> None:
    with pytest.raises(ModelError, match="no model"):
        connect("nonesuch")
    assert list(private_runtime.iterdir()) == []


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        (Hello(PROTOCOL_VERSION, "0" * 32, 1.0), "token"),
        (Hello(PROTOCOL_VERSION, "é", 1.0), "token"),
        (StatusQuestion(), "token"),
        (Failure(None, "x", "y" * 2000), "announces"),
    ],
)
@pytest.mark.usefixtures("client")
def test_strangers_learn_nothing(tiny_model: Path, shared_runtime: Path, first: Message, reason: str) -> None:
    address = published(tiny_model, shared_runtime)
    assert address is not None
    with raw_link(address, first) as link:
        answer = link.receive()
        assert isinstance(answer, Failure) and reason in answer.message
        with pytest.raises(ConnectionError):
            link.receive()


def test_another_version_of_the_protocol_is_refused(
    tiny_model: Path, shared_runtime: Path, client: EncoderClient
) -> None:
    address = published(tiny_model, shared_runtime)
    assert address is not None
    with raw_link(address, Hello(PROTOCOL_VERSION + 1, address.token, 1.0)) as link:
        answer = link.receive()
    assert isinstance(answer, Failure) and "speaks protocol" in answer.message
    assert client.status().pid > 0


def test_noise_does_not_hurt_the_host(tiny_model: Path, shared_runtime: Path, client: EncoderClient) -> None:
    address = published(tiny_model, shared_runtime)
    assert address is not None
    pid = client.status().pid
    rng = random.Random(5)
    good = pack(Encode(1, ["x"] * 20, "code", [1], 3))
    for _ in range(60):
        frame = bytearray(good)
        for _ in range(rng.randint(1, 4)):
            frame[rng.randrange(len(frame))] = rng.randrange(256)
        with closing(address.dial(10)) as connection:
            connection.sendall(pack(Hello(PROTOCOL_VERSION, address.token, 1.0)))
            connection.sendall(frame[: rng.randint(1, len(frame))])
    assert client.status().pid == pid


def test_a_client_that_never_reads_holds_up_nobody_and_is_sent_away(
    tiny_model: Path, shared_runtime: Path, client: EncoderClient
) -> None:
    address = published(tiny_model, shared_runtime)
    assert address is not None
    with raw_link(address, Hello(PROTOCOL_VERSION, address.token, 1.0)) as deaf:
        for number in range(20):
            deaf.send(Encode(number, ["x"] * 1024, "code", [0, 1, 2], int(Priority.QUERY)))
        assert len(client.encode(["x"], priority=Priority.DEEPEN)[1]) == 1
        with pytest.raises(ConnectionError):
            for number in range(20, 500):
                deaf.send(Encode(number, ["x"] * 1024, "code", [0, 1, 2], int(Priority.DEEPEN)))
    eventually(lambda: client.status().connections == 1)


def test_without_unix_sockets_the_loopback_interface_serves(tiny_model: Path, private_runtime: Path) -> None:
    file = address_file(private_runtime, model_info(tiny_model).fingerprint, "cpu")
    command = [sys.executable, "-m", "mosearch.mose", "--tcp", "--device", "cpu", "--model", str(tiny_model)]
    host = subprocess.Popen(
        [*command, "--address", str(file)], cwd=private_runtime, stderr=subprocess.DEVNULL
    )
    try:
        eventually(lambda: read_address(file) is not None)
        with connect(str(tiny_model), device="cpu", start=False) as client:
            assert client.status().pid == host.pid
            assert len(client.encode(["x"], priority=Priority.EDIT)[1]) == 1
    finally:
        host.terminate()
        assert host.wait(20) == 0
    assert read_address(file) is None, "SIGTERM left the address behind"


@pytest.mark.parametrize("kept", [2, 20])
def test_a_host_that_dies_while_it_writes_is_gone_and_talks_no_nonsense(kept: int) -> None:
    ours, theirs = socket.socketpair()
    theirs.sendall(pack(Welcome(PROTOCOL_VERSION, "f" * 16, "cpu", "float32", 1))[:kept])
    theirs.close()
    link = Link(ours)
    with pytest.raises(ConnectionResetError, match="ended after"):
        link.receive()
    link.close()


def test_connections_to_a_host_that_died_go_together(
    tiny_model: Path, kill_hosts: Callable[[], None]
) -> None:
    with connect(str(tiny_model), device="cpu") as client:
        first, second = client._borrow(), client._borrow()
        assert first.pid == second.pid == client.status().pid
        client._give_back(first)
        client._give_back(second)
        kill_hosts()
        assert client.encode(["a"], "query", (1,), priority=Priority.QUERY)[1].shape == (1, 32)
        assert {link.pid for link in client._spare} == {client.status().pid} != {first.pid}
