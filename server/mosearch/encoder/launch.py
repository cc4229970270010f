"""Finding the host of a model, or starting one: exactly one, however many ask at the same time."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mosearch import ipc
from mosearch.encoder.address import address_file
from mosearch.encoder.link import Link
from mosearch.encoder.protocol import PROTOCOL_VERSION, Hello, Welcome
from mosearch.errors import HostError, ProtocolError

START_SECONDS = 120.0
"""A model of a billion parameters on a slow disk takes its time; a host that dies is noticed at once."""
_DIAL_SECONDS = 5.0
_STALL_SECONDS = 20.0
"""For a message that has begun: between two processes of one machine, its rest does not take that long."""
_POLL_SECONDS = 0.01
_MOST_REST_SECONDS = 60.0

_ENVIRONMENT = {
    # Threads of a matrix product that wait for each other must not spin: the cores are the editor's, too.
    "OMP_WAIT_POLICY": "PASSIVE",
    # A pool of memory for each thread, and a kernel for each of a thousand shapes, are 200 MB in a day.
    "MALLOC_ARENA_MAX": "2",
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "128",
}
"""Unless the user's environment says otherwise."""


@dataclass(frozen=True, slots=True)
class HostSpec:
    """Which host is wanted, and how it is to run if it has to be started."""

    folder: Path
    fingerprint: str
    device: str
    threads: int | None
    idle_seconds: float
    linger_seconds: float
    """How long the host is asked to stay, for others, after this client has left."""
    start: bool
    """Whether a host may be started; if not, only a running one is used."""
    memory_mb: int | None = None
    """Most memory for the host, or for a GPU that part of the GPU's which it uses."""
    niceness: int = 0
    """At least so far the host gives way to other processes, from 0 to 19."""


def open_link(spec: HostSpec) -> tuple[Link, Welcome]:
    """A connection to the host of this model, which is started if need be.  Raises HostError."""
    file = address_file(ipc.runtime_folder(), spec.fingerprint, spec.device)
    found = _greet(file, spec)
    if found:
        return found
    if not spec.start:
        raise HostError(
            f"No encoder host is running for {spec.folder}. Start one, or allow it to be started."
        )
    _REST.check(file)
    # Imported here, as it takes longer to import than everything else in this room together.
    from filelock import FileLock, Timeout

    try:
        with FileLock(file.with_suffix(".lock"), timeout=START_SECONDS, mode=0o600):
            # Whoever held the lock before us may have started the host.
            found = _greet(file, spec) or _start(file, spec)
    except Timeout:
        raise HostError(
            f"Another process has been starting the encoder host for {START_SECONDS:.0f} s."
        ) from None
    except (OSError, HostError) as error:
        reason = (
            str(error) if isinstance(error, HostError) else f"The encoder host cannot be started: {error}."
        )
        _REST.note(file, reason)
        raise HostError(reason) from error
    _REST.forget(file)
    return found


def check_alive(spec: HostSpec, pid: int) -> None:
    """Ends the host with this process number if it hangs, so that another can be started.

    A host answers who connects from a thread of its own, however busy it is; on a machine that has no
    time for it, it works slowly, but works.  Raises OSError when it hangs, and when it is gone or no
    longer the one that is published.
    """
    import psutil

    with suppress(psutil.Error):
        process = psutil.Process(pid)
        worked = sum(process.cpu_times()[:2])
        found = _greet(address_file(ipc.runtime_folder(), spec.fingerprint, spec.device), spec)
        if found:
            link, welcome = found
            link.close()
            if welcome.pid == pid:
                return
        elif sum(process.cpu_times()[:2]) > worked:
            return
        elif "mosearch.mose" in process.cmdline():
            process.kill()
    raise TimeoutError("the encoder host gave no sign of life")


class _Rest:
    """Hosts that could not be started are left alone for longer and longer: each attempt takes a second."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failed: dict[Path, tuple[int, float, str]] = {}
        """By address: how often in a row, until when it is left alone, and why it failed."""

    def check(self, file: Path) -> None:
        """Raises HostError, with the reason, while this one is left alone."""
        _, until, reason = self._failed.get(file, (0, 0.0, ""))
        if time.monotonic() < until:
            raise HostError(reason)

    def note(self, file: Path, reason: str) -> None:
        with self._lock:
            times = self._failed.get(file, (0, 0.0, ""))[0]
            until = time.monotonic() + min(2.0**times, _MOST_REST_SECONDS)
            self._failed[file] = times + 1, until, reason

    def forget(self, file: Path) -> None:
        with self._lock:
            self._failed.pop(file, None)


_REST = _Rest()


class _OtherHostError(Exception):
    """Somebody answers at an address, its only argument, who is of no use: of another model or protocol."""


def _greet(file: Path, spec: HostSpec) -> tuple[Link, Welcome] | None:
    """Connect and show the token; None when nobody who can be used answers."""
    with suppress(_OtherHostError):
        return _welcomed(file, spec)
    return None


def _welcomed(file: Path, spec: HostSpec) -> tuple[Link, Welcome] | None:
    """As `_greet`; raises _OtherHostError when somebody answers who is of no use."""
    address = ipc.read_address(file)
    if address is None:
        return None
    try:
        link = Link(address.dial(_DIAL_SECONDS))
    except OSError:
        return None
    try:
        link.send(Hello(PROTOCOL_VERSION, address.token, spec.linger_seconds))
        answer = link.receive()
    except (OSError, ProtocolError):
        link.close()
        return None
    if isinstance(answer, Welcome) and answer.fingerprint == spec.fingerprint:
        link.set_timeout(_STALL_SECONDS)
        link.pid = answer.pid
        return link, answer
    link.close()
    raise _OtherHostError(address)


def _start(file: Path, spec: HostSpec) -> tuple[Link, Welcome]:
    log = ipc.log_folder() / file.with_suffix(".log").name
    before = ipc.read_address(file)
    process = _spawn(file, spec, log)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            found = _welcomed(file, spec)
        except _OtherHostError as other:
            found = None
            if other.args[0] != before:
                _end(process)
                raise HostError(
                    f"The model in {spec.folder}, or MoSEarch itself, was replaced since this process "
                    "began. Start it again: in an editor, restart the language server."
                ) from None
        if found:
            # The host outlives us as a rule; if it does not, somebody has to collect its exit status.
            threading.Thread(target=process.wait, name="mosearch-host-reaper", daemon=True).start()
            return found
        if process.poll() is not None:
            raise HostError(f"The encoder host ended with status {process.returncode}. {ipc.log_tail(log)}")
        time.sleep(_POLL_SECONDS)
    _end(process)
    raise HostError(f"The encoder host did not answer within {START_SECONDS:.0f} s. {ipc.log_tail(log)}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def _spawn(file: Path, spec: HostSpec, log: Path) -> subprocess.Popen[bytes]:
    arguments = ["--model", str(spec.folder), "--address", str(file)]
    arguments += ["--device", spec.device, "--idle-seconds", str(spec.idle_seconds)]
    arguments += ["--started-by", str(os.getpid()), "--niceness", str(spec.niceness)]
    if spec.threads is not None:
        arguments += ["--threads", str(spec.threads)]
    if spec.memory_mb is not None:
        arguments += ["--memory-mb", str(spec.memory_mb)]
    return ipc.spawn("mosearch.mose", arguments, file.parent, log, _ENVIRONMENT)
