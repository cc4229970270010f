"""Reopening an unchanged workspace of many chunks: time, memory, texts embedded, and where the time goes.

    python tests/bench/reopen.py [CHUNKS] [--folder FOLDER] [--profile]

The files are synthetic and the vectors random, so that the index takes minutes to make, not hours; with
`--folder` it is kept there and used again.  Needs no encoder, and starts none.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from mosearch.engine import Engine
from mosearch.settings import load_settings
from mosearch.types import Depth

FUNCTIONS_PER_FILE = 10
FILES_PER_FOLDER = 100
BATCH = 20_000
RUNS = 3

REOPEN = """
import json, sys, time
laps, last = {}, [time.perf_counter(), time.process_time()]
def lap(name):
    now = [time.perf_counter(), time.process_time()]
    laps[name + "_s"], laps[name + "_cpu_s"] = now[0] - last[0], now[1] - last[1]
    last[:] = now
import psutil
from pathlib import Path
from mosearch.engine import Engine
from mosearch.settings import load_settings
from mosearch.types import Depth, Filters
root = Path(sys.argv[1])
settings = load_settings(root)
import mosearch.store._tables  # what an open index needs, too
lap("import")
engine = Engine(root, settings)
lap("open")
report = engine.update(depth=Depth.FIRST)
lap("update")
engine.store.search_text(["state", "value"], 200, Filters())
lap("first_search")
engine.status()
lap("first_status")
status = engine.status()
lap("status")
print(json.dumps(laps | {
    "embedded": report.embedded, "changed": report.changed_files, "chunks": report.chunks,
    "pending": status.pending, "rss_mb": psutil.Process().memory_info().rss / 1e6,
}))
engine.close()
"""


def lay_out(root: Path, chunks: int) -> None:
    """Files of distinct small functions."""
    for number in range(chunks // FUNCTIONS_PER_FILE):
        folder = root / f"package{number // FILES_PER_FOLDER}"
        folder.mkdir(parents=True, exist_ok=True)
        functions = [
            f"def step_{number}_{part}(state, value):\n"
            f"    total = state.items[{part}] + value * {number}\n"
            f"    return total if total > {part} else state.default\n"
            for part in range(FUNCTIONS_PER_FILE)
        ]
        (folder / f"module{number}.py").write_text("\n\n".join(functions), encoding="utf-8")


def index(root: Path) -> None:
    """Everything but the encoder: random unit vectors stand for its work.  Does what is not yet done."""
    with Engine(root, load_settings(root)) as engine:
        engine.update(depth=Depth.WORDS)
        add_random_vectors(engine)
        engine.store.optimize()


def add_random_vectors(engine: Engine) -> None:
    """At each exit that every text is to have a vector at."""
    random = np.random.default_rng()
    for exit in sorted({engine.first_exit, engine.index_exit}):
        digests = [item.digest for item in engine.store.missing_texts(engine.model.fingerprint, exit)]
        for start in range(0, len(digests), BATCH):
            part = digests[start : start + BATCH]
            vectors = random.standard_normal((len(part), engine.model.dim), np.float32)
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            engine.store.add_vectors(engine.model.fingerprint, exit, part, vectors.astype(np.float16))


def reopen(root: Path, *, profile: bool) -> dict[str, float]:
    options = ["-X", "importtime"] if profile else []
    done = subprocess.run(
        [sys.executable, *options, "-c", REOPEN, str(root)], stdout=subprocess.PIPE, text=True, check=True
    )
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("chunks", type=int, nargs="?", default=100_000)
    parser.add_argument("--folder", type=Path, help="keep workspace and index here")
    parser.add_argument("--profile", action="store_true", help="show the time of each import")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mosearch-reopen-") as temporary:
        folder = options.folder or Path(temporary)
        os.environ["MOSEARCH_CACHE_DIR"] = str(folder / "cache")
        os.environ["MOSEARCH_RUNTIME_DIR"] = str(folder / "run")
        root = folder / "work"
        if not root.exists():
            lay_out(root, options.chunks)
        index(root)
        runs = [reopen(root, profile=options.profile) for _ in range(RUNS)]
    for name in runs[0]:
        values = sorted(run[name] for run in runs)
        print(f"{name:20} median {values[RUNS // 2]:10.3f}   most {values[-1]:10.3f}")  # noqa: T201


if __name__ == "__main__":
    main()
