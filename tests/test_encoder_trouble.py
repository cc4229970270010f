"""A host that loses its GPU, or holds too much memory: the work goes on, and everybody is told."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from conftest import hosts_in
from mosearch.connection import Connection
from mosearch.encoder import EncoderClient, connect, model_info
from mosearch.encoder.address import address_file
from mosearch.encoder.launch import HostSpec, open_link
from mosearch.engine import Engine
from mosearch.errors import HostError, ModelError
from mosearch.ipc import read_address
from mosearch.settings import load_settings
from mosearch.types import Filters, Priority

_FAILING_HOST = """
import sys
from mosearch.mose.__main__ import main
from mosearch.mose.model import MultiExitEncoder

forward, on_device, times = MultiExitEncoder.forward, [], int(sys.argv.pop(1))

def fail_on_work(self, ids, *rest):
    if not any(self is model for model in on_device) and len(on_device) < times:
        on_device.append(self)
    if any(self is model for model in on_device) and ids.numel() > 20:
        raise RuntimeError("CUDA error: unspecified launch failure")
    return forward(self, ids, *rest)

MultiExitEncoder.forward = fail_on_work
sys.exit(main())
"""
LONG = "def read_all_lines(path): return open(path).read().splitlines() " * 3


@contextmanager
def failing_host(model: Path, runtime: Path, times: int) -> Iterator[None]:
    """A real host process in which so many devices fail at the first real work."""
    file = address_file(runtime, model_info(model).fingerprint, "cpu")
    command = [sys.executable, "-c", _FAILING_HOST, str(times), "--device", "cpu", "--model", str(model)]
    host = subprocess.Popen([*command, "--address", str(file)], cwd=runtime, stderr=subprocess.DEVNULL)
    try:
        while read_address(file) is None:
            assert host.poll() is None
        yield
    finally:
        host.terminate()
        host.wait(20)


def test_a_lost_device_is_survived_and_shown_everywhere(
    root: Path, use_tiny_model: Path, private_runtime: Path
) -> None:
    with failing_host(use_tiny_model, private_runtime, 1):
        with connect(str(use_tiny_model), device="cpu", start=False) as client:
            assert client.status().trouble == client.trouble == ""
            found = client.encode([LONG] * 300, priority=Priority.INDEX)
            assert len(found[2]) == 300
            assert "unspecified launch failure" in client.trouble and client.device == "cpu"
            assert client.status().trouble == client.trouble
        with Engine(root, load_settings(root)) as engine:
            engine.update()
            result = engine.search("send a request again", 3, Filters())
            assert result.hits and "unspecified launch failure" in result.warning
            assert "unspecified launch failure" in engine.status().trouble
        command = [sys.executable, "-m", "mosearch", "doctor", "--json", "--root", str(root)]
        done = subprocess.run(command, capture_output=True, timeout=60, check=False)
        checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
        assert done.returncode == 1
        assert not checks["encoder"]["ok"] and "CPU embeds" in checks["encoder"]["message"]


def test_when_the_cpu_fails_too_words_have_to_do(
    root: Path, use_tiny_model: Path, private_runtime: Path
) -> None:
    with (
        failing_host(use_tiny_model, private_runtime, 2),
        Engine(root, load_settings(root)) as engine,
    ):
        engine.update()
        result = engine.search(LONG + "send a request with retry", 3, Filters())
        assert result.hits and result.warning


@pytest.mark.usefixtures("private_runtime")
def test_a_host_that_holds_more_than_its_limit_says_so(tiny_model: Path) -> None:
    with connect(str(tiny_model), device="cpu", threads=1, memory_mb=290) as client:
        held = client.status().memory_mb
        assert client.status().trouble == ""
        client.encode([LONG + str(n) for n in range(600)], priority=Priority.INDEX)
        status = client.status()
        assert status.memory_mb <= 290 or "`memory_mb` allows 290" in status.trouble, (held, status)


def test_trouble_is_over_as_soon_as_the_host_answers_again(
    root: Path, use_tiny_model: Path, kill_hosts: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_: EncoderClient) -> None:
        raise HostError("no memory to start an encoder")

    fingerprint = model_info(use_tiny_model).fingerprint
    connection = Connection(load_settings(root), 0, lambda: fingerprint)
    try:
        encode = partial(connection.encode, ["a text"], "query", (1,), priority=Priority.INDEX)
        for answers_again in (encode, partial(connection.exits_at_hand, 0, (0, 1), 0.3)):
            encode()
            kill_hosts()
            with monkeypatch.context() as patched:
                patched.setattr(EncoderClient, "reconnect", refused)
                connection.exits_at_hand(0, (0, 1), None)
            assert "no memory" in connection.trouble
            if answers_again is not encode:
                connection.client().encode(["a text"], "query", (1,), priority=Priority.INDEX)
            answers_again()
            assert connection.trouble == ""
    finally:
        connection.close()


def test_a_host_that_cannot_start_is_left_alone_for_a_while(
    use_tiny_model: Path, private_runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spawned = 0

    def spawn(*_: object) -> subprocess.Popen[bytes]:
        nonlocal spawned
        spawned += 1
        if spawned == 2:
            raise BlockingIOError("no more processes")
        return subprocess.Popen([sys.executable, "-c", "raise SystemExit(9)"])

    monkeypatch.setattr("mosearch.encoder.launch.ipc.spawn", spawn)
    for reason in ("ended with status 9", "no more processes"):
        for _ in range(5):
            with pytest.raises(HostError, match=reason):
                connect(str(use_tiny_model), device="cpu")
        time.sleep(1.1)
    assert spawned == 2
    monkeypatch.undo()
    monkeypatch.setenv("MOSEARCH_RUNTIME_DIR", str(private_runtime))
    time.sleep(1)  # the second rest is two seconds
    with connect(str(use_tiny_model), device="cpu") as client:
        assert client.status().trouble == ""


def test_a_host_of_another_model_is_not_waited_for(
    use_tiny_model: Path, tmp_path: Path, private_runtime: Path
) -> None:
    copy = shutil.copytree(use_tiny_model, tmp_path / "model")
    file = address_file(private_runtime, "0" * 16, "cpu")
    spec = HostSpec(copy, "0" * 16, "cpu", None, 30, 0.0, True)
    begun = time.monotonic()
    with pytest.raises(HostError, match="was replaced since this process began"):
        open_link(spec)
    assert time.monotonic() - begun < 60
    assert not any(str(file) in process.cmdline() for process in hosts_in(private_runtime))


def test_nothing_is_embedded_with_a_model_that_was_replaced(
    root: Path, use_tiny_model: Path, private_runtime: Path
) -> None:
    connection = Connection(load_settings(root), 0, lambda: "of another model")
    try:
        for exit in (0, 1):
            with pytest.raises(ModelError, match="was replaced since this index was opened"):
                connection.encode(["a text"], "query", (exit,), priority=Priority.QUERY)
        assert connection.exits_at_hand(0, (0, 1), None) == frozenset()
        assert "was replaced" in connection.trouble
    finally:
        connection.close()
