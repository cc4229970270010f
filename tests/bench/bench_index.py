"""Run the real `mosearch` command and watch what it costs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

_SAMPLE_SECONDS = 0.05
_HOST_MODULE = "mosearch.mose"


class CommandError(Exception):
    """The command did not end well; the message holds what it said."""


@dataclass(slots=True)
class Usage:
    """What one process used, sampled every 50 ms."""

    peak_mb: float = 0.0
    """Largest resident size seen."""
    cpu_seconds: float = 0.0
    """User and system time: on a busy machine it says more than the clock."""


@dataclass(frozen=True, slots=True)
class Cost:
    """One run of the command."""

    answer: dict[str, Any]
    """The JSON that it printed."""
    trouble: str
    """What it said on standard error, which is nothing when all is well."""
    seconds: float
    command: Usage
    host: Usage
    """Of the encoder host, while the command ran; zeros where there was none."""


class Workplace:
    """Private cache, configuration and runtime folders, so that nothing of the user's is read or touched."""

    def __init__(self) -> None:
        # The runtime folder holds a Unix socket, whose path may have about 100 bytes: no long TMPDIR.
        short = "/tmp" if Path("/tmp").is_dir() else None
        self._folder = Path(tempfile.mkdtemp(prefix="mb-", dir=short))
        self.cache = self._folder / "cache"
        self.runtime = self._folder / "run"

    @property
    def environment(self) -> dict[str, str]:
        return {
            "MOSEARCH_CACHE_DIR": str(self.cache),
            "MOSEARCH_RUNTIME_DIR": str(self.runtime),
            "MOSEARCH_CONFIG_DIR": str(self._folder / "config"),
        }

    def hosts(self) -> list[psutil.Process]:
        """The encoder hosts that were started from here: their address file is in our runtime folder."""
        mark = f"{self.runtime}{os.sep}"
        return [
            process
            for process in psutil.process_iter(["cmdline"])
            if any(part.startswith(mark) for part in process.info["cmdline"] or ())
        ]

    def index_bytes(self) -> int:
        """Size of the index and its vectors on disk, without logs and weights."""
        folders = (self.cache / "workspaces", self.cache / "vectors")
        files = (file for folder in folders for file in folder.rglob("*") if file.is_file())
        return sum(file.stat().st_size for file in files)

    def clear(self) -> None:
        """End our encoder hosts and forget everything."""
        hosts = self.hosts()
        for host in hosts:
            with suppress(psutil.NoSuchProcess):
                host.terminate()
        for host in psutil.wait_procs(hosts, timeout=5)[1]:
            with suppress(psutil.NoSuchProcess):
                host.kill()
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(mode=0o700)

    def close(self) -> None:
        self.clear()
        shutil.rmtree(self._folder, ignore_errors=True)


def run(arguments: Sequence[str], workplace: Workplace) -> Cost:
    """`mosearch ARGUMENTS --json`, watched.  Raises `CommandError`."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        start = time.perf_counter()
        command = subprocess.Popen(
            [_mosearch(), *arguments, "--json"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            env={**os.environ, **workplace.environment},
        )
        command_usage, host_usage = _watch(command, workplace)
        seconds = time.perf_counter() - start
        output.seek(0)
        errors.seek(0)
        text = output.read().decode("utf-8", "replace")
        trouble = errors.read().decode("utf-8", "replace").strip()
    if command.returncode != 0:
        raise CommandError(
            f"mosearch {arguments[0]} ended with {command.returncode}: {text.strip()} {trouble}"
        )
    return Cost(_parsed(text), trouble, seconds, command_usage, host_usage)


def _parsed(text: str) -> dict[str, Any]:
    answer: Mapping[str, Any] = json.loads(text)
    return dict(answer)


def _watch(command: subprocess.Popen[bytes], workplace: Workplace) -> tuple[Usage, Usage]:
    """What the command and the encoder host use until the command ends."""
    watched = psutil.Process(command.pid)
    host = next(iter(workplace.hosts()), None)
    before = _cpu_seconds(host) if host is not None else 0.0
    command_usage, host_usage = Usage(), Usage()
    while command.poll() is None:
        with suppress(psutil.Error):
            _sample(watched, command_usage, 0.0)
            host = host or _started_host(watched)
        if host is not None:
            with suppress(psutil.Error):
                _sample(host, host_usage, before)
        time.sleep(_SAMPLE_SECONDS)
    return command_usage, host_usage


def _sample(process: psutil.Process, usage: Usage, before: float) -> None:
    usage.peak_mb = max(usage.peak_mb, process.memory_info().rss / 1e6)
    usage.cpu_seconds = _cpu_seconds(process) - before


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _started_host(command: psutil.Process) -> psutil.Process | None:
    """The host is a child of the command that started it, as long as that runs."""
    return next((child for child in command.children() if _HOST_MODULE in child.cmdline()), None)


def _mosearch() -> str:
    """The command that belongs to this interpreter, else the one on the path.  Raises `CommandError`."""
    found = shutil.which("mosearch", path=str(Path(sys.executable).parent)) or shutil.which("mosearch")
    if found is None:
        raise CommandError("There is no `mosearch` command: install the package first.")
    return found
