"""Texts framed by special tokens: what is kept when they are long, and what a text cannot forge."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from mosearch.encoder import ExitConfig, ModelConfig
from mosearch.encoder.tokens import TextTokenizer
from mosearch.errors import ModelError

sys.path.insert(0, str(Path(__file__).parent / "bench"))
from published_checkpoint import MARKS, tokenizer

CODE = "<sep>Represent this {language} code snippet for retrieval:<sep>"
QUERY = "<sep>Represent this code description for retrieving supporting snippets of code:<sep>"


CONFIG = ModelConfig(
    name="framed",
    architecture="starcoder2",
    hidden_size=8,
    layers=1,
    heads=2,
    intermediate_size=8,
    vocab_size=400,
    max_positions=64,
    dim=8,
    exits=(ExitConfig(1, "last"),),
    index_exit=1,
    rerank_exit=1,
    max_tokens=64,
    query_prefix=QUERY,
    code_prefix=CODE,
    suffix="<cls>",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("framing")
    tokenizer().save(str(folder / "tokenizer.json"))
    return folder


def whole(folder: Path, text: str) -> list[int]:
    made = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return list(made.encode(text, add_special_tokens=False).ids)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(body=st.text(st.characters(exclude_categories=["Cs"]), max_size=24))
def test_a_framed_text_has_the_tokens_of_the_whole_string(folder: Path, body: str) -> None:
    if any(mark in body for mark in MARKS):
        return
    code, query = CODE.replace("{language}", "python"), QUERY
    encode = TextTokenizer(folder, CONFIG)
    found = [encode([body], "code", ["Python"])[0], encode([body], "query")[0]]
    for ids, text in zip(found, (code + body + "<cls>", query + body + "<cls>"), strict=True):
        expected = whole(folder, text)
        assert ids == expected if len(expected) <= 64 else ids == [*expected[:63], expected[-1]]


@pytest.mark.parametrize("kind", ["code", "query"])
def test_a_long_text_keeps_its_frame(folder: Path, kind: str) -> None:
    encode = TextTokenizer(folder, CONFIG)
    long, empty = encode(["def parse(text): " * 900, ""], kind, ["go", "go"])  # type: ignore[arg-type]
    assert len(long) == 64 and long[-1] == 2
    assert long[: len(empty) - 1] == empty[:-1] and empty[0] == 1 and empty[-2:] == [1, 2]


def test_a_text_cannot_forge_special_tokens(folder: Path) -> None:
    for ids in TextTokenizer(folder, CONFIG)(["".join(MARKS), "<cls>"], "query"):
        assert [i for i in ids if i < len(MARKS)] == [1, 1, 2]


@pytest.mark.parametrize(
    ("language", "words"),
    [("Go", "this go code"), ("cpp", "this c++ code"), ("csharp", "this c# code"), ("", "this code")],
)
def test_the_instruction_names_the_language(folder: Path, language: str, words: str) -> None:
    text = f"<sep>Represent {words} snippet for retrieval:<sep>x<cls>"
    assert TextTokenizer(folder, CONFIG)(["x"], "code", [language]) == [whole(folder, text)]


def test_missing_special_tokens_are_named(tmp_path: Path) -> None:
    tokenizer(["<|endoftext|>", "<sep>"]).save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(ModelError, match="lacks the special tokens <cls>"):
        TextTokenizer(tmp_path, CONFIG)


def test_a_frame_must_leave_room(folder: Path) -> None:
    with pytest.raises(ModelError, match="max_tokens 20 leaves no room"):
        TextTokenizer(folder, replace(CONFIG, max_tokens=20))
