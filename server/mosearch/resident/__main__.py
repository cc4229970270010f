"""The command line of the resident process; `mosearch.resident.client` is its only intended caller."""

from __future__ import annotations

import argparse
import logging
import sys
from contextlib import ExitStack
from pathlib import Path

from mosearch import memory
from mosearch.errors import MosearchError
from mosearch.ipc.background import begin

_log = logging.getLogger("mosearch.resident")


def main() -> int:
    options = _options()
    memory.keep_little()
    begin(_log)
    try:
        _serve(options.root, options.address)
    except (MosearchError, OSError) as error:
        _log.error("%s", error)
        return error.exit_code if isinstance(error, MosearchError) else 1
    return 0


def _serve(root: Path, address: Path) -> None:
    from mosearch.resident.server import Resident, claim
    from mosearch.settings import load_settings

    right = claim(address)
    if right is None:
        _log.info("not needed: %s is served already", root)
        return
    with memory.loading():
        from mosearch.engine import Engine
        from mosearch.resident.deepening import Deepening
        from mosearch.resident.requests import PATIENCE_SECONDS

        settings = load_settings(root)
        opened = Engine(root, settings, warm_up=True, patience_seconds=PATIENCE_SECONDS)
    with right, opened as engine, ExitStack() as stack:
        deepening = Deepening(engine)
        stack.callback(deepening.stop)
        resident = Resident(engine, address, right, gives_way=True, answered=deepening.wake)
        stack.callback(resident.close)
        _log.info("serving %s", root)
        _log.info("leaving %s: %s", root, resident.wait(settings.idle_seconds))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m mosearch.resident", description="Keep an index open for commands to come."
    )
    parser.add_argument("--root", type=Path, required=True, help="workspace folder")
    parser.add_argument("--address", type=Path, required=True, help="file to publish the address in")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
