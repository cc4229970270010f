"""Folders in the layout of the published checkpoints: every variant, every disguise, every damage."""

from __future__ import annotations

import json
import logging
import math
import os
import random
import shutil
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody knows it by
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor

from mosearch.encoder import connect, model_info
from mosearch.encoder.models import load_config
from mosearch.encoder.published import expected_shapes
from mosearch.encoder.tokens import TextTokenizer
from mosearch.engine import Engine
from mosearch.errors import ModelError
from mosearch.mose import Encoder, MultiExitEncoder, load, load_model
from mosearch.settings import load_settings
from mosearch.types import Priority

sys.path.insert(0, str(Path(__file__).parent / "bench"))
from published_checkpoint import (
    FULL_SIZE,
    PARAMETERS,
    TINY,
    VARIANTS,
    random_tensor,
    shapes,
    write,
)

TEXTS = ["", "def parse(text):\n    return text", "<cls> for i in range(10)" * 9, "日本 \ud800"]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def variants(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """All five, at a tiny size: layers → folder.  They share their common tensors."""
    base = tmp_path_factory.mktemp("published")
    for layers, heads in VARIANTS.items():
        # Head 0 of a truncated model is the head that the whole model has for that exit.
        number = sorted(VARIANTS).index(layers)
        tensors = {
            name: random_tensor(
                name.replace("projection_heads.0", f"projection_heads.{number}") if layers < 36 else name,
                shape,
            )
            for name, shape in shapes(TINY, layers, heads).items()
        }
        write(base / str(layers), tensors)
    return {layers: base / str(layers) for layers in VARIANTS}


@pytest.fixture
def copy(variants: dict[int, Path], tmp_path: Path) -> Path:
    """Of the variant with nine layers."""
    return Path(shutil.copytree(variants[9], tmp_path / "copy"))


def adjust(folder: Path, **values: Any) -> None:
    (folder / "mosearch.json").write_text(json.dumps(values))


def exact(folder: Path) -> Encoder:
    return load(folder, "cpu", torch.float32)


def reference(folder: Path, ids: list[int]) -> dict[int, Tensor]:
    """Vectors of one text by exit, from the file's tensors and transformers' layers."""
    from transformers import Starcoder2Config
    from transformers.models.starcoder2 import modeling_starcoder2 as theirs

    stored = {
        name.removeprefix("starEncoder2."): tensor.float()
        for name, tensor in load_file(folder / "model.safetensors").items()
    }
    raw = json.loads((folder / "config.json").read_text())
    theta = raw.pop("rope_theta")
    config = Starcoder2Config(**raw, rope_parameters={"rope_type": "default", "rope_theta": theta})
    config._attn_implementation = "eager"
    stack = theirs.Starcoder2Model(config).train(False)
    stack.load_state_dict({name: t for name, t in stored.items() if "projection" not in name})
    found = {}
    with torch.inference_mode():
        hidden = stack.embed_tokens(torch.tensor([ids]))
        turned = stack.rotary_emb(hidden, torch.arange(len(ids))[None])
        for number, layer in enumerate(stack.layers, start=1):
            hidden = layer(hidden, attention_mask=None, position_embeddings=turned)
            if number in raw["matryoshka_layers"]:
                state = stack.norm(hidden) if number == 36 else hidden
                head = f"projection_heads.{raw['matryoshka_layers'].index(number)}"
                inner = F.linear(state, stored[f"{head}.0.weight"], stored[f"{head}.0.bias"])
                outer = F.linear(
                    F.leaky_relu(inner, 0.01), stored[f"{head}.2.weight"], stored[f"{head}.2.bias"]
                )
                found[number] = F.normalize(outer[0, -1], dim=0)
    return found


def test_the_whole_model_gives_the_vectors_of_an_independent_reading(variants: dict[int, Path]) -> None:
    model = load_model(variants[36]).float()
    tokenizer = TextTokenizer(variants[36], load_config(variants[36]))
    for ids in tokenizer(TEXTS, "code", ["", "python", "cpp", "go"]):
        expected = reference(variants[36], ids)
        assert sorted(expected) == [4, 9, 18, 27, 36]
        with torch.inference_mode():
            found = model(torch.tensor([ids]), torch.ones(1, len(ids), dtype=torch.bool))
        for layer, vector in expected.items():
            assert (found[layer][0] - vector).abs().max() <= 1e-5


def test_what_is_known_of_the_whole_model(variants: dict[int, Path]) -> None:
    info = model_info(variants[36])
    assert (info.exits, info.index_exit, info.rerank_exit, info.dim) == ((4, 9, 18, 27, 36), 4, 18, 16)
    assert [e.norm for e in load_config(variants[36]).exits] == [False, False, False, False, True]


@pytest.mark.parametrize("layers", [4, 9, 18, 27])
def test_a_truncated_variant_has_the_exit_of_the_whole_model(variants: dict[int, Path], layers: int) -> None:
    info = model_info(variants[layers])
    assert (info.exits, info.index_exit, info.rerank_exit) == ((layers,), layers, layers)
    ours, whole = exact(variants[layers]).encode(TEXTS), exact(variants[36]).encode(TEXTS, exits=[layers])
    assert np.array_equal(ours[layers], whole[layers])


@pytest.mark.parametrize("layers", [4, 9, 18, 27, 36])
def test_at_full_size_the_parameters_are_those_published(tmp_path: Path, layers: int) -> None:
    write(tmp_path, shapes(FULL_SIZE, layers, VARIANTS[layers]), FULL_SIZE, hollow=True)
    expected = expected_shapes(load_config(tmp_path))
    assert sum(map(math.prod, expected.values())) == PARAMETERS[layers]
    assert len(model_info(tmp_path).fingerprint) == 32
    if layers == 4:
        with pytest.raises(ModelError, match=r"embed_tokens\.weight .* holds nothing but zeros"):
            load_model(tmp_path)


def test_the_fingerprint_of_a_large_file_is_that_of_a_sample(tmp_path: Path) -> None:
    write(tmp_path, shapes(FULL_SIZE, 9, [0]), FULL_SIZE, hollow=True)
    found = {model_info(tmp_path).fingerprint}
    for changed in (400 << 20, (400 << 20) + 4095, (400 << 20) + 4096):
        with (tmp_path / "model.safetensors").open("r+b") as file:
            file.seek(changed)
            file.write(b"x")
        os.utime(tmp_path / "model.safetensors", ns=(changed, changed))
        found.add(model_info(tmp_path).fingerprint)
    assert len(found) == 3, "the last change is beyond the 4 KiB that are read of this MiB"


def test_shapes_are_those_of_the_network(variants: dict[int, Path]) -> None:
    config = load_config(variants[36])
    network = {name: tuple(t.shape) for name, t in MultiExitEncoder(config).state_dict().items()}
    assert network == expected_shapes(config)


def test_only_the_part_in_use_is_loaded(variants: dict[int, Path]) -> None:
    encoder = exact(variants[36])
    whole = load_model(variants[36]).float()
    for exits, layers in (([4], 4), ([4, 18], 18), ([9], 18), (None, 36)):
        found = encoder.encode(TEXTS, exits=exits)
        assert encoder._model.config.layers == layers
        again = Encoder(
            whole, encoder._tokenizer, encoder.info, encoder.device, torch.float32, lambda _: whole
        )
        for layer, vectors in again.encode(TEXTS, exits=exits).items():
            assert np.array_equal(found[layer], vectors)


def _disguised(folder: Path, **options: Any) -> None:
    tensors = {name: random_tensor(name, s) for name, s in shapes(TINY, 36, VARIANTS[36]).items()}
    write(folder, tensors, **options)


@pytest.mark.parametrize(
    "options",
    [
        {"root": "module.starEncoder2."},
        {"root": "starEncoder2.module."},
        {"root": ""},
        {"shards": 3},
        {"root": "module.module.starEncoder2.", "shards": 2},
    ],
)
def test_names_and_files_may_vary(variants: dict[int, Path], tmp_path: Path, options: dict[str, Any]) -> None:
    _disguised(tmp_path, **options)
    ours, plain = exact(tmp_path).encode(TEXTS), exact(variants[36]).encode(TEXTS)
    assert all(np.array_equal(ours[layer], plain[layer]) for layer in plain)


def test_heads_with_other_layer_numbers_are_understood(variants: dict[int, Path], tmp_path: Path) -> None:
    tensors = load_file(variants[9] / "model.safetensors")
    renamed = {
        name.replace("heads.0.0.", "heads.1.net.1.").replace("heads.0.2.", "heads.1.net.4."): tensor
        for name, tensor in tensors.items()
    }
    write(tmp_path, renamed, root="")
    ours, plain = exact(tmp_path).encode(TEXTS), exact(variants[9]).encode(TEXTS)
    assert np.array_equal(ours[9], plain[9])


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.bfloat16])
def test_the_stored_type_is_kept_and_heads_are_float32(copy: Path, dtype: torch.dtype) -> None:
    tensors = load_file(copy / "model.safetensors")
    save_file({name: tensor.to(dtype) for name, tensor in tensors.items()}, copy / "model.safetensors")
    model = load_model(copy)
    assert {p.dtype for p in model.backbone.parameters()} == {dtype}
    assert {p.dtype for p in model.exits.parameters()} == {torch.float32}
    assert exact(copy).encode(TEXTS)[9].shape == (4, 16)


