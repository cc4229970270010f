"""The StarCoder2 stack with full attention against `transformers`, and the savings it allows itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody knows it by
from torch import Tensor

from mosearch.encoder import ExitConfig, ModelConfig
from mosearch.errors import ModelError
from mosearch.mose import MultiExitEncoder
from mosearch.mose.model import Exit, last_token

VOCABULARY = 97


def configuration(
    hidden: int = 32, heads: int = 4, kv_heads: int = 2, pooling: str = "last", layers: int = 3
) -> ModelConfig:
    return ModelConfig(
        name="tiny",
        architecture="starcoder2",
        hidden_size=hidden,
        layers=layers,
        heads=heads,
        intermediate_size=3 * hidden,
        vocab_size=VOCABULARY,
        max_positions=64,
        dim=24,
        exits=tuple(
            ExitConfig(layer, pooling, "mlp", norm=layer == layers)  # type: ignore[arg-type]
            for layer in range(layers + 1)
        ),
        index_exit=1,
        rerank_exit=2,
        max_tokens=64,
        layer_norm_eps=1e-5,
        kv_heads=kv_heads,
        rope_theta=999999.4420358813,
    )


def random_model(config: ModelConfig, seed: int = 5) -> MultiExitEncoder:
    generator = torch.Generator().manual_seed(seed)
    model = MultiExitEncoder(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(0, 0.2, generator=generator)
            if "norm" in name and name.endswith("weight"):
                parameter.add_(1)
    return model


def token_batch(lengths: list[int], side: str = "right", seed: int = 3) -> tuple[Tensor, Tensor]:
    """Ids and mask with padding (id 0) on one side; the same tokens whatever the side."""
    longest = max(lengths)
    ids = torch.zeros(len(lengths), longest, dtype=torch.int64)
    mask = torch.zeros(len(lengths), longest, dtype=torch.bool)
    generator = torch.Generator().manual_seed(seed)
    for row, length in enumerate(lengths):
        place = slice(0, length) if side == "right" else slice(longest - length, longest)
        ids[row, place] = torch.randint(1, VOCABULARY, (length,), generator=generator)
        mask[row, place] = True
    return ids, mask


def reference_states(model: MultiExitEncoder, ids: Tensor, mask: Tensor) -> list[Tensor]:
    """`hidden_states` of transformers' layers, given an explicit mask [b, 1, t, t] without causality."""
    from transformers import Starcoder2Config
    from transformers.models.starcoder2 import modeling_starcoder2 as theirs

    ours = model.config
    config = Starcoder2Config(
        vocab_size=ours.vocab_size,
        hidden_size=ours.hidden_size,
        intermediate_size=ours.intermediate_size,
        num_hidden_layers=ours.layers,
        num_attention_heads=ours.heads,
        num_key_value_heads=ours.kv_heads,
        max_position_embeddings=ours.max_positions,
        rope_parameters={"rope_type": "default", "rope_theta": ours.rope_theta},
        norm_epsilon=ours.layer_norm_eps,
    )
    config._attn_implementation = "eager"
    stack = theirs.Starcoder2Model(config).train(False)
    stack.load_state_dict(model.backbone.state_dict())
    blocked = torch.zeros(mask.shape[0], 1, mask.shape[1], mask.shape[1])
    blocked.masked_fill_(~mask[:, None, None, :], torch.finfo(torch.float32).min)
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    with torch.inference_mode():
        states = [stack.embed_tokens(ids)]
        turned = stack.rotary_emb(states[0], positions)
        for layer in stack.layers:
            states.append(layer(states[-1], attention_mask=blocked, position_embeddings=turned))
        states[-1] = stack.norm(states[-1])
    return states


def head_of(model: MultiExitEncoder, layer: int) -> torch.nn.Module:
    found = model.exits[str(layer)]
    assert isinstance(found, Exit)
    return found.head


def by_the_book(head: Callable[[Tensor], Tensor], states: Tensor, mask: Tensor) -> Tensor:
    """Project every token, take the last valid one of each row, normalise."""
    projected = head(states)
    last = torch.stack([row[keep][-1] for row, keep in zip(projected, mask, strict=True)])
    return F.normalize(last, dim=1)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize(
    ("hidden", "heads", "kv_heads"), [(32, 4, 2), (32, 4, 1), (32, 4, 4), (48, 6, 2), (64, 2, 1), (24, 12, 3)]
)
@pytest.mark.parametrize("side", ["left", "right"])
def test_every_exit_equals_transformers_with_a_full_mask(
    hidden: int, heads: int, kv_heads: int, side: str
) -> None:
    model = random_model(configuration(hidden, heads, kv_heads))
    ids, mask = token_batch([1, 37, 8, 64, 23], side)
    states = reference_states(model, ids, mask)
    with torch.inference_mode():
        found = model(ids, mask)
        raw = model.backbone(ids, mask, range(4))
        for layer, vectors in found.items():
            assert (raw[layer] - states[layer])[mask].abs().max() <= 1e-5 * max(1, states[layer].abs().max())
            expected = by_the_book(head_of(model, layer), states[layer], mask)
            assert (vectors - expected).abs().max() <= 1e-5


def test_attention_is_not_causal() -> None:
    model = random_model(configuration())
    ids, mask = token_batch([9])
    changed = ids.clone()
    changed[0, -1] = ids[0, -1] % (VOCABULARY - 1) + 1
    with torch.inference_mode():
        before, after = (model.backbone(batch, mask, [1])[1] for batch in (ids, changed))
    assert ((before - after)[0, :-1].abs().amax(1) > 1e-3).all()


