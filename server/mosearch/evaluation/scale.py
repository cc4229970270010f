"""How cost grows with size: one workspace after another, from its first index to its queries."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from mosearch.connection import Connection
from mosearch.engine import Engine
from mosearch.errors import MosearchError
from mosearch.evaluation import peers
from mosearch.evaluation.corpora import lay_out
from mosearch.evaluation.shell import measure_first_answer
from mosearch.ranking import parse_query
from mosearch.settings import load_settings
from mosearch.types import Filters, Priority

_QUERIES = 200
_SCRIPT_FILES = 100
_RECALL_AT = 50
# Of larger ones the first answer would be measured by indexing all of it once more.
_FIRST_ANSWER_UP_TO = 200_000
_SAMPLE_S = 0.05
_MB = 1e6

# Opens an index and answers, as a server does before it has compared all files with the disk.
_ANSWER = """
import json, sys, time
start = time.perf_counter()
from pathlib import Path
from mosearch.engine import Engine
from mosearch.settings import load_settings
root = Path(sys.argv[1])
with Engine(root, load_settings(root)) as engine:
    engine.search(json.load(sys.stdin)[0], 10, rerank=False)
    print(json.dumps({"answered_s": time.perf_counter() - start}))
"""

# Opens an index, compares all files with the disk, and says what that took.
_REOPEN = """
import json, sys, time, psutil
from pathlib import Path
start = time.perf_counter()
from mosearch import memory
memory.keep_little()
from mosearch.engine import Engine
from mosearch.errors import MosearchError
from mosearch.settings import load_settings
root = Path(sys.argv[1])
with Engine(root, load_settings(root)) as engine:
    imported = time.perf_counter()
    report = engine.update()
    ready = time.perf_counter()
    rss = psutil.Process().memory_info().rss / 1e6
    queries = json.load(sys.stdin)
    begun = time.perf_counter()
    engine.search(queries[0], 10, rerank=False)
    first = time.perf_counter() - begun
    for query in queries:
        engine.search(query, 10, rerank=False)
    print(json.dumps({"opened_s": imported - start, "ready_s": ready - start, "embedded": report.embedded,
                      "rss_mb": rss, "first_query_ms": 1e3 * first,
                      "rss_after_queries_mb": psutil.Process().memory_info().rss / 1e6}))
