"""The name under which the host of a model can be found."""

from __future__ import annotations

import re
from pathlib import Path

from mosearch import ipc
from mosearch.encoder.protocol import PROTOCOL_VERSION


def address_file(runtime: Path, fingerprint: str, device: str) -> Path:
    """One name per model, device and protocol, so that hosts that differ in these live side by side.

    Raises HostError where the path is too long for a socket.
    """
    place = re.sub(r"[^a-z0-9]", "", device.lower())[:8]
    return ipc.address_path(runtime, f"mose-{fingerprint[:16]}-{place}-{PROTOCOL_VERSION}.json")
