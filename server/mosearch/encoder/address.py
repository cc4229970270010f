"""The name under which the host of a model can be found."""

from __future__ import annotations

import os
import re
from pathlib import Path

from mosearch.encoder.protocol import PROTOCOL_VERSION
from mosearch.errors import HostError
from mosearch.ipc import MAX_SOCKET_PATH, RUNTIME_VARIABLE


def address_file(runtime: Path, fingerprint: str, device: str) -> Path:
    """One name per model, device and protocol, so that hosts that differ in these live side by side."""
    place = re.sub(r"[^a-z0-9]", "", device.lower())[:8]
    file = runtime / f"mose-{fingerprint[:16]}-{place}-{PROTOCOL_VERSION}.json"
    if len(os.fsencode(file)) > MAX_SOCKET_PATH:
        raise HostError(
            f"{runtime} is too long a path for a socket. Set {RUNTIME_VARIABLE} to a shorter one."
        )
    return file
