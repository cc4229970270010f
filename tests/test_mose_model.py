"""The network against an independent implementation, and its weights as files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody knows it by
from safetensors.torch import load_file, save_file
from torch import Tensor

from mosearch.encoder import ExitConfig, ModelConfig, find_model
from mosearch.errors import ModelError
from mosearch.mose import MultiExitEncoder, load_model, save_model
from mosearch.mose.bert import Bert
from mosearch.mose.model import Exit, prominence

CONFIG = ModelConfig(
    name="small",
    architecture="bert",
    hidden_size=48,
    layers=3,
    heads=4,
    intermediate_size=80,
    vocab_size=101,
    max_positions=40,
    dim=24,
    exits=(
        ExitConfig(0, "token_weighted", "linear"),
        ExitConfig(1, head="linear"),
        ExitConfig(3, head="linear"),
    ),
    index_exit=1,
    rerank_exit=3,
    max_tokens=40,
)


def token_batch(lengths: list[int], vocabulary: int) -> tuple[Tensor, Tensor]:
    ids = torch.randint(1, vocabulary, (len(lengths), max(lengths)))
    mask = torch.arange(max(lengths))[None, :] < torch.tensor(lengths)[:, None]
    return ids * mask, mask


def bert(model: MultiExitEncoder) -> Bert:
    assert isinstance(model.backbone, Bert)
    return model.backbone


def reference(model: torch.nn.Module, ids: Tensor, mask: Tensor) -> Tensor:
    """Masked mean of the last hidden states, normalised: the recipe of sentence-transformers."""
    with torch.inference_mode():
        hidden = model(input_ids=ids, attention_mask=mask.long()).last_hidden_state
    weights = mask[:, :, None].float()
    return F.normalize((hidden * weights).sum(1) / weights.sum(1), dim=1)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def test_a_random_bert_gives_the_vectors_of_transformers(tmp_path: Path) -> None:
    from transformers import BertConfig, BertModel

    torch.manual_seed(3)
    config = BertConfig(
        vocab_size=101,
        hidden_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=80,
        max_position_embeddings=40,
        initializer_range=0.2,
    )
    theirs = BertModel(config).train(False)
    (tmp_path / "config.json").write_text(json.dumps(config.to_dict()))
    save_file(
        {name: tensor.contiguous() for name, tensor in theirs.state_dict().items()},
        tmp_path / "model.safetensors",
    )
    (tmp_path / "sentence_bert_config.json").write_text('{"max_seq_length": 40}')
    ours = load_model(tmp_path)
    ids, mask = token_batch([1, 40, 7, 23, 2], 101)
    with torch.inference_mode():
        found = ours(ids, mask)
    assert list(found) == [3]
    assert (found[3] - reference(theirs, ids, mask)).abs().max() <= 1e-5


def test_the_packaged_minilm_gives_the_vectors_of_transformers() -> None:
    from transformers import BertModel

    folder = find_model("all-MiniLM-L6-v2")
    theirs = BertModel.from_pretrained(folder).train(False)
    ids, mask = token_batch([3, 96, 31], 30522)
    with torch.inference_mode():
        found = load_model(folder)(ids, mask)
    assert (found[6] - reference(theirs, ids, mask)).abs().max() <= 1e-5


def test_an_exit_has_the_same_vector_whichever_exits_are_asked_for() -> None:
    model = MultiExitEncoder(CONFIG).eval()
    ids, mask = token_batch([5, 9], 101)
    with torch.inference_mode():
        together = model(ids, mask)
        assert sorted(together) == [0, 1, 3]
        for layer, vectors in together.items():
            assert torch.equal(model(ids, mask, [layer])[layer], vectors)
            assert torch.allclose(vectors.norm(dim=1), torch.ones(2), atol=1e-6)


def test_the_pass_ends_at_the_deepest_exit_asked_for() -> None:
    model = MultiExitEncoder(CONFIG).eval()
    ran: list[int] = []
    for number, layer in enumerate(model.backbone.layers, start=1):
        layer.register_forward_hook(lambda *_, number=number: ran.append(number))
    model(*token_batch([4], 101), [0])
    assert ran == []
    model(*token_batch([4], 101), [0, 1])
    assert ran == [1]


def test_the_static_exit_is_the_softmax_weighted_mean_of_token_embeddings() -> None:
    model = MultiExitEncoder(CONFIG).eval()
    head = model.exits["0"]
    assert isinstance(head, Exit) and isinstance(head.token_logit, torch.Tensor)
    with torch.no_grad():
        head.token_logit.copy_(torch.randn(101))
    ids, mask = token_batch([6], 101)
    with torch.inference_mode():
        weights = head.token_logit[ids[0]].softmax(0)
        pooled = (bert(model).token.weight[ids[0]] * weights[:, None]).sum(0)
        expected = F.normalize(head.head(pooled), dim=0)
        assert torch.allclose(model(ids, mask, [0])[0][0], expected, atol=1e-6)


def test_a_mean_weighs_repeated_and_late_tokens_as_its_exit_says() -> None:
    found = prominence(
        torch.tensor([[7, 7, 5, 7], [5, 0, 0, 0]]), torch.tensor([[True] * 4, [True] + 3 * [False]]), 0.5, 2.0
    )
    by_place = torch.tensor([1, 2 / 3, 1 / 2, 2 / 5])
    sevens = by_place[[0, 1, 3]].sum()
    assert torch.allclose(found[0, [0, 1, 3]].sum(), sevens.sqrt())
    assert torch.allclose(found[0, 2], by_place[2].sqrt())
    assert found[1, 0] == 1
    assert found.isfinite().all()


def test_padding_does_not_count_in_a_mean_that_weighs_repeated_tokens() -> None:
    exits = (ExitConfig(0, "token_weighted", "linear", repeat=0.5, fade=8.0), *CONFIG.exits[1:])
    model = MultiExitEncoder(replace(CONFIG, exits=exits)).eval()
    ids, mask = token_batch([6, 9], 101)
    with torch.inference_mode():
        alone = model(ids[:1, :6], mask[:1, :6], [0])[0]
        assert torch.allclose(model(ids, mask, [0])[0][:1], alone, atol=1e-6)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"repeat": 1.5}, "repeat between 0 and 1"),
        ({"fade": -1.0}, "fade that is not negative"),
        ({"fade": "8"}, "no number"),
        ({"pooling": "last", "repeat": 0.5}, "reads its last token only"),
    ],
)
def test_an_impossible_mean_is_refused(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        replace(CONFIG, exits=(*CONFIG.exits[1:], ExitConfig(0, head="linear", **wrong)))  # type: ignore[arg-type]


def test_every_parameter_learns() -> None:
    model = MultiExitEncoder(CONFIG)
    found = model(*token_batch([5, 9, 2], 101))
    # A plain sum of unit vectors' entries depends on all parameters.
    total = torch.stack([vectors.sum() for vectors in found.values()]).sum()
    gradients = torch.autograd.grad(total, list(model.parameters()))
    idle = [
        name
        for (name, _), gradient in zip(model.named_parameters(), gradients, strict=True)
        if not gradient.any()
    ]
    assert idle == []


def test_a_saved_model_comes_back_as_float16_stored_it(tmp_path: Path) -> None:
    model = MultiExitEncoder(CONFIG).half().float().eval()
    save_model(model, tmp_path)
    again = load_model(tmp_path)
    assert again.config == CONFIG
    ids, mask = token_batch([5, 9], 101)
    with torch.inference_mode():
        for layer, vectors in model(ids, mask).items():
            assert torch.equal(again(ids, mask)[layer], vectors)


def test_int8_rows_are_multiplied_by_their_scale(tmp_path: Path) -> None:
    model = MultiExitEncoder(CONFIG).half().float().eval()
    save_model(model, tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    exact = tensors["backbone.token.weight"].float()
    scale = exact.abs().amax(1, keepdim=True) / 127
    tensors["backbone.token.weight"] = (exact / scale).round().to(torch.int8)
    tensors["backbone.token.weight.scale"] = scale
    save_file(tensors, tmp_path / "model.safetensors")
    stored = bert(load_model(tmp_path)).token.weight
    assert ((stored - exact).abs() <= scale / 2 + 1e-6).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.pop("backbone.norm.bias"), "missing backbone.norm.bias"),
        (lambda t: t.update(extra=torch.zeros(2)), "unknown extra"),
        (
            lambda t: t.update({"backbone.norm.bias": torch.zeros(9)}),
            r"backbone.norm.bias is \[9\] instead of \[48\]",
        ),
        (lambda t: t["backbone.norm.weight"].fill_(float("nan")), "backbone.norm.weight holds values"),
    ],
)
def test_wrong_tensors_are_named(tmp_path: Path, change, words: str) -> None:  # type: ignore[no-untyped-def]
    save_model(MultiExitEncoder(CONFIG), tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    change(tensors)
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match=words):
        load_model(tmp_path)


def test_cut_short_or_missing_weights_are_a_model_error(tmp_path: Path) -> None:
    save_model(MultiExitEncoder(CONFIG), tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ModelError, match="Cannot read the weights"):
        load_model(tmp_path)
    weights.unlink()
    with pytest.raises(ModelError, match="Cannot read the weights"):
        load_model(tmp_path)


def test_a_pickle_is_not_opened(tmp_path: Path) -> None:
    save_model(MultiExitEncoder(CONFIG), tmp_path)
    torch.save({}, tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match="Cannot read the weights"):
        load_model(tmp_path)


def test_identity_heads_need_equal_sizes() -> None:
    with pytest.raises(ModelError, match="dim must equal hidden_size"):
        replace(CONFIG, exits=(ExitConfig(1),))
