"""Peers on the same texts in the same run: what many do by default, and semble where it is installed."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

import numpy as np

from mosearch.encoder import find_model
from mosearch.errors import ModelError, MosearchError

_TEXTS = 500
"""So many tell the pace of the script; thousands would take minutes."""
_RIPGREP_QUERIES = 5
_READ_BYTES = 1 << 28
_READS = 5

# sentence-transformers with its defaults, one thread as ours, and one LanceDB table.
_SCRIPT = """
import json, sys, tempfile, time
import lancedb, torch
from sentence_transformers import SentenceTransformer
asked = json.load(sys.stdin)
torch.set_num_threads(1)
model = SentenceTransformer(asked["model"], device="cpu")
model.encode(asked["texts"][:8])
start = time.perf_counter()
vectors = model.encode(asked["texts"], batch_size=32, normalize_embeddings=True)
with tempfile.TemporaryDirectory() as folder:
    rows = [{"vector": vector, "text": text} for vector, text in zip(vectors, asked["texts"])]
    table = lancedb.connect(folder).create_table("chunks", rows)
    print(json.dumps({"plain_script_chunks_per_s": len(rows) / (time.perf_counter() - start)}))
"""

# semble with a folder of static weights, in the Python that has it.
_SEMBLE = """
import json, os, sys, tempfile, time
asked = json.load(sys.stdin)
with tempfile.TemporaryDirectory() as home:
    os.environ.update(HOME=home, XDG_CACHE_HOME=home, SEMBLE_MODEL_NAME=asked["model"])
    from semble import SembleIndex
    from semble.index.dense import load_model
    load_model(asked["model"])
    start = time.perf_counter()
    index = SembleIndex.from_path(asked["root"], model_path=asked["model"])
    seconds = time.perf_counter() - start
    index.search(asked["queries"][0], top_k=10)
    first = time.time() - asked["begun"]
    times = []
    for query in asked["queries"]:
        begun = time.perf_counter()
        index.search(query, top_k=10)
        times.append(1e3 * (time.perf_counter() - begun))
    times.sort()
    print(json.dumps({"semble_index_s": seconds, "semble_chunks": len(index.chunks),
                      "semble_first_answer_s": first, "semble_query_p50_ms": times[len(times) // 2]}))
"""


def plain_script(texts: Sequence[str]) -> dict[str, float]:
    """Chunks a second of all-MiniLM-L6-v2 with sentence-transformers and LanceDB, if installed."""
    try:
        model = find_model("all-MiniLM-L6-v2")
    except ModelError:
        return {}
    if importlib.util.find_spec("sentence_transformers") is None:
        return {}
    return _run(Path(sys.executable), _SCRIPT, {"model": str(model), "texts": list(texts[:_TEXTS])})


def semble(python: Path, model: Path, root: Path, queries: Sequence[str]) -> dict[str, float]:
    """Its index time, that of its first answer from the start of the process, number of chunks and query
    time; `model` is a folder of static weights."""
    asked = {"root": str(root), "model": str(model), "queries": list(queries), "begun": time.time()}
    return _run(python, _SEMBLE, asked)


def ripgrep(root: Path, words: Sequence[Sequence[str]]) -> dict[str, float]:
    """Time to count the lines that hold any of a question's words in all files, if it is installed."""
    command = shutil.which("rg")
    if command is None:
        return {}
    times = []
    for some in words[:_RIPGREP_QUERIES]:
        patterns = [part for word in some for part in ("-e", word)]
        start = time.perf_counter()
        subprocess.run([command, "-icF", *patterns, str(root)], stdout=subprocess.DEVNULL, check=False)
        times.append(1e3 * (time.perf_counter() - start))
    return {"ripgrep_p50_ms": median(times)}


def memory_bandwidth() -> dict[str, float]:
    """What one core reads in a second, the best of several sums of what no cache holds: it bounds how fast
    all vectors can be compared."""
    block = np.ones(_READ_BYTES // 8)
    seconds = []
    for _ in range(_READS):
        start = time.perf_counter()
        block.sum()
        seconds.append(time.perf_counter() - start)
    return {"memory_gb_per_s": block.nbytes / min(seconds) / 1e9}


def _run(python: Path, script: str, asked: Mapping[str, object]) -> dict[str, float]:
    with tempfile.TemporaryFile("w+") as question:
        json.dump(asked, question)
        question.seek(0)
        done = subprocess.run([python, "-c", script], stdin=question, capture_output=True, text=True)
    if done.returncode:
        raise MosearchError(f"A peer failed: {done.stderr[-2000:]}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found
