"""What the encoder host gets out of a CPU: texts per second, share of the machine's peak, memory.

    python tests/bench/host.py --source TREE [--model M] [--texts N] [--threads N] [--peer]

Chunks of a source tree go through a real host, in the client's own portions, at every exit of the model.
The machine's own peak, that of a large matrix product in the same number format, is measured before and after
each exit; `share_of_peak` counts the multiplications that the texts need (none for padding) in all of the CPU
time that the host used: reading, tokenising, computing and answering.  CPU seconds, not the clock's, because
other work on the machine would count otherwise.  `peak_mb` is the host's largest resident size so far.

`--peer` embeds the same texts with sentence-transformers, all-MiniLM-L6-v2 in float32, the plain way.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import torch
from source_tree import sample_chunks

from mosearch.encoder import EncoderClient, ModelConfig, connect, find_model
from mosearch.encoder.models import load_config
from mosearch.encoder.tokens import TextTokenizer
from mosearch.types import Priority

_PEAK_ROUNDS = 15
_WARM_TEXTS = 256


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--model")
    parser.add_argument("--texts", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--peer", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    texts = [chunk.encoder_text for chunk in sample_chunks(options.source, options.texts)]
    folder = find_model(options.model)
    with _private_host(folder, options.threads) as client:
        rows = [
            _measure(client, load_config(folder), _tokens(folder, texts), texts, e) for e in client.info.exits
        ]
    report: dict[str, Any] = {
        "model": client.info.name,
        "threads": options.threads,
        "texts": len(texts),
        "exits": rows,
    }
    if options.peer:
        report["peer"] = _peer(texts[: max(64, len(texts) // 4)])
    _print_table(report)
    print(json.dumps(report))  # noqa: T201


@contextmanager
def _private_host(folder: Path, threads: int) -> Iterator[EncoderClient]:
    with tempfile.TemporaryDirectory(prefix="mb-", dir="/tmp" if Path("/tmp").is_dir() else None) as place:
        os.environ["MOSEARCH_CACHE_DIR"] = f"{place}/cache"
        os.environ["MOSEARCH_RUNTIME_DIR"] = f"{place}/run"
        with connect(str(folder), device="cpu", threads=threads, linger_seconds=0) as client:
            yield client
            host = psutil.Process(client.status().pid)
        host.terminate()
        host.wait(20)


def _measure(
    client: EncoderClient, config: ModelConfig, tokens: list[int], texts: list[str], exit_: int
) -> dict[str, Any]:
    host = psutil.Process(client.status().pid)
    client.encode(texts[:_WARM_TEXTS], exits=[exit_], priority=Priority.INDEX)
    dtype = getattr(torch, client.dtype)
    before, peaks = _cpu_seconds(host), [_peak(config, dtype)]
    start = time.perf_counter()
    client.encode(texts, exits=[exit_], priority=Priority.INDEX)
    seconds, used = time.perf_counter() - start, _cpu_seconds(host) - before
    peaks.append(_peak(config, dtype))
    done = sum(_operations(config, exit_, length) for length in tokens)
    return {
        "exit": exit_,
        "texts_per_s": round(len(texts) / seconds, 1),
        "texts_per_cpu_s": round(len(texts) / used, 1),
        "mean_tokens": round(statistics.mean(tokens), 1),
        "gflops": round(done / used / 1e9, 1),
        "peak_gflops": round(statistics.mean(peaks) / 1e9, 1),
        "share_of_peak": round(done / used / statistics.mean(peaks), 3),
        "peak_mb": _peak_mb(host),
    }


def _tokens(folder: Path, texts: list[str]) -> list[int]:
    return [len(ids) for ids in TextTokenizer(folder, load_config(folder))(texts, "code")]


def _operations(config: ModelConfig, exit_: int, tokens: int) -> int:
    """Two for each multiplication in the matrix products of one text."""
    hidden, wide = config.hidden_size, config.intermediate_size
    layer = tokens * (4 * hidden * hidden + 2 * hidden * wide) + 2 * hidden * tokens * tokens
    return 2 * (exit_ * layer + hidden * config.dim)


def _peak(config: ModelConfig, dtype: torch.dtype) -> float:
    """Operations in a second of this process's CPU time, the median of several large products."""
    left = torch.randn(1024, config.hidden_size).to(dtype)
    right = torch.randn(config.intermediate_size, config.hidden_size).to(dtype)
    times = []
    for _ in range(_PEAK_ROUNDS):
        start = time.process_time()
        for _ in range(8):
            torch.nn.functional.linear(left, right)
        times.append((time.process_time() - start) / 8)
    return 2 * left.numel() * config.intermediate_size / statistics.median(times)


def _peer(texts: list[str]) -> dict[str, Any]:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(find_model("all-MiniLM-L6-v2")), device="cpu")
    model.encode(texts[:32])
    before, start = time.process_time(), time.perf_counter()
    model.encode(texts)
    seconds, used = time.perf_counter() - start, time.process_time() - before
    return {
        "name": "sentence-transformers all-MiniLM-L6-v2 float32",
        "texts_per_s": round(len(texts) / seconds, 1),
        "texts_per_cpu_s": round(len(texts) / used, 1),
    }


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _peak_mb(process: psutil.Process) -> int:
    """The kernel's own high-water mark where it keeps one."""
    status = Path(f"/proc/{process.pid}/status")
    if status.exists():
        fields = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        return int(fields["VmHWM"].split()[0]) // 1024
    return int(process.memory_info().rss) >> 20


def _print_table(report: dict[str, Any]) -> None:
    peer = report.get("peer", {}).get("texts_per_cpu_s")
    print("exit  texts/s  per CPU s  share of peak  peak MB  times the peer")  # noqa: T201
    for row in report["exits"]:
        times = f"{row['texts_per_cpu_s'] / peer:14.1f}" if peer else ""
        speed = f"{row['exit']:4}  {row['texts_per_s']:7}  {row['texts_per_cpu_s']:9}"
        print(f"{speed}  {row['share_of_peak']:13.3f}  {row['peak_mb']:7}  {times}")  # noqa: T201


if __name__ == "__main__":
    main()
