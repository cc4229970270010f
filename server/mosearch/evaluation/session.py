"""A language client over standard input and output: as little as it takes to time a server.

A thread of its own reads what the server says, so that the moment an answer arrives is known.
"""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mosearch import memory

COMMAND = (sys.executable, "-m", "mosearch", "serve", "--stdio")
_ANSWER_SECONDS = 120.0


class SessionError(Exception):
    """The server answered with an error, or ended."""


@dataclass(frozen=True, slots=True)
class Answer:
    result: Any
    seconds: float
    """From before the question was written to after its answer was read."""


class Session:
    """One server process and the document versions that it was told of.  For one thread at a time,
    except `ask`, which may be called from several."""

    def __init__(
        self,
        root: Path,
        options: Mapping[str, object] | None = None,
        environment: Mapping[str, str] | None = None,
        command: Sequence[str] = COMMAND,
    ) -> None:
        """Start a server for one folder.  Raises `SessionError`."""
        memory.settle()  # pauses of this process would be taken for the server's
        self.root = root
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=dict(environment) if environment is not None else None,
        )
        self._number = 0
        self._versions: dict[str, int] = {}
        self._lock = threading.Lock()
        self._waiting: dict[int, queue.SimpleQueue[dict[str, Any]]] = {}
        self._reader = threading.Thread(target=self._read, name="session", daemon=True)
        self._reader.start()
        folder = {"uri": root.as_uri(), "name": root.name}
        self.ask(
            "initialize",
            {
                "processId": None,
                "rootUri": root.as_uri(),
                "capabilities": {},
                "workspaceFolders": [folder],
                "initializationOptions": dict(options or {}),
            },
        )
        self.tell("initialized", {})

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(self, method: str, params: object, timeout: float = _ANSWER_SECONDS) -> Answer:
        """Raises `SessionError`, also when no answer comes in time."""
        number, answers = self.begin(method, params)
        start = time.perf_counter()
        try:
            message = answers.get(timeout=timeout)
        except queue.Empty:
            raise SessionError(f"{method} was not answered within {timeout:g} s") from None
        finally:
            self._waiting.pop(number, None)
        if "error" in message:
            raise SessionError(f"{method}: {message['error']}")
        return Answer(message.get("result"), message["at"] - start)

    def begin(self, method: str, params: object) -> tuple[int, queue.SimpleQueue[dict[str, Any]]]:
        """Ask without waiting: the request's number, and where its answer will be."""
        with self._lock:
            self._number += 1
            number = self._number
        answers = self._waiting[number] = queue.SimpleQueue()
        self._send({"id": number, "method": method, "params": params})
        return number, answers

    def tell(self, method: str, params: object) -> None:
        self._send({"method": method, "params": params})

    def show(self, path: str, text: str) -> None:
        """Open a document, or replace all of its text."""
        uri = (self.root / path).as_uri()
        version = self._versions[uri] = self._versions.get(uri, 0) + 1
        if version == 1:
            document = {"uri": uri, "languageId": "", "version": version, "text": text}
            self.tell("textDocument/didOpen", {"textDocument": document})
        else:
            document = {"uri": uri, "version": version}
            changes = [{"text": text}]
            self.tell("textDocument/didChange", {"textDocument": document, "contentChanges": changes})

    def hide(self, path: str) -> None:
        uri = (self.root / path).as_uri()
        if self._versions.pop(uri, None):
            self.tell("textDocument/didClose", {"textDocument": {"uri": uri}})

    def search(self, query: str, **options: object) -> list[dict[str, Any]]:
        hits: list[dict[str, Any]] = self.ask("mosearch/search", {"query": query, **options}).result["hits"]
        return hits

    def status(self) -> dict[str, Any]:
        """Of the one folder."""
        (status,) = self.ask("mosearch/status", None).result["folders"]
        found: dict[str, Any] = status
        return found

    def kill(self) -> None:
        """As if the power failed."""
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        """Ask the server to leave; it is killed if it does not."""
        try:
            self.ask("shutdown", None, timeout=10)
            self.tell("exit", None)
            self.process.wait(10)
        except (SessionError, OSError, subprocess.TimeoutExpired):
            self.kill()
        self._reader.join()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with suppress(OSError):  # what was not written yet goes nowhere
                    stream.close()

    def _send(self, message: dict[str, object]) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self.process.stdin is not None
        try:
            with self._lock:
                self.process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
                self.process.stdin.flush()
        except OSError as error:
            raise SessionError(f"the server is gone: {error}") from error

    def _read(self) -> None:
        assert self.process.stdout is not None
        try:
            while message := _message(self.process.stdout):
                self._take(message)
        except (OSError, ValueError, SessionError):
            pass  # the server is gone, or this session was closed
        for answers in list(self._waiting.values()):
            answers.put({"error": "the server ended", "at": time.perf_counter()})

    def _take(self, message: dict[str, Any]) -> None:
        if "method" not in message:
            answers = self._waiting.get(message.get("id", -1))
            if answers is not None:
                answers.put({**message, "at": time.perf_counter()})
        elif "id" in message:  # what it asks of us (to show progress, to watch files) we grant
            self._send({"id": message["id"], "result": None})


def _message(stream: Any) -> dict[str, Any] | None:
    length = 0
    while header := stream.readline().strip():
        name, _, value = header.partition(b":")
        length = int(value) if name.lower() == b"content-length" else length
    if not length:
        return None
    message: dict[str, Any] = json.loads(stream.read(length))
    return message
