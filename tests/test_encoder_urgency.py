"""A large model on a CPU, one text of which takes long: urgent work and cancelling do not wait for it."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mosearch.encoder import EncoderClient, connect
from mosearch.errors import CancelledError
from mosearch.types import Priority

sys.path.insert(0, str(Path(__file__).parent / "bench"))
from published_checkpoint import FULL_SIZE, VARIANTS, shapes, write

LONG = "x = y + z\n" * 2000
"""2048 tokens, and some seconds of work."""


@pytest.fixture(scope="module")
def large_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the full depth and length, but narrow."""
    folder = tmp_path_factory.mktemp("large") / "model"
    size = {
        **FULL_SIZE,
        "hidden_size": 64,
        "intermediate_size": 1536,
        "num_attention_heads": 4,
        "num_key_value_heads": 1,
        "vocab_size": 404,
    }
    write(folder, shapes(size, 36, VARIANTS[36]), size)
    return folder


@pytest.fixture
def client(large_model: Path) -> Iterator[EncoderClient]:
    with connect(str(large_model), device="cpu", threads=1, linger_seconds=0) as client:
        client.encode(["warm"], priority=Priority.QUERY)
        yield client


def test_urgent_work_goes_between_and_cancelling_ends_a_pass(client: EncoderClient) -> None:
    began = time.monotonic()
    client.encode([LONG], exits=[36], priority=Priority.DEEPEN)
    whole = time.monotonic() - began

    order: list[str] = []
    cancel = threading.Event()

    def work(name: str, exit_: int, priority: Priority, text: str, stop: threading.Event | None) -> None:
        try:
            client.encode([text], exits=[exit_], priority=priority, cancel=stop)
            order.append(name)
        except CancelledError:
            order.append(f"{name} cancelled")

    def started(*arguments: object) -> threading.Thread:
        before = client.texts_sent
        thread = threading.Thread(target=work, args=arguments)
        thread.start()
        while client.texts_sent == before:
            time.sleep(0.001)
        return thread

    long = started("deepen", 36, Priority.DEEPEN, LONG, None)
    time.sleep(whole / 20)  # The pass is under way; it does not matter how far.
    threads = [
        started("index", 4, Priority.INDEX, "b", None),
        started("query", 18, Priority.QUERY, "c", None),
    ]
    for thread in [*threads, long]:
        thread.join(120)
    assert order[-1] == "deepen" and set(order) == {"deepen", "index", "query"}

    order.clear()
    long = started("deepen", 36, Priority.DEEPEN, LONG, cancel)
    time.sleep(whole / 20)
    cancel.set()
    long.join(120)
    began = time.monotonic()
    # Of the same priority: it waits for whatever is still being computed.
    client.encode(["d"], exits=[4], priority=Priority.DEEPEN)
    assert order == ["deepen cancelled"]
    assert time.monotonic() - began < whole / 2, "the host went on with what nobody wants"
