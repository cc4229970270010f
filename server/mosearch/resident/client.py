"""Asking the resident process of a workspace, and starting one for the next command."""

from __future__ import annotations

import hashlib
import json
import threading
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from mosearch import __version__, errors, ipc
from mosearch.progress import Progress
from mosearch.resident.lines import MAX_ANSWER_BYTES, Lines
from mosearch.resident.requests import Answer, Request
from mosearch.settings import Settings, cache_dir

_DIAL_SECONDS = 1.0
# What only editors show, and what a request says itself: an editor answers commands that have other ones.
_NO_MATTER = {"limit", "log_level", "code_lens", "duplicate_hints", "duplicate_threshold"}
# It sends a sign of life every second; one that is silent for this long hangs or is being suspended.
_SILENCE_SECONDS = 10.0


def address_file(root: Path, settings: Settings) -> Path:
    """One name per version, workspace and settings that bear on answers: a command is answered as it would
    answer itself.

    Raises `HostError` where there is no folder for sockets.
    """
    bearing = {name: value for name, value in asdict(settings).items() if name not in _NO_MATTER}
    identity = json.dumps([__version__, str(root), str(cache_dir().absolute()), bearing])
    name = hashlib.blake2b(identity.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    return ipc.address_path(ipc.runtime_folder(), f"resident-{name}.json")


def ask(root: Path, settings: Settings, request: Request, progress: Progress) -> Answer | None:
    """The answer of the process that keeps this workspace open; None when there is none that answers.

    Closing the connection, as the end of this process does, cancels the request.
    Raises the `MosearchError` that answering raised.
    """
    try:
        file = address_file(root, settings)
        address = ipc.read_address(file)
        if address is None:
            return None
        lines = Lines(address.dial(_DIAL_SECONDS), MAX_ANSWER_BYTES)
    except (OSError, errors.HostError):
        return None
    try:
        lines.set_timeout(_SILENCE_SECONDS)
        lines.send({"token": address.token, "request": request.to_json()})
        return _listen(lines, progress)
    except OSError:
        return None
    finally:
        lines.close()


def _listen(lines: Lines, progress: Progress) -> Answer:
    while True:
        message = lines.receive()
        if "progress" in message:
            progress(*message["progress"])
        elif "error" in message:
            kind = getattr(errors, message["error"]["name"], errors.MosearchError)
            raise kind(message["error"]["message"])
        elif "answer" in message:
            answer: Answer = message["answer"]
            return answer


def ask_to_leave(file: Path) -> None:
    """Ask whoever answers at this address to make room; nothing happens if nobody does, or it stays."""
    address = ipc.read_address(file)
    if address is None:
        return
    with suppress(OSError):
        lines = Lines(address.dial(_DIAL_SECONDS), MAX_ANSWER_BYTES)
        lines.send({"token": address.token, "leave": True})
        lines.close()


def start(root: Path, settings: Settings) -> None:
    """Leave a process behind that will answer the next command; where that fails, commands open the index.

    It ends at once when there is one already.
    """
    try:
        file = address_file(root, settings)
        log = ipc.log_folder() / "resident.log"
        arguments = ["--root", str(root), "--address", str(file)]
        process = ipc.spawn("mosearch.resident", arguments, file.parent, log)
    except (OSError, errors.HostError):
        return
    # It outlives us as a rule; if it does not, somebody has to collect its exit status.
    threading.Thread(target=process.wait, name="mosearch-resident-reaper", daemon=True).start()
