"""What the full-size published checkpoint costs to load and to run, measured with random weights.

    python tests/bench/mose_1b.py write FOLDER     writes 2.1 GB, once
    python tests/bench/mose_1b.py measure FOLDER EXIT [--threads N] [--device D] [--tokens T]
    python tests/bench/mose_1b.py throughput FOLDER EXIT --source TREE [--chunks N] [--threads N] [--device D]

Each measurement prints one JSON object.  `bytes_mapped` is the part of the file whose pages this process
touched, `bytes_read` what it asked of the disk or its cache through system calls (the hash of a sample of the
file is in it).  `share_of_peak` compares the multiplications of the forward passes, done and not saved, for
padding none, with those of the model's own largest matrix product in the same number format, measured just
before.  `throughput` embeds the chunks of a source tree, in the portions that the client sends.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import torch
from operations import multiplications
from published_checkpoint import FULL_SIZE, VARIANTS, shapes, write
from source_tree import sample_chunks

from mosearch.encoder import ModelConfig
from mosearch.encoder.models import load_config
from mosearch.mose import Encoder, load
from mosearch.mose.inference import Batch
from mosearch.types import Chunk

_ROUNDS = 9
_PEAK_TOKENS = 1024
_PORTION = 256
"""Texts in one message of the client."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("action", choices=("write", "measure", "throughput"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("exit", type=int, nargs="?", default=4)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--source", type=Path, default=Path(), help="source tree to embed")
    parser.add_argument("--chunks", type=int, default=1000)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.action == "write":
        write(options.folder, shapes(FULL_SIZE, 36, VARIANTS[36]), FULL_SIZE)
        return
    if options.action == "measure":
        found = measure(options.folder, options.exit, options.device, options.tokens)
    else:
        chunks = sample_chunks(options.source, options.chunks)
        found = throughput(options.folder, options.exit, options.device, chunks)
    print(json.dumps(found))  # noqa: T201


def measure(folder: Path, exit_: int, device: str, tokens: int) -> dict[str, Any]:
    before = psutil.Process().memory_info().rss
    start = time.perf_counter()
    encoder = load(folder, device)
    loaded = time.perf_counter() - start
    batch = Batch((0,), ([*torch.randint(4, 49152, (tokens - 1,)).tolist(), 49153],))
    start = time.perf_counter()
    encoder.run(batch, (exit_,))
    first = time.perf_counter() - start
    config = load_config(folder)
    peak = _peak(config, encoder.dtype, encoder.device)
    seconds = _median(lambda: encoder.run(batch, (exit_,)))
    done = multiplications(config, exit_, tokens)
    return {
        "exit": exit_,
        "tokens": tokens,
        "threads": torch.get_num_threads(),
        "device": str(encoder.device),
        "dtype": str(encoder.dtype),
        "load_s": round(loaded, 2),
        "first_pass_s": round(first, 2),
        "bytes_read": _bytes_read(),
        "bytes_mapped": _bytes_mapped(folder),
        "rss_grown_mib": (psutil.Process().memory_info().rss - before) >> 20,
        "latency_ms": round(1000 * seconds, 1),
        "gflops": round(2 * done / seconds / 1e9, 1),
        "peak_gflops": round(peak / 1e9, 1),
        "share_of_peak": round(2 * done / seconds / peak, 3),
    }


def throughput(folder: Path, exit_: int, device: str, chunks: list[Chunk]) -> dict[str, Any]:
    encoder = load(folder, device)
    config = load_config(folder)
    portions = [chunks[n : n + _PORTION] for n in range(0, len(chunks), _PORTION)]

    def embed(portion: list[Chunk]) -> None:
        languages = [chunk.language for chunk in portion]
        encoder.encode([chunk.encoder_text for chunk in portion], "code", (exit_,), languages)

    embed(portions[0][: max(1, len(portions[0]) // 4)])
    peak = _peak(config, encoder.dtype, encoder.device)
    start = time.perf_counter()
    for portion in portions:
        embed(portion)
    seconds = time.perf_counter() - start
    batches = [batch for portion in portions for batch in _batches(encoder, portion, exit_)]
    lengths = [len(ids) for batch in batches for ids in batch.ids]
    padded = sum(len(batch.ids) * max(map(len, batch.ids)) for batch in batches)
    done = sum(multiplications(config, exit_, length) for length in lengths)
    return {
        "exit": exit_,
        "threads": torch.get_num_threads(),
        "device": str(encoder.device),
        "dtype": str(encoder.dtype),
        "chunks": len(chunks),
        "median_tokens": statistics.median(lengths),
        "mean_tokens": round(statistics.mean(lengths), 1),
        "share_of_padding": round(1 - sum(lengths) / padded, 3),
        "texts_per_pass": round(len(lengths) / len(batches), 1),
        "chunks_per_s": round(len(chunks) / seconds, 2),
        "tokens_per_s": round(sum(lengths) / seconds),
        "peak_gflops": round(peak / 1e9, 1),
        "share_of_peak": round(2 * done / seconds / peak, 3),
    }


def _batches(encoder: Encoder, portion: list[Chunk], exit_: int) -> list[Batch]:
    texts, languages = [c.encoder_text for c in portion], [c.language for c in portion]
    return list(encoder.batches(texts, "code", languages, encoder.batch_tokens((exit_,))))


def _peak(config: ModelConfig, dtype: torch.dtype, device: torch.device) -> float:
    """Operations per second (two per multiplication) of a large product with the MLP's first matrix."""
    left = torch.randn(_PEAK_TOKENS, config.hidden_size, device=device).to(dtype)
    right = torch.randn(config.intermediate_size, config.hidden_size, device=device).to(dtype)

    def product() -> None:
        torch.nn.functional.linear(left, right)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return 2 * left.numel() * config.intermediate_size / _median(product)


def _median(action: Callable[[], object]) -> float:
    action()
    times = []
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def _bytes_read() -> int | None:
    io = Path("/proc/self/io")
    if not io.exists():
        return None
    fields = dict(line.split(": ") for line in io.read_text().splitlines())
    return int(fields["rchar"])


def _bytes_mapped(folder: Path) -> int | None:
    """Resident pages of the weights in this process."""
    if not hasattr(psutil.Process, "memory_maps"):
        return None
    maps = psutil.Process().memory_maps(grouped=True)
    return sum(m.rss for m in maps if m.path.startswith(str(folder.resolve())))


if __name__ == "__main__":
    main()
