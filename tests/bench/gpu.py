"""Speed and correctness of a published MoSE checkpoint, or one of its size, on a GPU.

    scripts/bench-gpu [--source TREE] [--model FOLDER] [--device D] [--texts N] [--seconds S] [--out FILE]

Without --model a checkpoint with random weights is written: of full size where there is a GPU, of a small
model where there is none, so that every step also runs on a CPU.  Without --source the texts are the
functions of this Python's own library.  What is measured:

- the device's own peak: a product of 8192 x 8192 matrices in the model's number format, best of several;
- per exit: functions per second over the real lengths of real functions, in the client's portions, tokenising
  included, and the share of the peak: the multiplications that the texts need, none for padding;
- the same with attention over padded rows instead of packed texts;
- the time from one function's text to its vector, and from a question to its vectors at all exits;
- the largest cosine distance from the same model in float32, and between a text alone and in its batch.

The last line is all of it in JSON; `targets` names what an H200 should reach and whether it was reached.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from operations import multiplications
from published_checkpoint import FULL_SIZE, TINY, VARIANTS, Shape, random_tensor, shapes, write
from source_tree import sample_chunks

from mosearch.encoder import ModelConfig
from mosearch.encoder.models import load_config
from mosearch.mose import Encoder, load, packed, starcoder2
from mosearch.mose.__main__ import default_threads
from mosearch.mose.devices import chosen_device
from mosearch.mose.inference import Found
from mosearch.types import Chunk

_PORTION = 256
"""Texts in one message of the client."""
_CHECKED_TEXTS = 48
_ROUNDS = 30
_GPU_PEAK_SIZE = 8192
_CPU_PEAK_SIZE = 1024
_TARGETS: dict[str, Callable[[dict[str, Any]], bool]] = {
    "share of peak at exit 4 >= 0.5": lambda r: r["exits"]["4"]["share_of_peak"] >= 0.5,
    "share of peak at exit 18 >= 0.5": lambda r: r["exits"]["18"]["share_of_peak"] >= 0.5,
    "functions/s at exit 4 >= 8000": lambda r: r["exits"]["4"]["functions_per_s"] >= 8000,
    "exit 4 >= 7 x exit 36": lambda r: (
        r["exits"]["4"]["functions_per_s"] >= 7 * r["exits"]["36"]["functions_per_s"]
    ),
    "one function at exit 4, p50 <= 5 ms": lambda r: r["function_ms"]["p50"] <= 5,
    "a question at all exits, p50 <= 20 ms": lambda r: r["question_ms"]["p50"] <= 20,
    "cosine distance to float32 <= 2e-3": lambda r: max(r["distance_to_float32"].values()) <= 2e-3,
    "cosine distance alone to batch <= 2e-3": lambda r: max(r["distance_alone"].values()) <= 2e-3,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--source", type=Path, default=Path(sysconfig.get_paths()["stdlib"]))
    parser.add_argument("--model", type=Path)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--texts", type=int, help="default: 8192 on a GPU, 64 on a CPU")
    parser.add_argument("--seconds", type=float, default=20.0, help="at most, for each throughput")
    parser.add_argument("--out", type=Path, help="file for the JSON")
    options = parser.parse_args()
    device = chosen_device(options.device)
    on_gpu = device.type != "cpu"
    torch.set_num_threads(default_threads())
    with tempfile.TemporaryDirectory() as place:
        folder = options.model or _random_checkpoint(Path(place), FULL_SIZE if on_gpu else TINY)
        chunks = sample_chunks(options.source, options.texts or (8192 if on_gpu else 64))
        if not chunks:
            sys.exit(f"{options.source} holds no code that can be read. Give another --source.")
        report = measure(folder, str(device), chunks, options.seconds)
    if on_gpu:
        report["targets"] = {name: bool(reached(report)) for name, reached in _TARGETS.items()}
    _print_table(report)
    if options.out:
        options.out.write_text(json.dumps(report, indent=2))
    print(json.dumps(report))  # noqa: T201


def measure(folder: Path, device: str, chunks: Sequence[Chunk], seconds: float) -> dict[str, Any]:
    """All figures of one model on one device."""
    start = time.perf_counter()
    encoder = load(folder, device)
    loaded = time.perf_counter() - start
    start = time.perf_counter()
    encoder.prepare(max(encoder.exits))
    for exit_ in encoder.exits:
        encoder.warm_up(exit_)
    warmed = time.perf_counter() - start
    config = load_config(folder)
    report: dict[str, Any] = {
        "model": encoder.info.name,
        "device": _device_name(encoder.device),
        "torch": torch.__version__,
        "dtype": str(encoder.dtype).removeprefix("torch."),
        "attention_without_padding": packed.varlen_kernel(encoder.device, encoder.dtype) is not None,
        "fused_gelu": packed.gelu_is_fused(encoder.device, encoder.dtype),
        "load_s": round(loaded, 2),
        "deepen_and_warm_up_s": round(warmed, 2),
        "texts": len(chunks),
        "peak_tflops": round(_peak(encoder) / 1e12, 3),
        "exits": {},
    }
    lengths = _lengths(encoder, chunks)
    report["tokens"] = {"mean": round(statistics.mean(lengths), 1), "median": statistics.median(lengths)}
    for exit_ in (e for e in (4, 9, 18, 36) if e in encoder.exits):
        report["exits"][str(exit_)] = _throughputs(encoder, config, chunks, exit_, seconds)
    report["function_ms"] = _latency(encoder, chunks, (config.index_exit,))
    report["question_ms"] = _latency(encoder, None, encoder.exits)
    report["distance_to_float32"], report["distance_alone"] = _distances(folder, device, encoder, chunks)
    if encoder.device.type == "cuda":
        report["peak_memory_mb"] = torch.cuda.max_memory_allocated(encoder.device) >> 20
    if encoder.trouble:
        sys.exit(encoder.trouble)
    return report


def _random_checkpoint(folder: Path, size: Any) -> Path:
    """Random weights; those of a large model are drawn once for each shape, as drawing takes longer."""
    wanted = shapes(size, 36, VARIANTS[36])
    drawn: dict[tuple[Shape, bool], torch.Tensor] = {}
    for name, shape in wanted.items():
        key = (shape, "norm" in name)
        drawn.setdefault(key, random_tensor(name, shape))
    write(folder, {name: drawn[shape, "norm" in name] for name, shape in wanted.items()}, size)
    return folder


def _throughputs(
    encoder: Encoder, config: ModelConfig, chunks: Sequence[Chunk], exit_: int, seconds: float
) -> dict[str, Any]:
    peak = _peak(encoder)
    per_second, share = _throughput(encoder, config, chunks, exit_, seconds, peak)
    # The same passes with rows padded to one length wherever tokens attend to each other.
    with mock.patch.object(starcoder2, "varlen_kernel", lambda *_: None):
        padded_per_second, padded_share = _throughput(encoder, config, chunks, exit_, seconds, peak)
    return {
        "functions_per_s": round(per_second, 1),
        "share_of_peak": round(share, 4),
        "padded_functions_per_s": round(padded_per_second, 1),
        "padded_share_of_peak": round(padded_share, 4),
    }


def _throughput(
    encoder: Encoder, config: ModelConfig, chunks: Sequence[Chunk], exit_: int, seconds: float, peak: float
) -> tuple[float, float]:
    """Functions per second and share of the peak."""
    portions = [chunks[n : n + _PORTION] for n in range(0, len(chunks), _PORTION)]
    _encode(encoder, portions[0], (exit_,))
    done: list[Chunk] = []
    start = time.perf_counter()
    for portion in portions:
        _encode(encoder, portion, (exit_,))
        done += portion
        if time.perf_counter() - start > seconds:
            break
    took = time.perf_counter() - start
    operations = sum(2 * multiplications(config, exit_, n) for n in _lengths(encoder, done))
    return len(done) / took, operations / took / peak


def _encode(encoder: Encoder, chunks: Sequence[Chunk], exits: Sequence[int]) -> Found:
    texts, languages = [chunk.encoder_text for chunk in chunks], [chunk.language for chunk in chunks]
    return encoder.encode(texts, "code", exits, languages)


def _lengths(encoder: Encoder, chunks: Sequence[Chunk]) -> list[int]:
    texts, languages = [chunk.encoder_text for chunk in chunks], [chunk.language for chunk in chunks]
    return [len(ids) for batch in encoder.batches(texts, "code", languages, 1) for ids in batch.ids]


def _peak(encoder: Encoder) -> float:
    """Operations per second (two per multiplication) of a large square product."""
    size = _CPU_PEAK_SIZE if encoder.device.type == "cpu" else _GPU_PEAK_SIZE
    left, right = torch.randn(2, size, size, device=encoder.device).to(encoder.dtype)

    def product() -> None:
        torch.mm(left, right)
        _wait(encoder.device)

    return 2 * size**3 / min(_times(product, 10))


def _latency(encoder: Encoder, chunks: Sequence[Chunk] | None, exits: Sequence[int]) -> dict[str, float]:
    """Of one function each time, or of a question, in milliseconds."""
    question = "where is the list of retries read from the configuration file"
    texts = [chunk.encoder_text for chunk in chunks[:_ROUNDS]] if chunks else [question] * _ROUNDS
    kind: Any = "code" if chunks else "query"
    times = []
    for text in texts:
        start = time.perf_counter()
        encoder.encode([text], kind, exits)
        times.append(1000 * (time.perf_counter() - start))
    return {"p50": round(statistics.median(times), 2), "p95": round(float(np.percentile(times, 95)), 2)}


def _distances(
    folder: Path, device: str, encoder: Encoder, chunks: Sequence[Chunk]
) -> tuple[dict[str, float], dict[str, float]]:
    """Largest cosine distance by exit: to the same texts in float32, and to each text on its own."""
    some = chunks[:_CHECKED_TEXTS]
    together = _encode(encoder, some, encoder.exits)
    parts = [_encode(encoder, [chunk], encoder.exits) for chunk in some]
    alone = {layer: np.concatenate([part[layer] for part in parts]) for layer in encoder.exits}
    exact = _encode(load(folder, device, torch.float32), some, encoder.exits)
    return _farthest(together, exact), _farthest(together, alone)


def _farthest(ours: Found, theirs: Found) -> dict[str, float]:
    found = {}
    for layer, vectors in ours.items():
        a, b = vectors.astype(np.float64), theirs[layer].astype(np.float64)
        cosines = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
        found[str(layer)] = float(f"{1 - cosines.min():.2e}")
    return found


def _times(action: Callable[[], None], rounds: int) -> list[float]:
    action()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return times


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"{device}, {platform.machine()}"


def _print_table(report: dict[str, Any]) -> None:
    lines = [
        f"{report['model']} on {report['device']}, {report['dtype']}, torch {report['torch']}",
        f"peak {report['peak_tflops']} TFLOP/s, {report['texts']} texts of {report['tokens']['mean']} tokens",
        "exit  functions/s  share of peak   padded: functions/s  share of peak",
    ]
    for exit_, row in report["exits"].items():
        ours = f"{exit_:>4}  {row['functions_per_s']:>11}  {row['share_of_peak']:>13}"
        lines.append(f"{ours}   {row['padded_functions_per_s']:>19}  {row['padded_share_of_peak']:>13}")
    lines.append(
        f"one function: {report['function_ms']} ms; a question at all exits: {report['question_ms']} ms"
    )
    lines.append(f"cosine distance to float32: {report['distance_to_float32']}")
    lines.append(f"cosine distance of a text alone to the same in a batch: {report['distance_alone']}")
    lines += [f"{'reached' if ok else 'MISSED '}  {name}" for name, ok in report.get("targets", {}).items()]
    print("\n".join(lines))  # noqa: T201


if __name__ == "__main__":
    main()