def test_tensors_of_other_parts_are_ignored_and_logged(
    copy: Path, variants: dict[int, Path], caplog: pytest.LogCaptureFixture
) -> None:
    tensors = load_file(copy / "model.safetensors")
    extra = [
        "temperature_coef",
        "starEncoder2.pooler.dense.weight",
        "predictions.norm.weight",
        "seq.layers.1.x",
    ]
    save_file({**tensors, **{name: torch.zeros(3) for name in extra}}, copy / "model.safetensors")
    with caplog.at_level(logging.INFO, "mosearch.mose"):
        ours = exact(copy).encode(TEXTS)[9]
    assert all(name in caplog.text for name in extra)
    assert np.array_equal(ours, exact(variants[9]).encode(TEXTS)[9])


@pytest.mark.parametrize(
    ("chosen", "changes_vectors"),
    [
        ({"pooling": "mean"}, True),
        ({"head_activation": "gelu"}, True),
        ({"normed_exits": [9]}, True),
        ({"max_tokens": 64}, True),
        ({"code_prefix": "<sep>"}, True),
        ({"index_exit": 9, "rerank_exit": 9, "exits": [9]}, False),
        ({}, False),
    ],
)
def test_what_is_inferred_can_be_chosen_and_is_in_the_fingerprint(
    copy: Path, chosen: dict[str, Any], changes_vectors: bool
) -> None:
    before, vectors = model_info(copy).fingerprint, exact(copy).encode(TEXTS)[9]
    adjust(copy, **chosen)
    assert (model_info(copy).fingerprint != before) == changes_vectors
    assert np.array_equal(exact(copy).encode(TEXTS)[9], vectors) != changes_vectors


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({"poling": "mean"}, "unknown settings poling"),
        ({"pooling": "token_weighted"}, "pooling must be last or mean"),
        ({"head_activation": "swish"}, "head_activation 'swish' is unknown"),
        ({"normed_exits": [4]}, "normed_exits"),
        ({"normed_exits": 9}, "must be a list of layers"),
        ({"exits": [4]}, "do not fit the exits"),
        ({"exits": []}, "no list of layers"),
        ({"index_exit": 4}, "index_exit 4 is not among"),
        ({"max_tokens": 4096}, "max_tokens 4096"),
        ({"suffix": 3}, "suffix must be a text"),
    ],
)
def test_a_wrong_choice_is_explained(copy: Path, chosen: dict[str, Any], words: str) -> None:
    adjust(copy, **chosen)
    with pytest.raises(ModelError, match=words):
        model_info(copy)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hidden_size": 32}, "do not fit"),
        ({"hidden_size": None}, "hidden_size"),
        ({"num_key_value_heads": 4}, r"k_proj.weight is \[8, 16\] instead of \[16, 16\]"),
        ({"vocab_size": 405}, "embed_tokens"),
        ({"matryoshka_layers": [4, 8]}, "do not fit the exits"),
        ({"matryoshka_layers": "all"}, "no list of layers"),
        ({"hidden_act": "silu"}, "asks for hidden_act 'silu'"),
        ({"use_bias": False}, "asks for use_bias false"),
        ({"sliding_window": 64}, "asks for sliding_window 64"),
        ({"rope_scaling": {"type": "linear", "factor": 2}}, "asks for rope_scaling"),
        ({"rope_theta": "x"}, "lacks or misstates"),
        ({"norm_epsilon": []}, "lacks or misstates"),
    ],
)
def test_a_configuration_that_does_not_fit_is_explained(
    copy: Path, changes: dict[str, Any], words: str
) -> None:
    (copy / "config.json").write_text(json.dumps({**TINY, **changes}))
    with pytest.raises(ModelError, match=words):
        model_info(copy)