"""


@dataclass
class Size:
    """The figures of one size; times in milliseconds unless the name says seconds."""

    chunks: int
    wanted: int = 0
    files: int = 0
    figures: dict[str, float] = field(default_factory=dict)


def measure_sizes(
    roots: Sequence[Path],
    sizes: Sequence[int],
    folder: Path | None,
    *,
    script: bool = False,
    semble: tuple[Path, Path] | None = None,
) -> Iterator[Size]:
    """Measure each size in a workspace of its own, below `folder` or in a temporary folder.

    With `script`, sentence-transformers and LanceDB embed some of the texts, too.  `semble` is a Python
    that has it and a folder of static weights for it.
    """
    for chunks in sizes:
        with tempfile.TemporaryDirectory(prefix="mosearch-scale-", dir=folder) as temporary:
            yield _measure(roots, chunks, Path(temporary).resolve(), script, semble)


def exponent(sizes: Sequence[Size], name: str) -> float:
    """The power of the size with which a figure grows, by least squares on logarithms; nan for one size."""
    points = [(size.chunks, size.figures[name]) for size in sizes if size.figures.get(name, 0) > 0]
    if len(points) < 2:
        return float("nan")
    x, y = np.log(np.array(points, np.float64)).T
    return float(np.polyfit(x, y, 1)[0])


def _measure(
    roots: Sequence[Path], chunks: int, root: Path, script: bool, semble: tuple[Path, Path] | None
) -> Size:
    lay_out(roots, chunks, root)
    first_answer = measure_first_answer(root) if chunks <= _FIRST_ANSWER_UP_TO else 0.0
    start = time.perf_counter()
    report, peak_mb = _index(root)
    seconds = time.perf_counter() - start
    size = Size(report["chunks"], chunks, report["files"])
    figures = size.figures
    if first_answer:
        figures["first_answer_s"] = first_answer
    figures["index_s"] = seconds
    figures["chunks_per_s"] = size.chunks / seconds
    figures["index_peak_mb"] = peak_mb
    with Engine(root, load_settings(root)) as engine:
        figures["merged_after_s"] = _merged(engine)
        stats = engine.store.stats()
        figures["bytes_per_chunk"] = (stats.index_bytes + stats.vectors_bytes) / max(1, size.chunks)
        queries = _sample(engine)
        figures.update(_queries(engine, queries))
        figures["host_mb"] = _host_memory()
        figures.update(peers.ripgrep(root, [parse_query(query).terms for query in queries]))
        figures.update(peers.memory_bandwidth())
        if script:
            figures.update(peers.plain_script(_texts(engine)))
    figures.update(_reopen(root, queries))
    if semble is not None:
        figures.update(peers.semble(*semble, root, queries))
    return size


def _merged(engine: Engine) -> float:
    """Wait until small writes are merged, by whatever process; in seconds."""
    start = time.perf_counter()
    while not engine.store.optimize():  # another process is at it
        time.sleep(_SAMPLE_S)
    return time.perf_counter() - start


def _texts(engine: Engine) -> list[str]:
    """Of chunks spread over the files."""
    paths = [path for path, record in engine.store.files().items() if record.chunks]
    chosen = paths[:: max(1, len(paths) // _SCRIPT_FILES)]
    return [stored.chunk.encoder_text for path in chosen for stored in engine.store.chunks_of(path)]


def _sample(engine: Engine) -> list[str]:
    """First sentences of documentation, spread over the files: what somebody might ask for."""
    found: list[str] = []
    paths = [path for path, record in engine.store.files().items() if record.chunks]
    for path in paths[:: max(1, len(paths) // (2 * _QUERIES))]:
        for stored in engine.store.chunks_of(path):
            sentence = stored.chunk.docstring.strip().partition(".")[0]
            if 4 <= len(sentence.split()) <= 20:
                found.append(sentence)
                break
    return found[:_QUERIES]


def _queries(engine: Engine, queries: Sequence[str]) -> dict[str, float]:
    engine.search(queries[0], 10)  # the first one pays for what is loaded late
    before = time.process_time()
    plain = [_timed(lambda q=query: engine.search(q, 10, rerank=False)) for query in queries]
    busy = 1e3 * (time.process_time() - before) / len(queries)
    ranked = [_timed(lambda q=query: engine.search(q, 10)) for query in queries]
    words = [
        _timed(lambda q=query: engine.store.search_text(parse_query(q).terms, 100, Filters()))
        for query in queries
    ]
    return {
        **_percentiles("query", plain),
        "query_cpu_ms": busy,
        **_percentiles("reranked", ranked),
        **_percentiles("bm25", words),
        **_nearest(engine, queries),
    }


def _nearest(engine: Engine, queries: Sequence[str]) -> dict[str, float]:
    """The candidate stage against exact search."""
    fingerprint, exit = engine.model.fingerprint, engine.index_exit
    digests, matrix = _all_vectors(engine, exit)
    encoder = Connection(engine.settings, None, lambda: engine.model.fingerprint)
    exact_ms, approximate_ms, recalls = [], [], []
    for text in queries:
        encoded = encoder.encode([text], "query", (exit,), priority=Priority.QUERY)
        query = encoded[exit][0].astype(np.float32)
        start = time.perf_counter()
        similarity = matrix @ query
        best = np.argpartition(-similarity, _RECALL_AT)[:_RECALL_AT]
        exact_ms.append(1e3 * (time.perf_counter() - start))
        start = time.perf_counter()
        found = engine.store.search_vectors(fingerprint, exit, query, _RECALL_AT, Filters())
        approximate_ms.append(1e3 * (time.perf_counter() - start))
        # A text that occurs more than once is one vector but several places.
        got = {bytes.fromhex(stored.chunk.digest) for stored, _ in found}
        worst = min((score for _, score in found), default=-1.0)
        reached = [similarity[i] <= worst + 1e-3 or digests[i].tobytes() in got for i in best]
        recalls.append(float(np.mean(reached)))
    encoder.close()
    return {
        "recall_at_50": float(np.mean(recalls)),
        **_percentiles("vectors", approximate_ms),
        **_percentiles("numpy", exact_ms),
    }


def _all_vectors(engine: Engine, exit: int) -> tuple[NDArray[np.uint64], NDArray[np.float32]]:
    """Digests as two numbers each, [n, 2], and vectors, [n, dim], of all texts at an exit."""
    parts = [
        (digests, vectors.astype(np.float32))
        for digests, vectors in engine.store.all_vectors(engine.model.fingerprint, exit)
    ]
    return np.concatenate([digests for digests, _ in parts]), np.concatenate([rows for _, rows in parts])


def _timed(work: Any) -> float:
    start = time.perf_counter()
    work()
    return 1e3 * (time.perf_counter() - start)


def _percentiles(name: str, milliseconds: Sequence[float]) -> dict[str, float]:
    return {f"{name}_p{p}_ms": float(np.percentile(milliseconds, p)) for p in (50, 95, 99)}


def _index(root: Path) -> tuple[dict[str, Any], float]:
    """Index in a process of its own, as a user would; its report, and its largest resident memory in MB."""
    command = [sys.executable, "-m", "mosearch", "index", "--json", "--root", str(root)]
    with tempfile.TemporaryFile() as output, subprocess.Popen(command, stdout=output) as process:
        peak, watched = 0.0, psutil.Process(process.pid)
        while process.poll() is None:
            with suppress(psutil.Error):
                peak = max(peak, watched.memory_info().rss / _MB)
            time.sleep(_SAMPLE_S)
        output.seek(0)
        if process.returncode:
            raise MosearchError(f"`mosearch index` failed: {output.read().decode()}")
        report: dict[str, Any] = json.load(output)
    return report, peak


def _host_memory() -> float:
    return max(
        (
            process.memory_info().rss / _MB
            for process in psutil.process_iter(["cmdline"])
            if "mosearch.mose" in (process.info["cmdline"] or [])
        ),
        default=0.0,
    )


def _reopen(root: Path, queries: Sequence[str]) -> dict[str, float]:
    values: dict[str, float] = {}
    for script in (_ANSWER, _REOPEN):
        command = [sys.executable, "-c", script, str(root)]
        done = subprocess.run(command, input=json.dumps(queries), capture_output=True, text=True, check=True)
        values |= json.loads(done.stdout)
    return {f"reopen_{name}": float(value) for name, value in values.items()}
