"""A plain LSP client for tests: sends what it is told to, right or wrong, and keeps what comes back."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

COMMAND = [sys.executable, "-m", "mosearch", "serve", "--stdio"]
TIMEOUT_S = 60.0

Message = dict[str, Any]


class Client:
    """A server process and the conversation with it.

    `answer` gives the results of the server's own requests, by method and parameters.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        answer: Callable[[str, Any], Any] = lambda _method, _params: None,
    ) -> None:
        self.messages: list[Message] = []
        """All that came from the server, in order."""
        self.arrived: dict[Any, float] = {}
        """When each answer came, by the number of its request, as `time.perf_counter` has it."""
        self.process = subprocess.Popen(
            COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **environment},
        )
        self.answer = answer
        self._numbers = itertools.count(1)
        self._news = threading.Condition()
        self._sending = threading.Lock()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.kill()
        self.process.wait()
        self._reader.join()
        self.process.stdin.close()
        self.process.stdout.close()

    def initialize(
        self,
        *roots: Path,
        options: object = None,
        capabilities: Mapping[str, Any] | None = None,
    ) -> Any:
        params = {
            "processId": os.getpid(),
            "rootUri": None,
            "capabilities": capabilities or {},
            "workspaceFolders": [{"uri": root.as_uri(), "name": root.name} for root in roots],
            "initializationOptions": options,
        }
        result = self.ask("initialize", params)
        self.notify("initialized", {})
        return result

    def raw(self, body: bytes) -> None:
        assert self.process.stdin is not None
        with self._sending:
            self.process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
            self.process.stdin.flush()

    def send(self, message: object) -> None:
        self.raw(json.dumps(message).encode())

    def notify(self, method: str, params: object) -> None:
        self.send({"jsonrpc": "2.0", "method": method, "params": params})

    def request(self, method: str, params: object) -> int:
        """Send without waiting; returns the number that the answer will have."""
        number = next(self._numbers)
        self.send({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
        return number

    def requests(self, method: str, all_params: Sequence[object]) -> list[int]:
        """Send several at once, so that all are there before the first is answered."""
        numbers = [next(self._numbers) for _ in all_params]
        frames = b""
        for number, params in zip(numbers, all_params, strict=True):
            message = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
            body = json.dumps(message).encode()
            frames += b"Content-Length: %d\r\n\r\n" % len(body) + body
        assert self.process.stdin is not None
        with self._sending:
            self.process.stdin.write(frames)
            self.process.stdin.flush()
        return numbers

    def response(self, number: int, timeout: float = TIMEOUT_S) -> Message:
        return self.wait(lambda message: message.get("id") == number and "method" not in message, timeout)

    def ask(self, method: str, params: object, timeout: float = TIMEOUT_S) -> Any:
        """The result; an error fails the test."""
        response = self.response(self.request(method, params), timeout)
        assert "error" not in response, response["error"]
        return response.get("result")

    def error(self, method: str, params: object) -> Message:
        """The error that a wrong request is answered with."""
        response = self.response(self.request(method, params))
        error: Message = response["error"]
        return error

    def wait(self, wanted: Callable[[Message], bool], timeout: float = TIMEOUT_S, after: int = 0) -> Message:
        """The first message that is `wanted`, of those after the first `after`."""
        deadline = time.monotonic() + timeout
        with self._news:
            seen = after
            while True:
                for message in self.messages[seen:]:
                    if wanted(message):
                        return message
                seen = len(self.messages)
                left = deadline - time.monotonic()
                assert left > 0, self.messages[-5:]
                self._news.wait(left)

    def wait_for(self, method: str, after: int = 0) -> Any:
        """The parameters of the first notification of that method."""
        return self.wait(lambda message: message.get("method") == method, after=after).get("params")

    def until(self, condition: Callable[[], Any], timeout: float = TIMEOUT_S) -> Any:
        """Ask again and again until it is true; returns what it was."""
        deadline = time.monotonic() + timeout
        while not (value := condition()):
            assert time.monotonic() < deadline, "not in time"
            time.sleep(0.02)
        return value

    def folders(self) -> list[Any]:
        folders: list[Any] = self.ask("mosearch/status", None)["folders"]
        return folders

    def ready(self) -> None:
        """Wait until all folders are indexed."""
        self.until(lambda: {folder["state"] for folder in self.folders()} == {"ready"})

    def open(self, path: Path, text: str, language: str = "python") -> str:
        document = {"uri": path.as_uri(), "languageId": language, "version": 1, "text": text}
        self.notify("textDocument/didOpen", {"textDocument": document})
        return path.as_uri()

    def _read(self) -> None:
        out = self.process.stdout
        assert out is not None
        while line := out.readline():
            length = int(line.split(b":")[1])
            while out.readline().strip():
                pass
            message = json.loads(out.read(length))
            if "method" not in message:
                self.arrived[message.get("id")] = time.perf_counter()
            if "method" in message and "id" in message:
                result = self.answer(message["method"], message.get("params"))
                self.send({"jsonrpc": "2.0", "id": message["id"], "result": result})
            with self._news:
                self.messages.append(message)
                self._news.notify_all()