def test_the_rotary_base_may_stand_where_newer_libraries_write_it(
    copy: Path, variants: dict[int, Path]
) -> None:
    raw = {name: value for name, value in TINY.items() if name != "rope_theta"}
    raw["rope_parameters"] = {"rope_type": "default", "rope_theta": TINY["rope_theta"]}
    (copy / "config.json").write_text(json.dumps(raw))
    assert model_info(copy).fingerprint == model_info(variants[9]).fingerprint


def test_a_pretrained_model_without_heads_is_refused(tmp_path: Path) -> None:
    write(tmp_path, shapes(TINY, 36, []), TINY)
    with pytest.raises(ModelError, match="no projection heads"):
        model_info(tmp_path)


def test_the_name_in_the_cache_of_the_hub_is_the_model_s(variants: dict[int, Path], tmp_path: Path) -> None:
    folder = tmp_path / "models--modularStarEncoder--ModularStarEncoder-finetuned-9" / "snapshots" / "0a1b"
    shutil.copytree(variants[9], folder)
    assert model_info(folder).name == "ModularStarEncoder-finetuned-9"


# Damage.  Every one of these must be named, whether it is found from the header alone or on loading.


def _drop(tensors: dict[str, Tensor], name: str) -> None:
    del tensors[name]


def _rename(tensors: dict[str, Tensor], name: str) -> None:
    tensors[name.replace("weight", "wait").replace("bias", "bios")] = tensors.pop(name)


