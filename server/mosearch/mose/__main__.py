"""The command line of the host process; `mosearch.encoder.launch` is its only intended caller."""

from __future__ import annotations

import argparse
import logging
import os
import socket
import sys
import threading
from pathlib import Path

import psutil

from mosearch import memory
from mosearch.errors import MosearchError
from mosearch.ipc.background import begin
from mosearch.priority import give_way

_log = logging.getLogger("mosearch.mose")

_WATCH_SECONDS = 0.5


def main() -> int:
    options = _options()
    begin(_log)
    give_way(options.niceness)
    admitted = threading.Event()
    if options.started_by is not None:
        _leave_with(options.started_by, admitted)
    # Imported only now: it takes seconds, in which whoever started us may die.
    with memory.loading():
        import torch

        from mosearch.mose.host import Host
        from mosearch.mose.inference import load

    threads = options.threads or default_threads()
    torch.set_num_threads(threads)
    os.environ["RAYON_NUM_THREADS"] = str(threads)  # read by the tokeniser at its first batch
    try:
        encoder = load(str(options.model), options.device, memory_mb=options.memory_mb)
        host = Host(
            encoder,
            options.address,
            threads=threads,
            idle_seconds=options.idle_seconds,
            memory_mb=options.memory_mb,
            admitted=admitted,
        )
        _log.info("%s on %s, %s, %d threads", encoder.info.name, encoder.device, encoder.dtype, threads)
        _log.info("leaving: %s", host.serve(use_tcp=options.tcp))
    except (MosearchError, OSError) as error:
        _log.error("%s", error)
        return error.exit_code if isinstance(error, MosearchError) else 1
    return 0


def _leave_with(process: int, admitted: threading.Event) -> None:
    """End if the process that started this one is gone before any client was admitted."""

    def watch() -> None:
        while not admitted.wait(_WATCH_SECONDS):
            if not psutil.pid_exists(process):
                _log.info("leaving: whoever started it is gone")
                os._exit(0)

    threading.Thread(target=watch, name="starter", daemon=True).start()


def default_threads() -> int:
    """Half the cores that this process may use, and at least one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // 2)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m mosearch.mose", description="Host a MoSEarch encoder.")
    parser.add_argument("--model", type=Path, required=True, help="model folder")
    parser.add_argument("--address", type=Path, required=True, help="file to publish the address in")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, help="for computing; half the cores by default")
    parser.add_argument("--memory-mb", type=int, help="most memory to use; no limit by default")
    parser.add_argument("--niceness", type=int, default=0, help="from 0 to 19; how far to give way to others")
    parser.add_argument("--idle-seconds", type=float, default=600, help="leave when unused for that long")
    parser.add_argument("--started-by", type=int, help="process to leave with if it dies before it connects")
    parser.add_argument(
        "--tcp", action="store_true", default=not hasattr(socket, "AF_UNIX"), help="listen on 127.0.0.1"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
