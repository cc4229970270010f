"""Texts to vectors in one process: order, batches, awkward texts, tokens."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from mosearch.encoder import model_info
from mosearch.encoder.models import load_config
from mosearch.encoder.tokens import TextTokenizer, split_identifiers
from mosearch.errors import CancelledError, ModelError, UsageError
from mosearch.mose import Encoder, load
from mosearch.mose.inference import Batch
from mosearch.text import split_identifier

TEXTS = [
    "",
    "x",
    "def parse(text):\n    return json.loads(text)\n" * 9,
    "def readFile(path): return open(path).read()",
    "日本語 naïve \ud800 \x00",
    "x" * 300_000,
]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def encoder(tiny_model: Path) -> Encoder:
    return load(tiny_model, "cpu", torch.float32)


def cosines(a: NDArray[np.float16], b: NDArray[np.float16]) -> NDArray[np.float64]:
    x, y = a.astype(np.float64), b.astype(np.float64)
    found: NDArray[np.float64] = (x * y).sum(1) / np.linalg.norm(x, axis=1) / np.linalg.norm(y, axis=1)
    return found


def test_rows_are_unit_float16_in_the_order_of_the_texts(encoder: Encoder) -> None:
    found = encoder.encode(TEXTS)
    assert sorted(found) == [0, 1, 2]
    for layer, vectors in found.items():
        assert vectors.dtype == np.float16
        assert vectors.shape == (len(TEXTS), 32)
        assert np.allclose(np.linalg.norm(vectors.astype(np.float32), axis=1), 1, atol=2e-3)
        alone = np.concatenate([encoder.encode([text], exits=[layer])[layer] for text in TEXTS])
        assert np.array_equal(vectors, alone) or (1 - cosines(vectors, alone)).max() < 1e-6


def test_bfloat16_vectors_hardly_depend_on_the_batch_and_agree_with_float32(
    tiny_model: Path, encoder: Encoder
) -> None:
    half = load(tiny_model, "cpu", torch.bfloat16)
    together = half.encode(TEXTS)
    exact = encoder.encode(TEXTS)
    for layer in half.exits:
        alone = np.concatenate([half.encode([text], exits=[layer])[layer] for text in TEXTS])
        assert (1 - cosines(together[layer], alone)).max() <= 1e-3
        assert (1 - cosines(together[layer], exact[layer])).max() <= 1e-3


def test_what_load_says_is_what_is_known_without_loading(tiny_model: Path, encoder: Encoder) -> None:
    assert encoder.info == model_info(tiny_model)
    assert (encoder.exits, encoder.dim) == ((0, 1, 2), 32)
    assert encoder.fingerprint == load(tiny_model, "cpu", torch.bfloat16).fingerprint


def test_no_texts_give_no_rows(encoder: Encoder) -> None:
    assert {layer: v.shape for layer, v in encoder.encode([]).items()} == {0: (0, 32), 1: (0, 32), 2: (0, 32)}


def test_a_batch_that_does_not_fit_into_memory_is_halved(encoder: Encoder) -> None:
    batch = Batch(tuple(range(7)), tuple([2, n + 5, 3] for n in range(7)))
    expected = encoder.run(batch, (1, 2))
    sizes: list[int] = []

    def memory_for_two(_module: torch.nn.Module, arguments: tuple[torch.Tensor, ...]) -> None:
        sizes.append(len(arguments[0]))
        if len(arguments[0]) > 2:
            raise torch.OutOfMemoryError("out of memory")

    encoder._model.register_forward_pre_hook(memory_for_two)
    found = encoder.run(batch, (1, 2))
    assert sizes == [7, 3, 1, 2, 4, 2, 2]
    for layer, vectors in expected.items():
        assert (1 - cosines(found[layer], vectors)).max() < 1e-6


def test_a_text_that_does_not_fit_into_memory_alone_fails(encoder: Encoder) -> None:
    def no_memory(*_: object) -> None:
        raise torch.OutOfMemoryError("out of memory")

    encoder._model.register_forward_pre_hook(no_memory)
    with pytest.raises(torch.OutOfMemoryError):
        encoder.run(Batch((0,), ([2, 3],)), (1,))


def test_others_come_in_between_layers_and_may_end_a_pass(encoder: Encoder) -> None:
    batch = Batch((0, 1), ([2, 5, 9, 3], [2, 7, 3]))
    between = Batch((0,), ([2, 8, 3],))
    pauses: list[NDArray[np.float16]] = []
    alone, alone_between = encoder.run(batch, (1, 2)), encoder.run(between, (2,))[2]

    def pause() -> None:
        pauses.append(encoder.run(between, (2,))[2])

    found = encoder.run(batch, (1, 2), pause)
    assert len(pauses) == 1  # a tiny model has two layers
    assert np.array_equal(pauses[0], alone_between)
    assert all(np.array_equal(found[exit], alone[exit]) for exit in (1, 2))

    def leave() -> None:
        raise CancelledError("The client left.")

    with pytest.raises(CancelledError):
        encoder.run(batch, (2,), leave)
    assert np.array_equal(encoder.run(batch, (2,))[2], alone[2])


def test_an_unknown_exit_is_refused(encoder: Encoder) -> None:
    with pytest.raises(UsageError, match=r"no exits \[5\]"):
        encoder.encode(["x"], exits=[1, 5])


def test_an_unknown_device_is_refused(tiny_model: Path) -> None:
    with pytest.raises(ModelError, match="Choose auto or cpu"):
        load(tiny_model, "abacus")


def test_batches_hold_each_text_once_within_the_limit(encoder: Encoder) -> None:
    batches = list(encoder.batches(TEXTS * 5, "code", None, 100))
    assert sorted(row for batch in batches for row in batch.rows) == list(range(len(TEXTS) * 5))
    for batch in batches:
        assert len(batch.rows) == 1 or len(batch.rows) * max(map(len, batch.ids)) <= 100


def test_truncation_keeps_the_special_tokens(tiny_model: Path) -> None:
    tokenizer = TextTokenizer(tiny_model, load_config(tiny_model))
    long, empty = tokenizer(["word " * 500, ""], "code")
    assert len(long) == 64
    assert (long[0], long[-1]) == (2, 3)
    assert empty == [2, 3]


def test_a_damaged_tokeniser_is_a_model_error(tmp_path: Path, tiny_model: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(ModelError, match=r"tokenizer\.json"):
        TextTokenizer(tmp_path, load_config(tiny_model))


def test_names_are_split_where_a_reader_would() -> None:
    assert split_identifiers("x = getHTTPResponse_v2(__init__)") == "x = get HTTP Response v 2( init )"


AWKWARD = [
    "x[MASK]y",
    "[CLS]",
    "a\x00b",
    "a\x0bb",
    "a\x7fb",
    "x" * 101,
    "get_HTTPResponse2(_a_, __b__)",
    "ÀB c",
    "",
]
CODE = st.lists(
    st.sampled_from(
        [*AWKWARD, " ", "\n", "\t", "def ", "selfIs", "_", "12ab", "->", '"', "é", "ß", "日", "[", "MASK]"]
    )
    | st.text(st.characters(max_codepoint=127), max_size=6)
).map("".join)


@given(st.lists(CODE, max_size=4))
def test_looked_up_words_have_the_ids_that_the_library_gives(tiny_model: Path, texts: list[str]) -> None:
    tokenizer = TextTokenizer(tiny_model, load_config(tiny_model))
    assert tokenizer._words is not None
    found = tokenizer(texts, "code")
    tokenizer._words = None
    assert found == tokenizer(texts, "code")


def test_words_are_remembered_up_to_a_limit(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = TextTokenizer(tiny_model, load_config(tiny_model))
    monkeypatch.setattr("mosearch.encoder.words._MAX_WORDS", 10)
    table = tokenizer._words
    assert table is not None
    for number in range(100):
        tokenizer([f"name{number} " + "long" * 100], "code")
        assert len(table._ids) <= 10
    assert all(len(word) <= 64 for word in table._ids)


@given(st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,30}", fullmatch=True))
def test_the_encoder_and_the_word_search_split_names_alike(name: str) -> None:
    assert split_identifiers(name).split() == split_identifier(name)