def _misplace(tensors: dict[str, Tensor], name: str) -> None:
    """Under a number that no layer or head has."""
    parts = [str(int(part) + 50) if part.isdigit() else part for part in name.split(".")]
    tensors[".".join([*parts, "x"] if parts == name.split(".") else parts)] = tensors.pop(name)


def _lengthen(tensors: dict[str, Tensor], name: str) -> None:
    tensors[name] = torch.cat([tensors[name], tensors[name][:1]])


def _halve(tensors: dict[str, Tensor], name: str) -> None:
    tensors[name] = tensors[name][: len(tensors[name]) // 2].contiguous()


def _reshape(tensors: dict[str, Tensor], name: str) -> None:
    tensors[name] = tensors[name][None]


def _flatten_type(tensors: dict[str, Tensor], name: str) -> None:
    tensors[name] = tensors[name].to(torch.int8)


def _poison(tensors: dict[str, Tensor], name: str) -> None:
    tensors[name] = tensors[name].clone()
    tensors[name].view(-1)[len(tensors[name]) // 2] = float("nan")


def _repeat(tensors: dict[str, Tensor], name: str) -> None:
    tensors["module." + name] = tensors[name].clone()


_CHANGES = (_drop, _rename, _misplace, _lengthen, _halve, _reshape, _flatten_type, _poison, _repeat)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
@pytest.mark.parametrize("layers", [9, 36])
def test_a_changed_tensor_is_named(
    variants: dict[int, Path], tmp_path: Path, layers: int, data: st.DataObject
) -> None:
    tensors = load_file(variants[layers] / "model.safetensors")
    name = data.draw(st.sampled_from(sorted(tensors)))
    change = data.draw(st.sampled_from(_CHANGES))
    change(tensors, name)
    folder = Path(shutil.copytree(variants[layers], tmp_path / "damaged", dirs_exist_ok=True))
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(ModelError, match="Fetch the model again"):
        load_model(folder)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_file_cut_short_anywhere_is_named(
    copy: Path, variants: dict[int, Path], data: st.DataObject
) -> None:
    whole = (variants[9] / "model.safetensors").read_bytes()
    size = data.draw(st.integers(0, len(whole) - 1))
    (copy / "model.safetensors").write_bytes(whole[:size])
    with pytest.raises(ModelError, match=r"model\.safetensors"):
        load_model(copy)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_noise_in_the_header_is_named_or_harmless(copy: Path, variants: dict[int, Path], seed: int) -> None:
    whole = bytearray((variants[9] / "model.safetensors").read_bytes())
    plain = load_model(variants[9]).state_dict()
    chance = random.Random(seed)
    length = struct.unpack_from("<Q", whole)[0]
    for _ in range(chance.randint(1, 8)):
        whole[chance.randrange(8 + length)] = chance.randrange(256)
    (copy / "model.safetensors").write_bytes(whole)
    try:
        found = load_model(copy).state_dict()
    except ModelError:
        return
    assert all(torch.equal(found[name], plain[name]) for name in plain)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model.safetensors.index.json", "{"),
        ("model.safetensors.index.json", '{"weight_map": {"a": "../model.safetensors"}}'),
        ("model.safetensors.index.json", '{"weight_map": {"starEncoder2.norm.bias": "other.safetensors"}}'),
        ("model.safetensors.index.json", '{"weight_map": []}'),
        ("model.safetensors.index.json", '{"weight_map": {}}'),
        ("model-00001-of-00003.safetensors", ""),
        ("model-00002-of-00003.safetensors", None),
        ("config.json", "{"),
        ("tokenizer.json", "{"),
        ("tokenizer.json", None),
        ("mosearch.json", "[]"),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, name: str, content: str | None) -> None:
    _disguised(tmp_path, shards=3)
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_text(content)
    with pytest.raises(ModelError):
        load(tmp_path, "cpu")


def test_a_pickle_is_not_opened(copy: Path) -> None:
    torch.save({}, copy / "model.safetensors")
    with pytest.raises(ModelError, match="does not begin like a safetensors file"):
        load_model(copy)


def test_one_head_of_a_whole_model_is_not_taken_for_a_truncated_one(tmp_path: Path) -> None:
    write(tmp_path, shapes(TINY, 36, [1]), TINY)
    with pytest.raises(ModelError, match="do not fit the exits"):
        model_info(tmp_path)


# In use.


def test_the_host_serves_it_and_deepens_on_demand(variants: dict[int, Path]) -> None:
    expected = exact(variants[36])
    with connect(str(variants[36]), device="cpu", threads=1) as client:
        for exits in ([4], [18], [4, 36]):
            found = client.encode(TEXTS, exits=exits, priority=Priority.INDEX, languages=["python"] * 4)
            plain = expected.encode(TEXTS, exits=exits, languages=["python"] * 4)
            for layer in exits:
                products = (found[layer].astype(np.float32) * plain[layer].astype(np.float32)).sum(1)
                assert products.min() > 0.998


def test_damage_below_the_first_exit_reaches_the_client_and_the_host_lives_on(
    variants: dict[int, Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(variants[36], tmp_path / "late"))
    tensors = load_file(folder / "model.safetensors")
    _poison(tensors, "starEncoder2.layers.30.mlp.c_fc.bias")
    save_file(tensors, folder / "model.safetensors")
    with connect(str(folder), device="cpu", threads=1) as client:
        with pytest.raises(ModelError, match=r"layers\.30\.mlp\.c_fc\.bias"):
            client.encode(["x"], exits=[36], priority=Priority.QUERY)
        assert client.encode(["x"], exits=[18], priority=Priority.QUERY)[18].shape == (1, 16)


@pytest.fixture
def engine_with(root: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], Engine]:
    def open_(model: Path) -> Engine:
        monkeypatch.setenv("MOSEARCH_MODEL", str(model))
        monkeypatch.setenv("MOSEARCH_DEVICE", "cpu")
        return Engine(root, load_settings(root))

    return open_


def test_vectors_of_two_models_lie_side_by_side(
    variants: dict[int, Path], tiny_model: Path, engine_with: Callable[[Path], Engine]
) -> None:
    counts = []
    for model in (tiny_model, variants[36], tiny_model, variants[36]):
        with engine_with(model) as engine:
            counts.append(engine.update().embedded)
            hits = engine.search("send a request again", 5).hits
            assert hits and engine.model.fingerprint == model_info(model).fingerprint
    assert counts[0] == counts[1] > 0
    assert counts[2:] == [0, 0]


def test_a_text_in_two_languages_has_the_vector_of_each(
    variants: dict[int, Path], engine_with: Callable[[Path], Engine], root: Path
) -> None:
    """The model is told the language, so the digest has to know it."""
    text = "int add(int a, int b) {\n  return a + b;\n}\n"
    for name in ("one.c", "two.cpp"):
        (root / name).write_text(text * 3)
    with engine_with(variants[4]) as engine:
        assert engine.update().warning == "" and engine.update().embedded == 0
        chunks = [engine.store.chunks_of(name)[0].chunk for name in ("one.c", "two.cpp")]
        assert chunks[0].encoder_text == chunks[1].encoder_text and chunks[0].digest != chunks[1].digest
        stored = engine.store.get_vectors(engine.model.fingerprint, 4, [c.digest for c in chunks])
        texts, languages = [c.encoder_text for c in chunks], [c.language for c in chunks]
        expected = load(variants[4], "cpu").encode(texts, "code", (4,), languages)[4]
        found = np.stack([stored[c.digest] for c in chunks])
        assert np.abs(found.astype(np.float32) - expected.astype(np.float32)).max() < 5e-3
        assert np.abs(expected[0].astype(np.float32) - expected[1].astype(np.float32)).max() > 0.02
        shown = engine.place("one.c", 0, text=text * 3).chunk
        assert shown.digest == chunks[0].digest