def test_mean_pooling_projects_every_token_first() -> None:
    model = random_model(configuration(pooling="mean"))
    ids, mask = token_batch([3, 12, 7])
    with torch.inference_mode():
        for layer, states in model.backbone(ids, mask, range(4)).items():
            projected = head_of(model, layer)(states)
            pooled = torch.stack([row[keep].mean(0) for row, keep in zip(projected, mask, strict=True)])
            expected = F.normalize(pooled, dim=1)
            assert (model(ids, mask, [layer])[layer] - expected).abs().max() <= 1e-6


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("layer", [0, 1, 2, 3])
def test_the_savings_change_nothing(layer: int, side: str) -> None:
    model = random_model(configuration())
    ids, mask = token_batch([5, 31, 1], side)
    with torch.inference_mode():
        full = by_the_book(head_of(model, layer), model.backbone(ids, mask, [layer])[layer], mask)
        assert (model(ids, mask, [layer])[layer] - full).abs().max() <= 1e-6


def test_the_last_layer_and_the_head_work_on_one_token_per_text() -> None:
    model = random_model(configuration())
    rows: dict[str, int] = {}
    for name in ("layers.0.mlp.c_fc", "layers.1.mlp.c_fc", "layers.1.self_attn.q_proj"):
        module = model.backbone.get_submodule(name)
        module.register_forward_hook(lambda _m, _i, out, name=name: rows.update({name: out[..., 0].numel()}))
    head_of(model, 2).register_forward_hook(lambda _m, _i, out: rows.update(head=out[..., 0].numel()))
    model(*token_batch([7, 7, 7]), [2])
    assert rows == {
        "layers.0.mlp.c_fc": 21,
        "layers.1.mlp.c_fc": 3,
        "layers.1.self_attn.q_proj": 3,
        "head": 3,
    }


@pytest.mark.parametrize(("dtype", "limit"), [(torch.float32, 1e-6), (torch.bfloat16, 2e-3)])
def test_neighbours_padding_and_order_change_no_vector(dtype: torch.dtype, limit: float) -> None:
    model = random_model(configuration(hidden=64))
    model.backbone.to(dtype)
    lengths = [13, 64, 1, 30, 2]
    ids, mask = token_batch(lengths)
    left_ids, left_mask = token_batch(lengths, "left")
    order = [3, 0, 4, 2, 1]
    with torch.inference_mode():
        together = model(ids, mask)
        others = [model(left_ids, left_mask), model(ids[order], mask[order])]
        alone = [model(ids[row : row + 1, :n], mask[row : row + 1, :n]) for row, n in enumerate(lengths)]
        for layer, vectors in together.items():
            single = torch.cat([found[layer] for found in alone])
            for other in (others[0][layer], others[1][layer][torch.tensor(order).argsort()], single):
                if dtype == torch.float32:
                    assert (vectors - other).abs().max() <= limit
                assert (1 - (vectors * other).sum(1)).max() <= limit


def test_bfloat16_stays_close_to_float32() -> None:
    model = random_model(configuration(hidden=64))
    ids, mask = token_batch([13, 64, 1, 30, 2])
    with torch.inference_mode():
        exact = model(ids, mask)
        model.backbone.to(torch.bfloat16)
        for layer, vectors in model(ids, mask).items():
            assert (1 - (vectors * exact[layer]).sum(1)).max() <= 2e-3


def test_exits_agree_whichever_are_asked_for_together() -> None:
    model = random_model(configuration())
    ids, mask = token_batch([5, 9])
    with torch.inference_mode():
        for layer, vectors in model(ids, mask).items():
            assert (model(ids, mask, [layer])[layer] - vectors).abs().max() <= 1e-6


def test_nothing_is_computed_for_padding_but_attention() -> None:
    model = random_model(configuration())
    rows: dict[str, int] = {}
    for name in ("layers.0.mlp.c_fc", "layers.0.self_attn.k_proj", "layers.1.self_attn.v_proj"):
        module = model.backbone.get_submodule(name)
        module.register_forward_hook(lambda _m, _i, out, name=name: rows.update({name: out[..., 0].numel()}))
    model(*token_batch([3, 60, 7]), [2])
    assert set(rows.values()) == {70}


def test_a_shallower_model_is_the_same_model_cut_off() -> None:
    whole = random_model(configuration())
    part = MultiExitEncoder(whole.config.up_to(2)).eval()
    names = part.state_dict().keys()
    part.load_state_dict({name: t for name, t in whole.state_dict().items() if name in names})
    ids, mask = token_batch([5, 9])
    with torch.inference_mode():
        for layer, vectors in part(ids, mask).items():
            assert torch.equal(vectors, whole(ids, mask, [0, 1, 2])[layer])


def test_the_last_token_is_found_wherever_the_padding_is() -> None:
    mask = torch.tensor([[1, 1, 0, 0], [0, 0, 1, 1], [1, 1, 1, 1], [0, 1, 0, 0]]).bool()
    assert last_token(mask).tolist() == [1, 3, 3, 1]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kv_heads": 3}, "multiple of kv_heads"),
        ({"heads": 32, "kv_heads": 32}, "even number of dimensions"),
        ({"rope_theta": 0.0}, "rope_theta must be positive"),
        ({"head_activation": "swish"}, "head_activation 'swish' is unknown"),
        ({"architecture": "bert"}, "as many kv_heads as heads"),
        ({"architecture": "bert", "kv_heads": 0}, "no final norm"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        replace(configuration(), **changes)  # type: ignore[arg-type]
