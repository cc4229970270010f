"""Finding the host of a model, or starting one: exactly one, however many ask at the same time."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from mosearch.encoder.address import address_file, read_address
from mosearch.encoder.link import Link
from mosearch.encoder.places import log_folder, runtime_folder
from mosearch.encoder.protocol import PROTOCOL_VERSION, Hello, Welcome
from mosearch.errors import HostError, ProtocolError

START_SECONDS = 120.0
"""A model of a billion parameters on a slow disk takes its time; a host that dies is noticed at once."""
_DIAL_SECONDS = 5.0
_POLL_SECONDS = 0.01
_MAX_LOG_BYTES = 1 << 20
_LOG_TAIL_CHARACTERS = 2000


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


def open_link(spec: HostSpec) -> tuple[Link, Welcome]:
    """A connection to the host of this model, which is started if need be.  Raises HostError."""
    file = address_file(runtime_folder(), spec.fingerprint, spec.device)
    found = _greet(file, spec)
    if found:
        return found
    if not spec.start:
        raise HostError(
            f"No encoder host is running for {spec.folder}. Start one, or allow it to be started."
        )
    # Imported here, as it takes longer to import than everything else in this room together.
    from filelock import FileLock, Timeout

    try:
        with FileLock(file.with_suffix(".lock"), timeout=START_SECONDS, mode=0o600):
            # Whoever held the lock before us may have started the host.
            return _greet(file, spec) or _start(file, spec)
    except Timeout:
        raise HostError(
            f"Another process has been starting the encoder host for {START_SECONDS:.0f} s."
        ) from None


def _greet(file: Path, spec: HostSpec) -> tuple[Link, Welcome] | None:
    """Connect and show the token; None when nobody who can be used answers."""
    address = read_address(file)
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
        link.set_timeout(None)
        return link, answer
    link.close()
    return None


def _start(file: Path, spec: HostSpec) -> tuple[Link, Welcome]:
    log = log_folder() / file.with_suffix(".log").name
    process = _spawn(file, spec, log)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        found = _greet(file, spec)
        if found:
            # The host outlives us as a rule; if it does not, somebody has to collect its exit status.
            threading.Thread(target=process.wait, name="mosearch-host-reaper", daemon=True).start()
            return found
        if process.poll() is not None:
            raise HostError(f"The encoder host ended with status {process.returncode}. {_tail(log)}")
        time.sleep(_POLL_SECONDS)
    process.kill()
    process.wait()
    raise HostError(f"The encoder host did not answer within {START_SECONDS:.0f} s. {_tail(log)}")


def _spawn(file: Path, spec: HostSpec, log: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "mosearch.mose", "--model", str(spec.folder), "--address", str(file)]
    command += ["--device", spec.device, "--idle-seconds", str(spec.idle_seconds)]
    command += ["--started-by", str(os.getpid())]
    if spec.threads is not None:
        command += ["--threads", str(spec.threads)]
    # Threads of a matrix product that wait for each other must not spin: the cores are the editor's, too.
    environment = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ}
    with _open_log(log) as output:
        # `-m` makes the working folder importable: it must be one that nobody else can write to.
        return subprocess.Popen(
            command,
            cwd=file.parent,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            **_detached(),
        )


def _detached() -> dict[str, Any]:
    """A session of its own, so that Ctrl+C and the end of the client do not reach the host."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


def _open_log(log: Path) -> IO[bytes]:
    too_long = log.exists() and log.stat().st_size > _MAX_LOG_BYTES
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | (os.O_TRUNC if too_long else 0)
    return os.fdopen(os.open(log, flags, 0o600), "ab")


def _tail(log: Path) -> str:
    try:
        text = log.read_text("utf-8", "replace").strip()
    except OSError as error:
        return f"Its log {log} cannot be read: {error}."
    return f"The end of its log, {log}:\n{text[-_LOG_TAIL_CHARACTERS:]}"
