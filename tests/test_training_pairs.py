"""Pairs and their variants, the token file, the losses, and a whole run in small."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from mosearch.encoder.config import ExitConfig, ModelConfig
from mosearch.encoder.models import TOKENIZER_FILE, find_model
from mosearch.errors import SettingsError, UsageError
from mosearch.mose import MultiExitEncoder, load, load_model, save_model
from mosearch.training import accents, losses, records, variants
from mosearch.training.batching import batches, clusters, meanings
from mosearch.training.commands import PAIRS_FILE, tokenizer_of, training_group
from mosearch.training.export import quantised
from mosearch.training.functions import Function
from mosearch.training.leaks import keys
from mosearch.training.model import (
    average,
    averaged,
    blend,
    fit_heads,
    lean,
    new_student,
    ridge,
    save_snapshot,
    set_token_weights,
)
from mosearch.training.packing import pack, padded, read_pack, write_pack
from mosearch.training.pairs import Mix, Pair, cross_pairs, make_pair
from mosearch.training.recipe import ModelSettings, Recipe, TrainSettings, read_recipe
from mosearch.training.teachers import teach
from mosearch.training.train import CHECKPOINT, TABLE, frozen_teacher, log_lines, train
from mosearch.training.triplets import triplet_pairs

PYTHON = """\
def find_first(items, wanted):
    for i in range(0, len(items)):
        if items[i] is None and wanted:
            return i
    return None"""
FUNCTION = Function("python", "find_first", "Box", "Finds the first item. Slow.", PYTHON, PYTHON)


def test_query_forms_are_the_summary_or_shorter() -> None:
    forms = {variants.query_form("Returns the size of the file. It may block.", Random(i)) for i in range(60)}
    assert {"Returns the size of the file. It may block.", "return the size of the file"} <= forms
    assert len(forms) >= 4


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("copies the file", "copy the file"),
        ("catches errors", "catch errors"),
        ("is it open", "is it open"),
        ("this is it", "this is it"),
    ],
)
def test_imperative(sentence: str, expected: str) -> None:
    assert variants.imperative(sentence) == expected


def test_names_are_masked_as_whole_words() -> None:
    assert variants.mask_name("def get(x): return get(x.getter)", "get") == "def f(x): return f(x.getter)"
    assert variants.name_words("parseHTTPHeader_v2") == "parse http header v 2"


@given(st.integers(0, 1000))
def test_renaming_is_consistent_and_spares_keywords(seed: int) -> None:
    renamed = variants.rename_frequent(PYTHON, Random(seed))
    assert renamed != PYTHON and "find_first" in renamed
    assert [w for w in renamed.split() if w in ("def", "for", "if", "return")] == [
        "def",
        "for",
        "if",
        "return",
        "return",
    ]
    assert len(renamed.splitlines()) == len(PYTHON.splitlines())


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (
            "javascript",
            ["function find_first", "for (let i = 0; i < length(items); i++) {", "null && wanted"],
        ),
        ("go", ["func find_first", "for i := 0; i < len(items); i++ {", "nil && wanted"]),
        ("ruby", ["def find_first", "nil && wanted", "end"]),
        ("java", ["public find_first", "return null;"]),
    ],
)
def test_accents(target: str, expected: list[str]) -> None:
    text = accents.with_accent(PYTHON, "python", target, Random(1))
    assert all(part in text for part in expected), text


@given(
    st.sampled_from(accents.LANGUAGES),
    st.sampled_from(accents.LANGUAGES),
    st.text("ab(){};:\n \tif", max_size=80),
    st.integers(0, 9),
)
def test_accents_take_any_text(source: str, target: str, code: str, seed: int) -> None:
    text = accents.with_accent(code, source, target, Random(seed))
    assert text == accents.with_accent(code, source, target, Random(seed))


def test_the_pair_of_a_function_is_drawn_once_and_for_all() -> None:
    assert make_pair(FUNCTION, Mix(), 1) == make_pair(FUNCTION, Mix(), 1)
    kinds = {pair.kind for seed in range(60) if (pair := make_pair(FUNCTION, Mix(), seed))}
    assert kinds == {"text", "name", "code"}
    name = make_pair(FUNCTION, Mix(name=1, code=0), 1)
    assert name and name.left.startswith("find first") and "find_first" not in name.right


def test_a_function_without_words_gives_no_pair() -> None:
    assert make_pair(Function("c", "f", "", "", "int f() {}", "int f() {}"), Mix(code=0), 1) is None


def test_the_pair_of_a_type_is_what_its_documentation_says() -> None:
    cache = Function("python", "Cache", "", "Keeps answers of a function.", PYTHON, PYTHON, is_type=True)
    made = [make_pair(cache, Mix(code=0.5, name=0.5), seed) for seed in range(20)]
    assert {pair.kind for pair in made if pair} == {"text"} and None not in made


def test_cross_pairs_join_like_functions_of_two_languages() -> None:
    go = Function("go", "FindFirst", "", "Finds the first item. Fast.", "func FindFirst() {}", "")
    other = Function("go", "FindFirst", "", "Opens quite another thing entirely.", "func FindFirst() {1}", "")
    (pair,) = cross_pairs([FUNCTION, other, go], 10, 1)
    assert pair.kind == "cross" and "func" in pair.left + pair.right and "1" not in pair.left + pair.right
    assert list(cross_pairs([go, other], 10, 1)) == []


def _pairs(count: int) -> list[Pair]:
    words = "open close read write send load save find sort merge split count".split()
    found = []
    for i in range(count):
        a, b = words[i % 12], words[(i // 12) % 12]
        code = f"def {a}_{b}(x{i}):\n    {a} = x{i} + {i}\n    return {b}({a})"
        left = f"{a} then {b} number {i}" if i % 4 else f"def {a}{b}(y):\n    return {b}({a}) + {i}"
        found.append(Pair("text" if i % 4 else "code", "python", left, code))
    return found


def test_the_token_file_reads_back(tmp_path: Path) -> None:
    packed = pack(_pairs(9), tokenizer_of(Recipe()), text_tokens=6, code_tokens=20)
    write_pack(packed, tmp_path / "x.safetensors", {"seed": 1})
    again, notes = read_pack(tmp_path / "x.safetensors")
    assert notes == {"seed": 1} and again.language_names == ("python",)
    for name in ("tokens", "offsets", "pairs", "kinds", "languages"):
        assert np.array_equal(getattr(again, name), getattr(packed, name)), name
    assert packed.lengths.max() <= 20 and packed.lengths[2] == 6
    assert packed.text(2)[-1] == packed.text(1)[-1]
    ids, mask = padded(packed, [0, 2])
    assert mask.sum() == packed.lengths[[0, 2]].sum() and not ids[~mask].any()


def test_something_else_is_no_token_file(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"not tensors")
    with pytest.raises(UsageError, match="no token file"):
        read_pack(tmp_path / "x")


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 5), st.integers(2, 7))
def test_batches_use_each_pair_once_and_do_not_mix_sorts(seed: int, size: int) -> None:
    packed = pack(_pairs(40), tokenizer_of(Recipe()), 8, 16)
    found = batches(packed, size, seed, window=2)
    used = np.concatenate(found)
    assert len(set(used.tolist())) == len(used) > 40 - 6 * size
    assert all(len(set(packed.is_code_pair()[one].tolist())) == 1 for one in found)
    alike = batches(packed, size, seed, None, np.eye(len(packed), dtype=np.float16), 3)
    used = np.concatenate(alike)
    assert len(set(used.tolist())) == len(used) > 40 - 6 * size
    assert all(len(set(packed.is_code_pair()[one].tolist())) == 1 for one in alike)


@given(st.integers(1, 60), st.integers(1, 9), st.integers(0, 5))
def test_clusters_hold_each_row_once_and_have_their_size(rows: int, size: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    found = clusters(draw.standard_normal((rows, 4)).astype(np.float32), size, draw)
    assert sorted(np.concatenate(found).tolist()) == list(range(rows))
    assert len(found) == 1 or all(size <= len(group) < 2 * size for group in found)


def test_clusters_hold_what_is_alike() -> None:
    draw = np.random.default_rng(1)
    topics = draw.standard_normal((8, 16)).astype(np.float32)
    topic = draw.permutation(np.repeat(np.arange(8), 4))
    vectors = topics[topic] + 0.01 * draw.standard_normal((32, 16)).astype(np.float32)
    assert all(len(set(topic[group].tolist())) == 1 for group in clusters(vectors, 4, draw))


def test_the_meaning_of_a_pair_is_that_of_both_its_texts(tiny_base: Path) -> None:
    packed = pack(_pairs(30), tokenizer_of(Recipe()), 12, 24)
    exits = {"0": 1.0, "2": 1.0}
    model = new_student(ModelSettings(base=str(tiny_base), exits=exits, index_exit=0, rerank_exit=2)).eval()
    found = meanings(model, packed)
    assert found.shape == (len(packed), model.config.dim)
    row = 7
    ids, mask = (torch.from_numpy(part) for part in padded(packed, packed.pairs[row].tolist()))
    with torch.no_grad():
        expected = torch.nn.functional.normalize(model(ids, mask, (0,))[0].sum(0), dim=0)
    assert np.allclose(found[row], expected.numpy(), atol=2e-3)


def test_a_run_can_learn_to_tell_apart_what_is_alike(tiny_base: Path, tmp_path: Path) -> None:
    packed = pack(_pairs(48), tokenizer_of(Recipe()), 12, 24)
    values: dict[str, dict[str, object]] = {
        "model": {"base": str(tiny_base), "teacher": str(tiny_base), "exits": {"0": 1.0, "2": 1.0}},
        "train": {"batch": 6, "alike": 3, "fit_texts": 0, "threads": 1},
    }
    train(packed, _recipe(values, epochs=4.0), tmp_path / "run")
    assert np.isfinite(list(log_lines(tmp_path / "run"))[-1]["loss"])
    file = tmp_path / "recipe.toml"
    file.write_text("[model]\nexits = { 2 = 1.0 }\n[train]\nalike = 4\n")
    with pytest.raises(SettingsError, match="no exit 0"):
        read_recipe(file)


def _unit(rows: int, dim: int, seed: int) -> torch.Tensor:
    return torch.nn.functional.normalize(
        torch.randn(rows, dim, generator=torch.Generator().manual_seed(seed)), dim=1
    )


def test_losses_fall_when_pairs_agree() -> None:
    left, right = _unit(8, 16, 1), _unit(8, 16, 2)
    nothing = torch.zeros(8, 8, dtype=torch.bool)
    agree = losses.contrastive(20 * left @ left.T, nothing)
    assert agree < 0.2 < losses.contrastive(20 * left @ right.T, nothing)
    same = losses.similarities(left, right, 20)
    assert losses.divergence(same, same).item() == pytest.approx(0, abs=1e-6)
    assert losses.divergence(same, losses.similarities(right, left, 20)) > 0.1


def test_twins_are_no_wrong_answers() -> None:
    left = _unit(4, 16, 3)
    doubled = torch.cat([left, left])
    twins = losses.false_negatives(doubled, _unit(8, 16, 4))
    assert twins.sum() == 8 and not twins.diagonal().any()
    logits = 20 * doubled @ doubled.T
    assert losses.contrastive(logits, twins) < losses.contrastive(logits, torch.zeros_like(twins)) - 0.3


def test_every_exit_gets_a_gradient_and_the_teacher_of_exits_does_not() -> None:
    left = {e: _unit(6, 8, e).requires_grad_() for e in (0, 2)}
    right = {e: _unit(6, 8, 10 + e).requires_grad_() for e in (0, 2)}
    taught = (_unit(6, 8, 20), _unit(6, 8, 21))
    only_self = losses.Weights(contrastive=0, frozen_text=0, frozen_code=0, deepest=1)
    losses.total_loss(left, right, taught, {0: 1.0, 2: 1.0}, only_self, 20, False).backward()  # type: ignore[no-untyped-call]
    assert left[0].grad is not None and left[0].grad.abs().sum() > 0
    assert left[2].grad is None or left[2].grad.abs().sum() == 0


def test_ridge_recovers_a_linear_map() -> None:
    x, weight, bias = torch.randn(200, 5), torch.randn(3, 5), torch.randn(3)
    found, offset = ridge(x, x @ weight.T + bias, strength=1e-6)
    assert torch.allclose(found, weight, atol=1e-3) and torch.allclose(offset, bias, atol=1e-3)


def test_the_untrained_student_ends_where_its_base_does() -> None:
    student = new_student(ModelSettings(exits={"0": 1.0, "1": 1.0, "6": 1.0}, index_exit=1)).eval()
    base = load("all-MiniLM-L6-v2", device="cpu", dtype=torch.float32)
    (ids,) = tokenizer_of(Recipe())(["sort a list"], "query")
    with torch.no_grad():
        vector = student(torch.tensor([ids]), torch.ones(1, len(ids), dtype=torch.bool), (6,))[6][0].numpy()
    assert np.abs(vector - base.encode(["sort a list"], "query")[6][0]).max() < 2e-3


@pytest.fixture(scope="module")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with random weights, small enough to train in a second."""
    folder = tmp_path_factory.mktemp("base")
    torch.manual_seed(0)
    config = ModelConfig("tiny", "bert", 32, 2, 2, 64, 30522, 64, 32, (ExitConfig(2),), 2, 2, max_tokens=64)
    save_model(MultiExitEncoder(config), folder)
    (folder / TOKENIZER_FILE).write_bytes((find_model("all-MiniLM-L6-v2") / TOKENIZER_FILE).read_bytes())
    return folder


