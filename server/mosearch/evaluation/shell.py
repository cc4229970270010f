"""The command line as a user meets it: a folder never seen, one that is indexed, and one that is open."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import psutil

from mosearch.errors import MosearchError

_WARM_RUNS = 10
_COLD_RUNS = 3
_SETTLE_SECONDS = 120.0
_IDLE_SHARE = 0.05
_QUESTION = "where are retries decided"


def measure_first_answer(root: Path) -> float:
    """Wall seconds of one `mosearch search` on `root`, as if never seen before."""
    with _private() as (_, environment):
        return _search(root, environment)[0]


def measure_commands(root: Path) -> dict[str, float]:
    """Wall and processor seconds of `mosearch search` on `root`, with private folders; see the keys."""
    with _private() as (folder, environment):
        unseen, busy = _search(root, environment)
        _settle(folder)
        warm = [_search(root, environment)[0] for _ in range(_WARM_RUNS)]
        cold = []
        for _ in range(_COLD_RUNS):
            _end(folder)
            cold.append(_search(root, environment)[0])
        return {
            "never seen before, s": unseen,
            "never seen before, CPU s of the command": busy,
            "indexed, nothing running, s": float(np.median(cold)),
            "resident process running, s p50": float(np.median(warm)),
            "resident process running, s max": max(warm),
        }


def measure_beside(command: str, root: Path) -> float:
    """Wall seconds of another program's command, the median; `{question}` and `{root}` in it are replaced.

    Raises MosearchError when it cannot be run or fails.
    """
    arguments = [
        part.replace("{question}", _QUESTION).replace("{root}", str(root)) for part in shlex.split(command)
    ]
    seconds = []
    for _ in range(_COLD_RUNS):
        start = time.perf_counter()
        try:
            done = subprocess.run(arguments, capture_output=True, text=True, cwd=root)
        except OSError as error:
            raise MosearchError(f"`{command}` cannot be run: {error}") from error
        seconds.append(time.perf_counter() - start)
        if done.returncode:
            raise MosearchError(f"`{command}` failed: {done.stderr[-2000:] or done.stdout[-2000:]}")
    return float(np.median(seconds))


@contextmanager
def _private() -> Iterator[tuple[Path, dict[str, str]]]:
    """A folder, and an environment in which everything lies there; all processes end with it."""
    folder = Path(tempfile.mkdtemp(prefix="mb-", dir="/tmp" if Path("/tmp").is_dir() else None))
    (folder / "run").mkdir(mode=0o700)
    try:
        yield (
            folder,
            os.environ
            | {
                "MOSEARCH_CACHE_DIR": str(folder / "cache"),
                "MOSEARCH_RUNTIME_DIR": str(folder / "run"),
                "MOSEARCH_CONFIG_DIR": str(folder / "config"),
            },
        )
    finally:
        _end(folder)
        shutil.rmtree(folder, ignore_errors=True)


def _search(root: Path, environment: dict[str, str]) -> tuple[float, float]:
    """Wall seconds, and seconds of the processor that the command itself took."""
    command = [sys.executable, "-m", "mosearch", "search", _QUESTION, "-n", "1", "--root", str(root)]
    before = os.times()
    start = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    after = os.times()
    if done.returncode:
        raise MosearchError(f"`mosearch search` failed: {done.stderr}")
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return seconds, spent


def _settle(folder: Path) -> None:
    """Wait until what the first command left behind does nothing any more."""
    deadline = time.monotonic() + _SETTLE_SECONDS
    while time.monotonic() < deadline:
        processes = _ours(folder)
        before = _spent(processes)
        time.sleep(1)
        if processes and _spent(processes) - before < _IDLE_SHARE:
            return


def _spent(processes: Sequence[psutil.Process]) -> float:
    total = 0.0
    for process in processes:
        with suppress(psutil.Error):
            total += sum(process.cpu_times()[:2])
    return total


def _end(folder: Path) -> None:
    processes = _ours(folder)
    for process in processes:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(processes, timeout=5)


def _ours(folder: Path) -> list[psutil.Process]:
    """Processes that were started with an address below `folder`."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(str(folder) in part for part in process.info["cmdline"] or ())
    ]
