"""Updates of very many files, in a process of their own.

Reading thousands of files keeps one interpreter busy for seconds: who asks meanwhile would wait for
it.  And the memory that it takes is given back only by the end of a process.
`python -m mosearch.bulk` is what runs there; `update` is its only intended caller.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import IO, Any

from mosearch import memory
from mosearch.errors import MosearchError
from mosearch.ipc.spawn import detached
from mosearch.priority import give_way
from mosearch.progress import Cancel, Progress
from mosearch.settings import Settings, cache_dir
from mosearch.types import Depth

_log = logging.getLogger(__name__)

_BEAT_S = 0.1
_NICENESS = 10
_LAST_S = 10.0
"""After it was told to stop: a commit takes less."""
_SILENCE_S = 60.0
"""A process that says nothing for so long hangs: starting on a slow disk takes less."""
_LINGER_S = 3.0
"""An encoder host that only the work here needed is left to whoever began it, who goes on at once."""


def update(root: Path, settings: Settings, progress: Progress, cancel: Cancel) -> None:
    """Bring the index of `root` up to date down to the cheapest exit, as far as possible.

    `progress` is told ten times a second.  Never raises: what it leaves, for whatever reason, shows in the
    index.
    """
    try:
        with _process() as process:
            lines = _listen(process)
            _begin(process, root, settings)
            for line in _until(cancel, lines):
                stage, done, total = json.loads(line)
                progress(stage, done, total)
    except (OSError, ValueError) as error:
        _log.warning("the process for many files failed: %s", error)
    else:
        if process.returncode and not cancel.is_set():
            _log.warning("the process for many files ended with code %s", process.returncode)


@contextmanager
def _process() -> Iterator[subprocess.Popen[str]]:
    """It ends when its standard input does, so with this process at the latest."""
    process = subprocess.Popen(
        [sys.executable, "-m", __name__],
        cwd=cache_dir(),  # `-m` makes it importable: nobody else can write to it
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        **detached(),
    )
    try:
        yield process
    finally:
        with suppress(OSError):
            if process.stdin is not None:
                process.stdin.close()
        try:
            process.wait(_LAST_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _listen(process: subprocess.Popen[str]) -> SimpleQueue[str]:
    """Gets each of its lines, and an empty one at the end.

    Whoever reads a process that hangs waits for ever: a thread of its own does.
    """
    lines: SimpleQueue[str] = SimpleQueue()

    def read() -> None:
        assert process.stdout is not None
        with process.stdout as stream:
            for line in stream:
                lines.put(line)
        lines.put("")

    threading.Thread(target=read, name="mosearch-bulk", daemon=True).start()
    return lines


def _until(cancel: Cancel, lines: SimpleQueue[str]) -> Iterator[str]:
    """The lines up to the end, or until `cancel` is raised.  Raises TimeoutError when none comes."""
    heard = time.monotonic()
    while not cancel.is_set():
        try:
            line = lines.get(timeout=_BEAT_S)
        except Empty:
            if time.monotonic() - heard > _SILENCE_S:
                raise TimeoutError(f"it gave no sign of life for {_SILENCE_S:g} s") from None
            continue
        if not line:
            return
        heard = time.monotonic()
        yield line


def _begin(process: subprocess.Popen[str], root: Path, settings: Settings) -> None:
    asked = {"root": str(root), "settings": asdict(settings)}
    assert process.stdin is not None
    process.stdin.write(json.dumps(asked) + "\n")
    process.stdin.flush()


def main() -> int:
    """Read what to do from one line of standard input; say how far it is, line by line.

    Ends early, keeping what is done, when standard input or output is closed.
    """
    give_way(_NICENESS)  # first of all: what is imported takes a second
    with memory.loading():
        from mosearch.engine import Engine

    asked = json.loads(sys.stdin.readline())
    cancel = threading.Event()
    threading.Thread(target=_watch, args=(sys.stdin, cancel), name="mosearch-watch", daemon=True).start()
    beat = _Beat(cancel)
    try:
        with Engine(Path(asked["root"]), Settings(**asked["settings"]), _LINGER_S) as engine:
            engine.update(beat.note, cancel, depth=Depth.FIRST)
    except MosearchError as error:
        return error.exit_code
    finally:
        beat.end()
    return 0


def _watch(stream: IO[str], cancel: threading.Event) -> None:
    stream.read()
    cancel.set()


class _Beat:
    """Tells the reader where the work is, ten times a second, and so that there still is somebody at it."""

    def __init__(self, cancel: threading.Event) -> None:
        self._cancel = cancel
        self._state: tuple[Any, ...] = ("scan", 0, 0)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mosearch-beat", daemon=True)
        self._thread.start()

    def note(self, stage: str, done: int, total: int) -> None:
        self._state = (stage, done, total)

    def end(self) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._ended.wait(_BEAT_S):
                sys.stdout.write(json.dumps(self._state) + "\n")
                sys.stdout.flush()
        except OSError:
            self._cancel.set()


if __name__ == "__main__":
    sys.exit(main())
