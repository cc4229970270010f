"""The static exit read without torch: the vectors of the host's model, and what happens without a host."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from conftest import hosts_in
from mosearch import parsing
from mosearch.encoder import ExitConfig, ModelConfig, find_model, load_config
from mosearch.encoder.table import load_table
from mosearch.engine import Engine
from mosearch.errors import ModelError
from mosearch.mose import MultiExitEncoder, load, save_model
from mosearch.places import code_chunk
from mosearch.settings import load_settings
from mosearch.types import Depth, StoredChunk

TEXTS = ["", "x", "where are retries decided?", "日本語 naïve \ud800 \x00", "x[MASK]y", "word " * 900]
SOURCES = Path(__file__).parent.parent / "server" / "mosearch"


def _functions() -> list[str]:
    found = []
    for path in sorted(SOURCES.glob("*.py")):
        found += [
            chunk.encoder_text for chunk in parsing.parse(path.read_bytes(), "python", path.name).chunks
        ]
    return found


def _distance(found: NDArray[np.float16], expected: NDArray[np.float16]) -> float:
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    return float(np.abs(found.astype(np.float32) - expected.astype(np.float32)).max())


@pytest.mark.parametrize("kind", ["code", "query"])
def test_the_bundled_table_gives_what_the_host_gives(kind: str) -> None:
    texts = [*TEXTS, *_functions()]
    folder = find_model()
    table = load_table(folder, load_config(folder))
    assert table is not None
    expected = load(None, "cpu", torch.float32).encode(texts, kind, (0,))[0]  # type: ignore[arg-type]
    assert _distance(table.encode(texts, kind), expected) < 1e-3  # type: ignore[arg-type]


@pytest.mark.parametrize(("head", "table_dim"), [("identity", 0), ("linear", 0), ("linear", 24)])
@pytest.mark.parametrize("pooling", ["mean", "token_weighted"])
@pytest.mark.parametrize(("repeat", "fade"), [(1.0, 0.0), (0.5, 0.0), (0.25, 3.0)])
def test_every_shape_of_a_static_exit(
    tiny_model: Path, tmp_path: Path, head: str, pooling: str, table_dim: int, repeat: float, fade: float
) -> None:
    config = replace(
        load_config(tiny_model),
        table_dim=table_dim,
        exits=(
            ExitConfig(0, pooling, head, repeat=repeat, fade=fade),  # type: ignore[arg-type]
            ExitConfig(1, head="linear"),
        ),
        index_exit=0,
        rerank_exit=1,
    )
    folder = _save(config, tiny_model, tmp_path)
    table = load_table(folder, config)
    assert table is not None
    expected = load(folder, "cpu", torch.float32).encode(TEXTS, "code", (0,))[0]
    assert _distance(table.encode(TEXTS, "code"), expected) < 1e-3
    assert table.encode([], "code").shape == (0, config.dim)


def _save(config: ModelConfig, like: Path, folder: Path) -> Path:
    model = MultiExitEncoder(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    save_model(model, folder)
    shutil.copy(like / "tokenizer.json", folder)
    return folder


def test_a_model_without_a_static_exit_has_no_table(tiny_model: Path) -> None:
    config = load_config(tiny_model)
    assert load_table(tiny_model, replace(config, exits=config.exits[1:])) is None
    projected = (ExitConfig(0, head="mlp"), *config.exits[1:])
    assert load_table(tiny_model, replace(config, exits=projected)) is None


@pytest.mark.parametrize("damage", ["cut", "shape", "nan", "missing"])
def test_a_damaged_table_is_a_model_error(tiny_model: Path, tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    file = folder / "model.safetensors"
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-100])
    else:
        tensors = load_file(file)
        weight = tensors.pop("backbone.token.weight")
        if damage == "shape":
            tensors["backbone.token.weight"] = weight[1:]
        if damage == "nan":
            tensors["backbone.token.weight"] = weight
            tensors["backbone.token.weight.scale"] = np.full((len(weight), 1), np.nan, np.float32)
        save_file(tensors, file)
    with pytest.raises(ModelError, match="Fetch the model again"):
        load_table(folder, load_config(folder))


def test_indexing_and_searching_by_the_cheapest_exit_start_no_host(root: Path, private_runtime: Path) -> None:
    with Engine(root, load_settings(root)) as engine:
        report = engine.update()
        assert report.embedded == report.chunks
        engine.show("README.md", "# Example\n\nHow to wait for the moon.\n")
        engine.embed_shown()
        hits = engine.search("patience until the moon", 30, rerank=False).hits
        assert ("README.md", 0) in {(hit.path, hit.exit) for hit in hits}
    assert hosts_in(private_runtime) == []


def test_an_answer_does_not_wait_for_the_host_that_would_re_rank_it(
    root: Path, private_runtime: Path
) -> None:
    # Time enough for all three hits, also where other work goes on: what may not be waited for is the host.
    with Engine(root, load_settings(root, {"rerank_budget_ms": 10_000}), patience_seconds=0) as engine:
        engine.update()
        result = engine.search("send a request again", 3)
        assert {hit.exit for hit in result.hits} == {0}
        assert result.warning == ""
        engine._encoder.client()  # which waits for the host that the question began to start
        result = engine.search("send a request again", 3)
        assert {hit.exit for hit in result.hits} == {6}
        for process in hosts_in(private_runtime):
            process.kill()
            process.wait()
        result = engine.search("send a request once more", 3)
        assert {hit.exit for hit in result.hits} == {0}


def test_an_index_that_is_deeper_is_searched_at_the_cheapest_exit_until_the_host_is_there(
    root: Path, private_runtime: Path
) -> None:
    with Engine(root, load_settings(root)) as engine:
        engine.update(depth=Depth.DEEP)
    for process in hosts_in(private_runtime):
        process.kill()
        process.wait()
    with Engine(root, load_settings(root), patience_seconds=0) as engine:
        result = engine.search("send a request again", 3)
        assert result.exit == 0
        assert "still starting" in result.warning
        typed_in = StoredChunk("", 0, code_chunk("def again(request):\n    return send(request)\n", "python"))
        assert {hit.exit for hit in engine.similar(typed_in, False, 3, everything=True).hits} == {0}
        engine._encoder.client()
        result = engine.search("send a request again", 3)
        assert (result.exit, result.warning) == (6, "")


def test_a_host_that_cannot_start_is_named_and_the_cheapest_exit_answers(
    root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where the runtime folder should be")
    monkeypatch.setenv("MOSEARCH_RUNTIME_DIR", str(blocked))
    with Engine(root, load_settings(root)) as engine:
        assert engine.update().warning == ""
        result = engine.search("send a request again", 3)
        assert {hit.exit for hit in result.hits} == {0}
        assert "by the cheapest exit, 0, only" in result.warning


def test_a_command_answers_by_meaning_without_torch(root: Path, private_runtime: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from mosearch.engine import Engine;"
        "from mosearch.settings import load_settings; root = Path(sys.argv[1]);"
        "engine = Engine(root, load_settings(root)); engine.update();"
        "result = engine.search('retry when the server is busy', 3, rerank=False);"
        "import json; print(json.dumps([[h.exit for h in result.hits], sorted(sys.modules)]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(root)], capture_output=True, text=True, check=True
    )
    exits, modules = json.loads(done.stdout)
    assert exits and set(exits) == {0}
    assert not {"torch", "transformers"} & set(modules)
