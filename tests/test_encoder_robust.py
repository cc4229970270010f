"""The host against noise and strangers, the client against hosts that misbehave.

`FUZZ_FRAMES` and `FAULTS` in the environment make it the long version (100000 and 20).
"""

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
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from mosearch.encoder import EncoderClient, connect, launch, model_info
from mosearch.encoder import client as client_module
from mosearch.encoder.address import address_file
from mosearch.encoder.link import Link
from mosearch.encoder.protocol import (
    MAX_FRAME_BYTES,
    PROTOCOL_VERSION,
    Encode,
    Hello,
    Message,
    StatusQuestion,
    Welcome,
    pack,
)
from mosearch.errors import HostError
from mosearch.ipc import Address, read_address, write_address
from mosearch.types import Priority
from other_user import as_nobody, needs_root

FRAMES = int(os.environ.get("FUZZ_FRAMES", "800"))
FAULTS = int(os.environ.get("FAULTS", "2"))


@pytest.fixture
def client(tiny_model: Path, private_runtime: Path) -> Iterator[EncoderClient]:
    with connect(str(tiny_model), device="cpu", threads=1) as client:
        yield client


def test_a_number_that_no_answer_can_have_does_not_end_the_host(
    tiny_model: Path, private_runtime: Path, client: EncoderClient
) -> None:
    _, address = published(tiny_model, private_runtime)
    pid = client.status().pid
    frame = pack(Encode(1, ["x"], "code", [1], 0)).replace(b"\xa2id\x01", b"\xa2id\xff")
    with closing(Link(address.dial(10))) as link:
        link.send(Hello(PROTOCOL_VERSION, address.token, 0.0))
        assert isinstance(link.receive(), Welcome)
        link._socket.sendall(frame)
        assert "wrong type or size" in str(link.receive())
    assert len(client.encode(["x"], priority=Priority.EDIT)[1]) == 1
    assert client.status().pid == pid


def published(model: Path, runtime: Path) -> tuple[Path, Address]:
    file = address_file(runtime, model_info(model).fingerprint, "cpu")
    address = read_address(file)
    assert address is not None
    return file, address


def peak_mb(pid: int) -> int:
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(fields["VmHWM"].split()[0]) // 1024


def noise(rng: random.Random) -> bytes:
    """A frame, or what a broken or malicious client would send in its place."""
    kind = rng.randrange(5)
    if kind == 0:
        return rng.randbytes(rng.randrange(200))
    if kind == 1:  # a size, and less than that
        return (
            rng.choice([0, 1, MAX_FRAME_BYTES, MAX_FRAME_BYTES + 1, 2**32 - 1]).to_bytes(4, "big") + b"\x81"
        )
    if kind == 2:  # nested containers, numbers beyond all bounds
        body = rng.choice([b"\x91" * 5000, b"\xdf\xff\xff\xff\xff", b"\xdd\xff\xff\xff\xff", b"\xc7\xff\x01"])
        return len(body).to_bytes(4, "big") + body
    messages: list[Message] = [
        Encode(rng.randrange(9), ["x"] * rng.randrange(9), "code", [1], rng.randrange(5)),
        StatusQuestion(),
        Hello(PROTOCOL_VERSION, "t", 1.0),
        Welcome(PROTOCOL_VERSION, "f", "cpu", "float32", 1),
    ]
    good = bytearray(pack(rng.choice(messages)))
    for _ in range(rng.randint(1, 4)):
        good[rng.randrange(len(good))] = rng.randrange(256)
    return bytes(good[: rng.randint(1, len(good))]) if kind == 3 else bytes(good)


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of the memory from /proc")
def test_noise_neither_ends_the_host_nor_fills_its_memory(
    tiny_model: Path, private_runtime: Path, client: EncoderClient
) -> None:
    _, address = published(tiny_model, private_runtime)
    pid = client.status().pid
    rng = random.Random(11)
    hello = pack(Hello(PROTOCOL_VERSION, address.token, 0.0))
    client.encode(["x"] * 300, priority=Priority.EDIT)
    before = peak_mb(pid)
    for number in range(FRAMES):
        with closing(address.dial(30)) as connection, suppress(OSError):
            connection.sendall((hello if rng.random() < 0.8 else b"") + noise(rng))
        if number % 1000 == 999:
            assert client.status().pid == pid
    assert len(client.encode(["x"], priority=Priority.EDIT)[1]) == 1
    assert client.status().pid == pid, "it died"
    assert peak_mb(pid) - before <= MAX_FRAME_BYTES >> 20


@needs_root
def test_another_user_can_neither_connect_nor_read(
    tiny_model: Path, private_runtime: Path, client: EncoderClient
) -> None:
    file, address = published(tiny_model, private_runtime)

    def knock() -> None:
        socket.socket(socket.AF_UNIX).connect(address.path)

    assert as_nobody(lambda: None) == ""
    for _ in range(2):
        assert as_nobody(knock) == "PermissionError"
        assert as_nobody(file.read_text) == "PermissionError"
        private_runtime.chmod(0o755)  # Even where somebody opened the folder.
    cache = Path(os.environ["MOSEARCH_CACHE_DIR"])
    assert as_nobody(lambda: list((cache / "log").iterdir())) == "PermissionError"
    assert client.status().connections == 1


