"""How a process in the background begins: where it writes, and how it is ended."""

from __future__ import annotations

import logging
import signal
import sys
from typing import NoReturn


def begin(log: logging.Logger) -> None:
    """Log to standard error from now on, and leave in good order, saying so, when told to by a signal."""
    logging.basicConfig(format="%(asctime)s %(process)d %(levelname)s %(message)s", level=logging.INFO)

    def leave(number: int, _frame: object) -> NoReturn:
        log.info("leaving: signal %d", number)
        sys.exit(0)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, leave)
