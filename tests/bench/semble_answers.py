"""Answers of semble, for comparison; runs in an environment of its own that has the PyPI package `semble`.

    PYTHON semble_answers.py make MODEL_FOLDER   # needs the PyPI package `wordllama`, too
    PYTHON semble_answers.py answer MODEL_FOLDER < question.json > answers.json

semble's own weights lie on a hub; where that is out of reach, `make` builds a static model of the same
kind from the weights in the wheel of wordllama.  `answer` reads `{"root": FOLDER, "queries": [...],
"limit": 10}` and writes `{"chunks": n, "index_seconds": s, "answers": [{"ms": t, "hits": [[path, first,
last], …]}, …]}` with lines counted from 1.  Nothing of ours is imported here.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any


def main() -> None:
    action, model = sys.argv[1:]
    if action == "make":
        _make(Path(model))
        return
    # Its cache and statistics go to a folder that is thrown away, so that the first index is one.
    with tempfile.TemporaryDirectory() as home:
        os.environ.update(HOME=home, XDG_CACHE_HOME=home, SEMBLE_MODEL_NAME=model)
        json.dump(_answer(json.load(sys.stdin), model), sys.stdout)


def _make(folder: Path) -> None:
    import numpy as np
    from model2vec import StaticModel  # type: ignore[import-not-found]
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    spec = importlib.util.find_spec("wordllama")
    assert spec is not None and spec.submodule_search_locations, "pip install wordllama"
    package = Path(spec.submodule_search_locations[0])
    (weights,) = load_file(package / "weights" / "l2_supercat_256.safetensors").values()
    tokenizer = Tokenizer.from_file(str(package / "tokenizers" / "l2_supercat_tokenizer_config.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    StaticModel(weights.astype(np.float32), tokenizer, normalize=True).save_pretrained(folder)


def _answer(asked: dict[str, Any], model: str) -> dict[str, Any]:
    from semble import SembleIndex  # type: ignore[import-not-found]
    from semble.index.dense import load_model  # type: ignore[import-not-found]

    load_model(model)
    start = time.perf_counter()
    index = SembleIndex.from_path(asked["root"], model_path=model)
    seconds = time.perf_counter() - start
    answers = []
    for query in asked["queries"]:
        begun = time.perf_counter()
        found = index.search(query, top_k=asked["limit"])
        elapsed = (time.perf_counter() - begun) * 1000
        hits = [[hit.chunk.file_path, hit.chunk.start_line, hit.chunk.end_line] for hit in found]
        answers.append({"ms": elapsed, "hits": hits})
    return {"chunks": len(index.chunks), "index_seconds": seconds, "answers": answers}


if __name__ == "__main__":
    main()
