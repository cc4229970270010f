"""What `models check` finds in a folder, and whether it can tell the right settings from a sample."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from mosearch.encoder.models import load_config
from mosearch.errors import ModelError, UsageError
from mosearch.mose import load
from mosearch.mose.check import Pair, _vectors, check_model, compare_settings, read_pairs
from mosearch.mose.published import load_published

sys.path.insert(0, str(Path(__file__).parent / "bench"))
from published_checkpoint import TINY, shapes, write


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def nine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nine")
    write(folder, {**shapes(TINY, 9, [0]), "pooler.bias": (3,)}, TINY)
    return folder


def test_a_published_folder_is_described(nine: Path) -> None:
    report = check_model(str(nine))
    assert (report.layers, report.exits, report.dim, report.stored_types) == (9, (9,), 16, ("BF16",))
    assert (report.pooling, report.head_activation, report.normed) == (("last",), "leaky_relu", (False,))
    assert report.ignored == ("starEncoder2.pooler.bias",)
    counted = [shape for name, shape in shapes(TINY, 9, [0]).items() if not name.startswith("pooler")]
    assert report.parameters == sum(torch.Size(shape).numel() for shape in counted)


def test_our_own_models_are_described(tiny_model: Path) -> None:
    report = check_model(str(tiny_model))
    assert (report.architecture, report.exits, report.ignored) == ("bert", (0, 1, 2), ())


def test_the_whole_file_is_checked(tmp_path: Path) -> None:
    tensors = {name: torch.ones(shape) for name, shape in shapes(TINY, 36, range(5)).items()}
    tensors["layers.35.mlp.c_fc.weight"].zero_()
    write(tmp_path, tensors, TINY)
    with pytest.raises(ModelError, match=r"layers\.35\.mlp\.c_fc\.weight .* nothing but zeros"):
        check_model(str(tmp_path))


def test_every_combination_is_scored_and_the_best_comes_first(nine: Path) -> None:
    pairs = [Pair(f"number {n}", f"return {n * 7919}", "c") for n in range(6)]
    choices = compare_settings(str(nine), pairs, "cpu")
    assert len({(c.pooling, c.head_activation, c.normed) for c in choices}) == len(choices) == 2 * 7 * 2
    assert [c.mrr for c in choices] == sorted((c.mrr for c in choices), reverse=True)
    assert all(1 / 6 <= c.mrr <= 1 for c in choices)
    same = [Pair("f", "def parse(text): return text"), Pair("f", "def parse(text): return text")]
    assert {c.mrr for c in compare_settings(str(nine), same, "cpu")} == {0.5}, "ties count as the worse rank"


@torch.inference_mode()
def test_each_choice_is_compared_by_the_vectors_that_the_setting_gives(nine: Path, tmp_path: Path) -> None:
    texts = ["def parse(text): return text", "for i in range(10)", "x"]
    encoder, config = load(nine, "cpu", torch.float32), load_config(nine)
    model = load_published(nine, config, 9).float()
    for choice, vectors in _vectors(model, encoder, texts, "code", ["python", "go", ""]).items():
        folder = Path(shutil.copytree(nine, tmp_path / "chosen", dirs_exist_ok=True))
        normed = [9] if choice.normed else []
        chosen = {
            "pooling": choice.pooling,
            "head_activation": choice.head_activation,
            "normed_exits": normed,
        }
        (folder / "mosearch.json").write_text(json.dumps(chosen))
        expected = load(folder, "cpu", torch.float32).encode(texts, "code", languages=["python", "go", ""])[9]
        assert np.abs(vectors.numpy() - expected.astype(np.float32)).max() < 1e-3


def test_settings_that_are_known_are_not_compared(tiny_model: Path) -> None:
    with pytest.raises(UsageError, match="Nothing about"):
        compare_settings(str(tiny_model), [Pair("a", "b"), Pair("c", "d")], "cpu")


def test_a_sample_is_read_line_by_line(tmp_path: Path) -> None:
    file = tmp_path / "sample.jsonl"
    file.write_text('{"query": "a", "code": "b"}\n\n{"query": "c", "code": "d", "language": "go"}\n')
    assert read_pairs(file) == [Pair("a", "b"), Pair("c", "d", "go")]


@pytest.mark.parametrize("content", ["{", '{"query": "a"}', '{"query": "a", "code": 1}\n' * 2, "", "[1]"])
def test_a_wrong_sample_is_explained(tmp_path: Path, content: str) -> None:
    file = tmp_path / "sample.jsonl"
    file.write_text(content)
    with pytest.raises(UsageError, match="sample"):
        read_pairs(file)