def test_tcp_binds_the_loopback_interface_and_wants_its_token(
    tiny_model: Path, private_runtime: Path
) -> None:
    file = address_file(private_runtime, model_info(tiny_model).fingerprint, "cpu")
    command = [sys.executable, "-m", "mosearch.mose", "--tcp", "--device", "cpu", "--model", str(tiny_model)]
    host = subprocess.Popen(
        [*command, "--address", str(file)], cwd=private_runtime, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 60
        while (address := read_address(file)) is None:
            assert time.monotonic() < deadline and host.poll() is None
        listening = [c for c in psutil.Process(host.pid).net_connections("inet") if c.status == "LISTEN"]
        assert [c.laddr.ip for c in listening] == ["127.0.0.1"]
        for token in ("", "0" * 32, address.token[:-1]):
            with closing(Link(address.dial(10))) as link:
                link.send(Hello(PROTOCOL_VERSION, token, 1.0))
                assert "token" in str(link.receive())
        with connect(str(tiny_model), device="cpu", start=False) as client:
            assert client.status().pid == host.pid
    finally:
        host.kill()
        host.wait(20)


@contextmanager
def pretender(file: Path, answer: Callable[[socket.socket], None]) -> Iterator[None]:
    """Somebody listens where a host should, and `answer`s each connection."""
    path = file.with_suffix(".sock")
    path.unlink(missing_ok=True)
    kept = []
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(path))
        listener.listen()
        write_address(file, Address(str(path), 0, "token"))

        def serve() -> None:
            with suppress(OSError):
                while True:
                    kept.append(listener.accept()[0])
                    answer(kept[-1])

        threading.Thread(target=serve, daemon=True).start()
        yield
        for connection in kept:
            connection.close()


def hang(_connection: socket.socket) -> None:
    pass


def garbage(connection: socket.socket) -> None:
    connection.sendall(random.Random(3).randbytes(64))


def older(connection: socket.socket) -> None:
    """A host of a version in which a welcome had other fields."""
    body = b"\x82\xa2op\xa7welcome\xa7version\x00"
    connection.sendall(len(body).to_bytes(4, "big") + body)


def other_model(connection: socket.socket) -> None:
    connection.sendall(pack(Welcome(PROTOCOL_VERSION, "another", "cpu", "float32", 1)))


@pytest.mark.parametrize("answer", [hang, garbage, older, other_model])
def test_a_host_that_misbehaves_is_not_used_but_replaced(
    tiny_model: Path,
    private_runtime: Path,
    monkeypatch: pytest.MonkeyPatch,
    answer: Callable[[socket.socket], None],
) -> None:
    file = address_file(private_runtime, model_info(tiny_model).fingerprint, "cpu")
    with monkeypatch.context() as patch:
        patch.setattr(launch, "_DIAL_SECONDS", 0.2)
        for _ in range(FAULTS):
            with pretender(file, answer), pytest.raises(HostError, match="No encoder host is running"):
                connect(str(tiny_model), device="cpu", start=False)
    if answer in (garbage, older):
        with pretender(file, answer), connect(str(tiny_model), device="cpu", threads=1) as client:
            assert len(client.encode(["x"], priority=Priority.EDIT)[1]) == 1


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="cannot stop a process")
def test_a_host_that_hangs_in_the_middle_of_a_request_is_replaced(
    client: EncoderClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "_SILENCE_SECONDS", 1.0)
    monkeypatch.setattr(launch, "_DIAL_SECONDS", 1.0)
    for _ in range(max(1, FAULTS // 2)):
        stopped = psutil.Process(client.status().pid)
        stopped.suspend()
        assert len(client.encode(["x"] * 600, priority=Priority.INDEX)[1]) == 600
        assert client.status().pid != stopped.pid
        stopped.wait(20)


def test_a_host_that_keeps_dying_is_left_alone_for_a_while(
    client: EncoderClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dead(_spec: object) -> None:
        raise ConnectionRefusedError("nobody is there")

    psutil.Process(client.status().pid).kill()
    monkeypatch.setattr(client_module, "open_link", dead)
    with pytest.raises(HostError, match="died twice"):
        client.encode(["x"], priority=Priority.EDIT)
    with pytest.raises(HostError, match=r"keeps dying; it is started again in [01] s"):
        client.encode(["x"], priority=Priority.EDIT)
    monkeypatch.setattr(client, "_rest_until", 0.0)
    with pytest.raises(HostError, match="died twice"):
        client.encode(["x"], priority=Priority.EDIT)
    assert client._rest_until - time.monotonic() > 1.5, "it is left alone for longer each time"
    monkeypatch.undo()
    client._rest_until = 0.0
    assert len(client.encode(["x"], priority=Priority.EDIT)[1]) == 1