def test_extract_pack_train_export_load(tiny_base: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    recipe = work / "recipe.toml"
    recipe.write_text(
        f"""
        limits = {{ held_out_share = 0.3, held_out_documents = 50, held_out_queries = 10 }}
        pack = {{ pairs = 120, code_tokens = 40 }}
        [model]
        base = "{tiny_base.as_posix()}"
        teacher = "{tiny_base.as_posix()}"
        exits = {{ 0 = 0.5, 1 = 0.7, 2 = 1.0 }}
        index_exit = 1
        rerank_exit = 2
        [train]
        batch = 8
        learning_rate = 1e-3
        fit_texts = 64
        threads = 1
        snapshots = [0.5]
        """,
        encoding="utf-8",
    )
    steps = (
        ("extract", "--installed", "--limit", "12"),
        ("pack", "--no-data", "--recipe", str(recipe)),
        ("train", "--recipe", str(recipe)),
        ("export",),
    )
    for name, *rest in steps:
        result = CliRunner().invoke(training_group, [name, "--work", str(work), *rest])
        assert result.exit_code == 0, f"{name}: {result.output}\n{result.exception!r}"
    log = list(log_lines(work / "run"))
    assert log and all(np.isfinite(line["loss"]) for line in log)
    assert {path.name for path in (work / "run").iterdir()} >= {"at-000", "at-050", "final", CHECKPOINT}
    encoder = load(work / "export", device="cpu")
    assert encoder.exits == (0, 1, 2)
    found = encoder.encode(["def f(x):\n    return x", "read a file"])
    assert all(
        np.allclose(np.linalg.norm(v.astype(np.float32), axis=1), 1, atol=1e-2) for v in found.values()
    )
    card = (work / "export" / "MODEL_CARD.md").read_text(encoding="utf-8")
    notes = json.loads((work / "corpus.json").read_text(encoding="utf-8"))
    assert f"{notes['pairs']:,} pairs" in card and "| python |" in card


def test_a_stopped_run_goes_on(tiny_base: Path, tmp_path: Path) -> None:
    packed = pack(_pairs(48), tokenizer_of(Recipe()), 16, 32)
    values: dict[str, dict[str, object]] = {
        "model": {"base": str(tiny_base), "teacher": str(tiny_base), "exits": {"0": 1.0, "2": 1.0}},
        "train": {"batch": 6, "fit_texts": 0, "threads": 1},
    }
    whole = _recipe(values, epochs=2.0)
    train(packed, _recipe(values, epochs=1.0), tmp_path / "run")
    first = torch.load(tmp_path / "run" / CHECKPOINT, weights_only=True)["progress"]["step"]
    train(packed, whole, tmp_path / "run")
    second = torch.load(tmp_path / "run" / CHECKPOINT, weights_only=True)["progress"]["step"]
    assert (first, second) == (8, 16)
    assert (tmp_path / "run" / PAIRS_FILE).exists() is False


def _recipe(values: dict[str, dict[str, object]], epochs: float) -> Recipe:
    recipe = Recipe()
    model = replace(recipe.model, index_exit=2, rerank_exit=2, **values["model"])  # type: ignore[arg-type]
    return replace(recipe, model=model, train=replace(recipe.train, epochs=epochs, **values["train"]))  # type: ignore[arg-type]


def test_training_makes_the_exits_better(tiny_base: Path, tmp_path: Path) -> None:
    packed = pack(_pairs(96), tokenizer_of(Recipe()), 12, 24)
    values: dict[str, dict[str, object]] = {
        "model": {"base": str(tiny_base), "teacher": str(tiny_base), "exits": {"0": 1.0, "2": 1.0}},
        "train": {"batch": 12, "fit_texts": 0, "threads": 1, "learning_rate": 5e-3},
    }
    train(packed, _recipe(values, epochs=4.0), tmp_path / "run")
    log = list(log_lines(tmp_path / "run"))
    assert log[-1]["loss"] < 0.7 * log[0]["loss"]


def test_a_table_is_trained_before_the_layers_and_left_alone_after(tiny_base: Path, tmp_path: Path) -> None:
    packed = pack(_pairs(48), tokenizer_of(Recipe()), 12, 24)
    values: dict[str, dict[str, object]] = {
        "model": {
            "base": str(tiny_base),
            "teacher": str(tiny_base),
            "exits": {"0": 1.0, "1": 1.0, "2": 1.0},
            "table_dim": 8,
        },
        "train": {"batch": 6, "fit_texts": 40, "threads": 1, "shallow": 1, "deep_every": 2},
    }
    recipe = replace(_recipe(values, epochs=1.0), table=TrainSettings(batch=12, fit_texts=40, epochs=2.0))
    final = load_model(train(packed, recipe, tmp_path / "run"))
    first = load_model(tmp_path / "run" / TABLE / "final")
    start = load_model(tmp_path / "run" / TABLE / "at-000")
    assert final.config.table_dim == 8 and [e.stacked for e in final.config.exits] == [True, True, False]
    before, middle, after = (dict(model.state_dict()) for model in (start, first, final))
    changed = {name for name in before if not torch.equal(before[name], middle[name])}
    assert changed == {"table.weight", "exits.0.head.weight", "exits.0.head.bias", "exits.0.token_logit"}
    assert all(torch.equal(middle[name], after[name]) for name in changed)
    assert not torch.equal(middle["backbone.layers.1.up.weight"], after["backbone.layers.1.up.weight"])


def test_a_table_alone_is_trained_and_leaned_on_and_no_layer_changes(tiny_base: Path, tmp_path: Path) -> None:
    packed = pack(_pairs(48), tokenizer_of(Recipe()), 12, 24)
    exits = {"0": 1.0, "1": 1.0, "2": 1.0}
    values: dict[str, dict[str, object]] = {
        "model": {"base": str(tiny_base), "teacher": str(tiny_base), "exits": exits, "fade": {"0": 4.0}},
        "train": {"batch": 6, "fit_texts": 0, "threads": 1},
    }
    recipe = replace(_recipe(values, epochs=0.0), table=TrainSettings(batch=12, fit_texts=0, epochs=2.0))
    recipe = replace(recipe, model=replace(recipe.model, table_dim=8, lean={"1": 0.5}))
    final = load_model(train(packed, recipe, tmp_path / "run"))
    start = load_model(tmp_path / "run" / TABLE / "at-000")
    assert [(e.repeat, e.fade) for e in final.config.exits] == [(1.0, 4.0), (1.0, 0.0), (1.0, 0.0)]
    before, after = dict(start.state_dict()), dict(final.state_dict())
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    static = {"table.weight", "exits.0.head.weight", "exits.0.head.bias", "exits.0.token_logit"}
    assert changed == static | {"exits.1.head.weight", "exits.1.head.bias"}


def test_a_deepest_exit_that_reads_the_others_too_starts_as_its_base(tiny_base: Path) -> None:
    model = ModelSettings(base=str(tiny_base), exits={"0": 1.0, "2": 1.0}, index_exit=0, rerank_exit=2)
    alone, stacked = (new_student(replace(model, deepest_stacked=reads)).eval() for reads in (False, True))
    assert stacked.state_dict()["exits.2.head.weight"].shape[1] > 32
    ids, mask = torch.tensor([[101, 7, 8, 9, 102]]), torch.ones(1, 5, dtype=torch.bool)
    assert torch.allclose(alone(ids, mask, (2,))[2], stacked(ids, mask, (2,))[2], atol=1e-6)


def test_an_average_goes_from_another_model_to_the_student(tiny_base: Path) -> None:
    exits = {"0": 1.0, "2": 1.0}
    model = ModelSettings(base=str(tiny_base), exits=exits, index_exit=0, rerank_exit=2)
    student, other = new_student(model).eval(), load_model(tiny_base)
    ids, mask = torch.tensor([[101, 7, 8, 9, 102]]), torch.ones(1, 5, dtype=torch.bool)
    with torch.no_grad():
        for value in student.parameters():
            value.add_(0.1 * torch.randn_like(value))
    own, theirs = student(ids, mask, (2,))[2], other(ids, mask)[2]
    average(student, other, 1.0)
    assert torch.allclose(student(ids, mask, (2,))[2], own, atol=1e-6)
    average(student, other, 0.0)
    assert torch.allclose(student(ids, mask, (2,))[2], theirs, atol=1e-5)
    assert not torch.allclose(own, theirs, atol=1e-2)


def test_an_ablation_trains_exits_together_and_alone() -> None:
    recipe = replace(Recipe(), table=TrainSettings())
    runs = recipe.ablation(0.5)
    assert list(runs) == ["together", "1", "2", "3", "6"]
    assert list(runs["together"].exit_weights) == [1, 2, 3, 6] and runs["2"].exit_weights == {2: 1.0}
    assert runs["2"].model.rerank_exit == 2 and runs["together"].model.rerank_exit == 6
    assert all(
        run.table is None and run.train.epochs == 0.5 and not run.model.stacked for run in runs.values()
    )


def test_two_teachers_say_the_weighted_mean_of_their_cosines(tiny_base: Path) -> None:
    model = ModelSettings(teacher=str(tiny_base), second_teacher=str(tiny_base))
    teach = frozen_teacher(replace(Recipe(), model=model), torch.device("cpu"))
    ids, mask = torch.tensor([[101, 7, 8, 102], [101, 9, 30, 102]]), torch.ones(2, 4, dtype=torch.bool)
    both = teach([0, 1], ids, mask)
    one = load_model(tiny_base)(ids, mask)[2]
    assert both is not None and both.shape == (2, 64)
    assert torch.allclose(both @ both.T, one @ one.T, atol=1e-5)


def test_two_teachers_have_no_embedding_to_align_with(tmp_path: Path) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text('[model]\nsecond_teacher = "other"\n[weights]\naligned = 1.0\n')
    with pytest.raises(SettingsError, match="aligned to 0"):
        read_recipe(file)


def test_runs_are_averaged_by_their_shares(tiny_base: Path, tmp_path: Path) -> None:
    for name, number in (("a", 1.0), ("b", 2.0)):
        model = load_model(tiny_base)
        with torch.no_grad():
            for value in model.parameters():
                value.fill_(number)
        save_snapshot(model, str(tiny_base), tmp_path / name)
    shares = ["--weights", str(tmp_path / "a"), "3", "--weights", str(tmp_path / "b"), "1"]
    done = CliRunner().invoke(training_group, ["average", *shares, "--to", str(tmp_path / "mean")])
    assert done.exit_code == 0, done.output
    assert all(
        torch.allclose(value, torch.tensor(1.25)) for value in load_model(tmp_path / "mean").parameters()
    )
    other = new_student(ModelSettings(base=str(tiny_base), exits={"1": 1.0}, index_exit=1, rerank_exit=1))
    with pytest.raises(UsageError, match="one shape"):
        averaged([load_model(tiny_base), other], [1, 1])


def test_a_blend_lies_between_start_and_end(tiny_base: Path) -> None:
    exits = {"0": 1.0, "2": 1.0}
    model = ModelSettings(base=str(tiny_base), exits=exits, index_exit=0, rerank_exit=2)
    student, start = new_student(model), new_student(model)
    deep, shallow = "backbone.layers.0.up.weight", "exits.0.head.weight"
    with torch.no_grad():
        start.load_state_dict(student.state_dict())
        for value in student.parameters():
            value.add_(1.0)
    blend(student, start, 0.25)
    assert torch.allclose(student.state_dict()[deep], start.state_dict()[deep] + 0.25, atol=1e-5)
    assert torch.allclose(student.state_dict()[shallow], start.state_dict()[shallow] + 1.0, atol=1e-5)


def test_a_batch_may_be_as_small_as_a_pair(tiny_base: Path, tmp_path: Path) -> None:
    packed = pack(_pairs(9), tokenizer_of(Recipe()), 16, 32)
    values: dict[str, dict[str, object]] = {
        "model": {"base": str(tiny_base), "teacher": str(tiny_base), "exits": {"0": 1.0, "2": 1.0}},
        "train": {"fit_texts": 0, "threads": 1},
    }
    for size in (1, 2, 3):
        values["train"]["batch"] = size
        train(packed, _recipe(values, epochs=1.0), tmp_path / str(size))
        steps = torch.load(tmp_path / str(size) / CHECKPOINT, weights_only=True)["progress"]["step"]
        assert steps >= len(packed) // size - 2


def test_a_run_can_end_between_its_start_and_its_end(tiny_base: Path, tmp_path: Path) -> None:
    packed = pack(_pairs(24), tokenizer_of(Recipe()), 16, 32)
    values: dict[str, dict[str, object]] = {
        "model": {"base": str(tiny_base), "teacher": str(tiny_base), "exits": {"0": 1.0, "2": 1.0}},
        "train": {"batch": 6, "fit_texts": 0, "threads": 1},
    }
    plain = load_model(train(packed, _recipe(values, epochs=1.0), tmp_path / "plain"))
    values["train"] |= {"blend": 0.25, "blend_whole": True}
    blended = load_model(train(packed, _recipe(values, epochs=1.0), tmp_path / "blended"))
    start = load_model(tmp_path / "blended" / "at-000").state_dict()
    end, between = plain.state_dict(), blended.state_dict()
    assert any(not torch.equal(end[name], start[name]) for name in end)
    assert all(
        torch.allclose(between[name], torch.lerp(start[name], end[name], 0.25), atol=1e-5) for name in end
    )


def test_an_exit_can_lean_on_exit_0(tiny_base: Path) -> None:
    packed = pack(_pairs(30), tokenizer_of(Recipe()), 12, 24)
    exits = {"0": 1.0, "1": 1.0, "2": 1.0}
    student = new_student(ModelSettings(base=str(tiny_base), exits=exits, index_exit=1, rerank_exit=2)).eval()
    ids, mask = (torch.from_numpy(part) for part in padded(packed, range(20)))

    def agreement() -> float:
        with torch.no_grad():
            found = student(ids, mask)
        return float((found[0] * found[1]).sum(1).mean())

    before = agreement()
    lean(student, packed, {1: 1.0})
    middle = agreement()
    lean(student, packed, {1: 100.0})
    assert before < middle - 0.2 and agreement() > 0.99


def test_steps_without_teacher_vectors_learn_from_pairs_alone() -> None:
    left, right = ({layer: _unit(6, 8, 2 * layer + side) for layer in (0, 1)} for side in (0, 1))
    weights = losses.Weights(contrastive=0.0, aligned=1.0)
    loss = losses.total_loss(left, right, None, {0: 1.0, 1: 1.0, 2: 1.0}, weights, 20.0, False)
    assert float(loss) == 0.0
    taught = losses.total_loss(
        left, right, (left[0], right[0]), {0: 1.0, 1: 0.0, 2: 1.0}, weights, 20.0, False
    )
    assert float(taught) == pytest.approx(0.0, abs=1e-4)


def test_less_than_a_batch_is_refused(tiny_base: Path, tmp_path: Path) -> None:
    packed = pack(_pairs(3), tokenizer_of(Recipe()), 16, 32)
    values: dict[str, dict[str, object]] = {
        "model": {"base": str(tiny_base), "teacher": str(tiny_base), "exits": {"2": 1.0}},
        "train": {"batch": 6, "fit_texts": 0, "threads": 1},
    }
    with pytest.raises(UsageError, match="harvest more"):
        train(packed, _recipe(values, epochs=1.0), tmp_path / "run")


def test_triplets_become_pairs(tmp_path: Path) -> None:
    left, right = "def a(x):\n    y = x\n    return y", "func a(x int) int {\n\ty := x\n\treturn y\n}"
    row = {"text": "gives it back", "code_a": left, "code_b": right, "language": "go"}
    file = tmp_path / "triplets.jsonl"
    file.write_text(json.dumps(row) + "\n" + json.dumps({**row, "code_a": "x"}) + "\n", encoding="utf-8")
    found = list(triplet_pairs(file, set()))
    assert found == [Pair("text", "go", "gives it back", right), Pair("cross", "go", left, right)]
    assert list(triplet_pairs(file, set(keys(right)))) == []
    file.write_text("{}\n", encoding="utf-8")
    with pytest.raises(UsageError, match="line 1"):
        list(triplet_pairs(file, set()))


def test_a_larger_teacher_is_read_from_a_file(tiny_base: Path, tmp_path: Path) -> None:
    pairs = _pairs(8)
    texts = [text for pair in pairs for text in (pair.left, pair.right)]
    records.write(tmp_path / "texts.jsonl.gz", texts)
    assert list(records.read(tmp_path / "texts.jsonl.gz")) == texts
    file = tmp_path / "teacher.safetensors"
    teach(find_model("all-MiniLM-L6-v2"), texts, file, max_tokens=32)
    vectors = load_file(file)["vectors"]
    base = load("all-MiniLM-L6-v2", device="cpu", dtype=torch.float32).encode(texts)[6]
    assert vectors.shape == (16, 384) and (vectors * base).sum(1).min() > 0.98
    packed = pack(pairs, tokenizer_of(Recipe()), 16, 32)
    values: dict[str, dict[str, object]] = {
        "model": {"base": str(tiny_base), "teacher_vectors": str(file), "exits": {"0": 1.0, "2": 1.0}},
        "train": {"batch": 4, "fit_texts": 0, "threads": 1},
    }
    assert (train(packed, _recipe(values, epochs=1.0), tmp_path / "run") / "model.safetensors").is_file()


def test_heads_are_fitted_to_the_teacher(tiny_base: Path) -> None:
    packed = pack(_pairs(144), tokenizer_of(Recipe()), 16, 32)
    exits = {"0": 1.0, "1": 1.0, "2": 1.0}
    student = new_student(ModelSettings(base=str(tiny_base), exits=exits, index_exit=1, rerank_exit=2))
    teacher = load_model(tiny_base)
    set_token_weights(student, packed)

    def agreement() -> float:
        ids, mask = (torch.from_numpy(part) for part in padded(packed, range(40)))
        with torch.no_grad():
            taught = teacher(ids, mask)[2]
            return min(float((student(ids, mask)[exit_] * taught).sum(1).mean()) for exit_ in (0, 1))

    before = agreement()
    fit_heads(student, teacher, packed, range(len(packed.lengths)), (0, 1))
    assert agreement() > max(0.9, before + 0.1)


def test_eight_bits_are_close() -> None:
    matrix, vector = torch.randn(5, 40), torch.randn(40)
    found = quantised({"w": matrix.half(), "b": vector.half()})
    assert found["w"].dtype == torch.int8 and found["w.scale"].shape == (5, 1)
    assert torch.allclose(found["w"] * found["w.scale"].float(), matrix, atol=0.03)
    assert torch.equal(found["b"], vector.half())
