"""Texts without padding: the same vectors as with it, whatever computes attention."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody knows it by
from torch import Tensor

from mosearch.encoder import ExitConfig, ModelConfig
from mosearch.mose import MultiExitEncoder, starcoder2
from mosearch.mose.inference import padded
from mosearch.mose.packed import Packed, agrees_with_plain, attend_within, gelu_is_fused, varlen_kernel

CPU = torch.device("cpu")
ROWS = [[5, 6, 7], [8], list(range(1, 40)), [9, 10], list(range(20, 60))]


def kernel(
    query: Tensor, key: Tensor, value: Tensor, ends: Tensor, bounds: Tensor, longest_q: int, longest: int
) -> Tensor:
    """By its contract what torch's CUDA kernel does, one text after the other."""
    assert ends.dtype == bounds.dtype == torch.int32
    assert int(ends.diff().max()) == longest_q and int(bounds.diff().max()) == longest
    assert int(ends[-1]) == len(query) and int(bounds[-1]) == len(key) == len(value)
    assert query.shape[1:] == key.shape[1:], "the kernel shares no heads"
    parts = []
    for text in range(len(bounds) - 1):
        q, k = slice(ends[text], ends[text + 1]), slice(bounds[text], bounds[text + 1])
        rows = (x.transpose(0, 1) for x in (query[q], key[k], value[k]))
        mixed = F.scaled_dot_product_attention(*rows)  # type: ignore[arg-type]
        parts.append(mixed.transpose(0, 1))
    return torch.cat(parts)


def wrong(*arguments: object) -> Tensor:
    return kernel(*arguments) * 1.1  # type: ignore[arg-type]


def missing(*_: object) -> Tensor:
    raise NotImplementedError("not for this device")


def random_model(heads: int, kv_heads: int) -> MultiExitEncoder:
    config = ModelConfig(
        name="tiny",
        architecture="starcoder2",
        hidden_size=32,
        layers=3,
        heads=heads,
        intermediate_size=96,
        vocab_size=97,
        max_positions=64,
        dim=24,
        exits=tuple(ExitConfig(layer, "last", "mlp", norm=layer == 3) for layer in range(4)),
        index_exit=1,
        rerank_exit=2,
        max_tokens=64,
        kv_heads=kv_heads,
    )
    torch.manual_seed(4)
    model = MultiExitEncoder(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.2)
    return model


@pytest.mark.parametrize(("heads", "kv_heads"), [(4, 2), (4, 4), (8, 1)])
@pytest.mark.parametrize("by", [None, kernel], ids=["padded attention", "attention without padding"])
@pytest.mark.parametrize("exits", [(1,), (0, 2, 3)])
def test_packed_vectors_are_those_of_a_padded_batch(
    heads: int, kv_heads: int, by: object, exits: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starcoder2, "varlen_kernel", lambda *_: by)
    model = random_model(heads, kv_heads)
    assert model.can_pack(exits)
    for rows in (ROWS, ROWS[1:2], [ROWS[0], ROWS[0]]):
        expected = model(*padded(rows), exits)
        found = model.packed(Packed.of(rows, CPU), exits)
        for layer in exits:
            assert found[layer].shape == (len(rows), 24)
            assert (found[layer] - expected[layer]).abs().max() <= 1e-6


def test_the_mean_over_tokens_cannot_be_packed() -> None:
    config = random_model(4, 2).config
    mean = replace(config, exits=(ExitConfig(1, "mean", "mlp"), *config.exits[2:]))
    model = MultiExitEncoder(mean)
    assert not model.can_pack((1, 2)) and model.can_pack((2,))


def test_texts_are_described_without_asking_the_device() -> None:
    packed = Packed.of(ROWS[:3], CPU)
    assert packed.ids.tolist() == [5, 6, 7, 8, *range(1, 40)]
    assert packed.positions.tolist() == [0, 1, 2, 0, *range(39)]
    assert packed.bounds.tolist() == [0, 3, 4, 43]
    assert packed.last.tolist() == [2, 3, 42]
    assert packed.lengths == (3, 1, 39)


def test_attention_stays_within_a_text() -> None:
    torch.manual_seed(1)
    query, (key, value) = torch.randn(6, 4, 8), torch.randn(2, 6, 2, 8)
    bounds = torch.tensor([0, 2, 6], dtype=torch.int32)
    before = attend_within(kernel, query, key, value, bounds, 4)
    value[3] += 1
    after = attend_within(kernel, query, key, value, bounds, 4)
    assert torch.equal(before[:2], after[:2]) and not torch.allclose(before[2:], after[2:])


def test_only_a_kernel_that_gives_what_it_should_is_used() -> None:
    assert agrees_with_plain(kernel, CPU, torch.float32)
    assert not agrees_with_plain(wrong, CPU, torch.float32)
    assert not agrees_with_plain(missing, CPU, torch.float32)
    assert varlen_kernel(CPU, torch.bfloat16) is None
    assert not gelu_is_fused(CPU, torch.bfloat16)


def test_a_pass_can_be_interrupted_within_a_layer() -> None:
    model = random_model(4, 2)
    pauses = 0

    def pause() -> None:
        nonlocal pauses
        pauses += 1
        if pauses == 3:
            raise InterruptedError

    long = Packed.of([[7] * 300], CPU)
    with pytest.raises(InterruptedError):
        model.packed(long, (3,), pause)
    assert pauses == 3
    assert model.packed(long, (3,))[3].isfinite().all()
