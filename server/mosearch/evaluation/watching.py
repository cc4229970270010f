"""Watching a session from outside: what it says of itself, and what its processes take."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from mosearch.evaluation.session import Session, SessionError

MOST_CHUNKS = 500
"""Of a file that is edited; what is ranked behind them is not looked at."""
_SAMPLE_SECONDS = 0.5
_POLL_SECONDS = 0.05

Samples = dict[str, list[tuple[float, float, float]]]
"""Process → (seconds since the start, cores busy, MB resident)."""


def settle(
    session: Session, expected: Mapping[str, int] | None = None, seconds: float = 3600
) -> dict[str, Any]:
    """The status, once nothing is left to do and it shows what is expected.  Raises `SessionError`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        status = session.status()
        if is_settled(status) and all(status[name] == count for name, count in (expected or {}).items()):
            return status
        time.sleep(_POLL_SECONDS)
    raise SessionError(f"the index did not come to {expected} in {seconds:g} s, but to {session.status()}")


def is_settled(status: Mapping[str, Any]) -> bool:
    return status.get("state") == "ready" and bool(status.get("files")) and not status.get("pending")


@contextmanager
def sampled(session: Session) -> Iterator[Samples]:
    """CPU and memory of the server and of the encoder host, twice a second."""
    samples: Samples = {"server": [], "host": []}
    stopping = threading.Event()

    def watch() -> None:
        start = time.monotonic()
        server = psutil.Process(session.process.pid)
        encoder: psutil.Process | None = None
        while not stopping.wait(_SAMPLE_SECONDS):
            encoder = encoder if encoder is not None and encoder.is_running() else running_host()
            for name, process in (("server", server), ("host", encoder)):
                with suppress(psutil.Error):
                    if process is not None:
                        cores = process.cpu_percent() / 100
                        samples[name].append(
                            (time.monotonic() - start, cores, process.memory_info().rss / 2**20)
                        )

    thread = threading.Thread(target=watch, name="sampler", daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        stopping.set()
        thread.join()
        for name in [name for name, rows in samples.items() if not rows]:
            del samples[name]


def running_host() -> psutil.Process | None:
    runtime = os.environ["MOSEARCH_RUNTIME_DIR"]
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if "mosearch.mose" in command and any(part.startswith(runtime) for part in command):
            return process
    return None


@contextmanager
def private_folders() -> Iterator[Path]:
    """Nothing of the user's is read or touched, but for the setting of the model."""
    # A socket's path must be short: no long TMPDIR.
    folder = Path(tempfile.mkdtemp(prefix="mb-", dir="/tmp" if Path("/tmp").is_dir() else None))
    names = {"MOSEARCH_CACHE_DIR": "cache", "MOSEARCH_RUNTIME_DIR": "run", "MOSEARCH_CONFIG_DIR": "config"}
    before = {name: os.environ.get(name) for name in names}
    os.environ.update({name: str(folder / value) for name, value in names.items()})
    (folder / "run").mkdir(mode=0o700)
    try:
        yield folder
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value
        shutil.rmtree(folder, ignore_errors=True)


def literally(path: str) -> str:
    """A glob that means just this path."""
    return re.sub(r"([\\*?\[\]])", r"\\\1", path)
