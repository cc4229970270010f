"""What a user of an editor feels: questions typed letter by letter, measured at the client.

    python tests/bench/lsp_typing.py FOLDER [--queries 200] [--pause-ms 60] [--json FILE]

Starts the real server on FOLDER, waits until it is indexed, and types questions: each letter asks on the
same channel, with a first page, and so cancels the one before.  Only the last letter of each question is
measured: the time to its first page and to its answer.  All the while a trivial request is sent every 10 ms:
its longest time is how long the server blocked.  `MOSEARCH_MODEL` and the other settings hold.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from lsp_client import Client

QUESTIONS = [
    "retry a request when the server is busy",
    "parse the date from a header",
    "close all connections",
    "read the configuration file",
    "convert a string to snake case",
    "write bytes to a temporary file",
    "compute a checksum",
    "remove duplicates from a list",
    "merge two dictionaries",
    "validate the arguments",
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--pause-ms", type=float, default=60.0, help="between two letters")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with Client(os.environ) as client:
        figures = _measure(client, options.folder.resolve(), options.queries, options.pause_ms / 1000)
        client.ask("shutdown", None)
        client.notify("exit", None)
        client.process.wait(30)
    print(json.dumps(figures, indent=1))  # noqa: T201
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))


def _measure(client: Client, root: Path, queries: int, pause: float) -> dict[str, object]:
    started = time.perf_counter()
    client.initialize(root)
    initialized = time.perf_counter() - started
    opening = _Blocked(client)
    client.until(lambda: {folder["state"] for folder in client.folders()} == {"ready"}, 3600)
    waits_opening = opening.end()
    (folder,) = client.folders()
    client.ask("mosearch/search", {"query": "warm up"})
    pages: list[float] = []
    answers: list[float] = []
    late = 0
    blocked = _Blocked(client)
    for number in range(queries):
        page, answer, stale = _type(client, QUESTIONS[number % len(QUESTIONS)], number, pause)
        pages.append(page)
        answers.append(answer)
        late += stale
    waits = blocked.end()
    return {
        "chunks": folder["chunks"],
        "initialize_ms": round(initialized * 1000, 1),
        "queries": queries,
        "first_page_ms": _summary(pages),
        "answer_ms": _summary(answers),
        "stale_results_after_newer_ones": late,
        "trivial_request_ms": _summary(waits),
        "trivial_request_while_opening_ms": _summary(waits_opening),
        "load_average": os.getloadavg()[0],
    }


def _type(client: Client, question: str, number: int, pause: float) -> tuple[float, float, int]:
    """Milliseconds to the first page and to the answer, and how many older results came after a newer one."""
    numbers = []
    for end in range(max(1, len(question) - 8), len(question) + 1):
        seen = len(client.messages)
        params = {
            "query": question[:end],
            "channel": "typing",
            "partialResultToken": f"{number}/{end}",
            "limit": 20,
        }
        started = time.perf_counter()
        numbers.append(client.request("mosearch/search", params))
        if end < len(question):
            time.sleep(pause)
    token = f"{number}/{len(question)}"

    def is_first(message: dict[str, object]) -> bool:
        params = message.get("params")
        page = message.get("method") == "$/progress" and isinstance(params, dict) and params["token"] == token
        return page or ("method" not in message and message.get("id") == numbers[-1])

    client.wait(is_first, after=seen)
    page = (time.perf_counter() - started) * 1000
    client.response(numbers[-1])
    answer = (client.arrived[numbers[-1]] - started) * 1000
    order = [
        message["id"]
        for message in client.messages[seen:]
        if message.get("id") in numbers and "result" in message
    ]
    return page, answer, sum(each != numbers[-1] for each in order[order.index(numbers[-1]) :])


class _Blocked:
    """Asks something trivial every 10 ms."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._stopping = threading.Event()
        self._sent: dict[int, float] = {}
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopping.wait(0.01):
            number = self._client.request("workspace/symbol", {"query": ""})
            self._sent[number] = time.perf_counter()

    def end(self) -> list[float]:
        self._stopping.set()
        self._thread.join()
        for number in self._sent:
            self._client.response(number)
        return [(self._client.arrived[number] - sent) * 1000 for number, sent in self._sent.items()]


def _summary(milliseconds: list[float]) -> dict[str, float]:
    ordered = sorted(milliseconds)
    return {
        "p50": round(statistics.median(ordered), 1),
        "p95": round(ordered[int(0.95 * (len(ordered) - 1))], 1),
        "p99": round(ordered[int(0.99 * (len(ordered) - 1))], 1),
        "max": round(ordered[-1], 1),
    }


if __name__ == "__main__":
    main()
