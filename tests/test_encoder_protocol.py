"""Frames: what goes in comes out, and anything else is refused."""

from __future__ import annotations

import io
import struct
from contextlib import suppress

import msgpack  # type: ignore[import-untyped]
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mosearch.encoder.protocol import (
    MAX_FRAME_BYTES,
    Encode,
    Failure,
    Hello,
    HostStatus,
    Message,
    StatusQuestion,
    Vectors,
    Welcome,
    pack,
    read_message,
    unpack,
)
from mosearch.errors import ProtocolError
from mosearch.types import Priority

TEXT = st.text(max_size=40)
NUMBER = st.integers(0, 2**31)


@st.composite
def encodes(draw: st.DrawFn) -> Encode:
    texts = draw(st.lists(TEXT, max_size=5))
    languages = draw(st.none() | st.lists(TEXT, min_size=len(texts), max_size=len(texts)))
    return Encode(
        draw(NUMBER),
        texts,
        draw(st.sampled_from(["code", "query"])),
        draw(st.lists(st.integers(0, 40), min_size=1, max_size=5, unique=True)),
        int(draw(st.sampled_from(Priority))),
        languages,
    )


@st.composite
def vectors(draw: st.DrawFn) -> Vectors:
    rows, dim = draw(st.integers(0, 4)), draw(st.integers(1, 8))
    arrays = {
        layer: np.arange(rows * dim, dtype=np.float16).reshape(rows, dim) + layer
        for layer in draw(st.sets(st.integers(0, 9), max_size=3))
    }
    return Vectors.of(draw(NUMBER), dim, arrays, draw(TEXT), draw(TEXT))


MESSAGES = st.one_of(
    st.builds(Hello, NUMBER, TEXT, st.floats(0, 1e9)),
    st.builds(Welcome, NUMBER, TEXT, TEXT, TEXT, NUMBER),
    encodes(),
    vectors(),
    st.builds(Failure, st.none() | NUMBER, TEXT, TEXT),
    st.just(StatusQuestion()),
    st.builds(
        HostStatus,
        NUMBER,
        NUMBER,
        st.floats(0, 1e6),
        NUMBER,
        NUMBER,
        st.dictionaries(st.integers(0, 4), NUMBER),
        TEXT,
        TEXT,
        NUMBER,
        TEXT,
    ),
)


def read_all(data: bytes) -> list[Message]:
    stream = io.BytesIO(data)
    return list(iter(lambda: read_message(stream.read), None))


@given(st.lists(MESSAGES, max_size=4))
def test_messages_come_back_as_they_went(messages: list[Message]) -> None:
    assert read_all(b"".join(map(pack, messages))) == messages


@given(MESSAGES, st.data())
def test_a_frame_that_is_cut_short_is_refused(message: Message, data: st.DataObject) -> None:
    frame = pack(message)
    with pytest.raises(ProtocolError):
        read_all(frame[: data.draw(st.integers(1, len(frame) - 1))])


@given(MESSAGES, st.data())
def test_a_changed_byte_gives_a_message_or_a_protocol_error(message: Message, data: st.DataObject) -> None:
    body = bytearray(pack(message)[4:])
    body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    with suppress(ProtocolError):
        unpack(bytes(body))


@given(st.binary(max_size=200))
def test_noise_is_never_anything_but_a_protocol_error(noise: bytes) -> None:
    with pytest.raises(ProtocolError):
        unpack(noise)


def test_the_announced_size_is_checked_before_anything_is_read() -> None:
    asked: list[int] = []

    def read(size: int) -> bytes:
        asked.append(size)
        return struct.pack(">I", MAX_FRAME_BYTES + 1)

    with pytest.raises(ProtocolError, match="announces"):
        read_message(read)
    assert asked == [4]


def test_a_message_too_large_for_a_frame_is_not_packed() -> None:
    with pytest.raises(ProtocolError, match="exceeds"):
        pack(Failure(None, "x", "y" * MAX_FRAME_BYTES))


def test_vectors_keep_every_bit() -> None:
    array = np.random.default_rng(1).standard_normal((7, 5)).astype(np.float16)
    answer = unpack(pack(Vectors.of(3, 5, {2: array}))[4:])
    assert isinstance(answer, Vectors)
    assert np.array_equal(answer.arrays()[2], array)


def test_lone_surrogates_become_question_marks() -> None:
    answer = unpack(pack(Encode(1, ["a\ud800b"], "code", [1], 0))[4:])
    assert isinstance(answer, Encode)
    assert answer.texts == ["a?b"]


@pytest.mark.parametrize(
    "body",
    [
        {"op": "encode", "id": 1, "texts": ["x"], "kind": "prose", "exits": [1], "priority": 0},
        {"op": "encode", "id": 1, "texts": ["x"], "kind": "code", "exits": [], "priority": 0},
        {"op": "encode", "id": 1, "texts": ["x"], "kind": "code", "exits": [1, 1], "priority": 0},
        {"op": "encode", "id": 1, "texts": ["x"], "kind": "code", "exits": [1], "priority": 9},
        {"op": "encode", "id": 1, "texts": [b"x"], "kind": "code", "exits": [1], "priority": 0},
        {
            "op": "encode",
            "id": 1,
            "texts": ["x"],
            "kind": "code",
            "exits": [1],
            "priority": 0,
            "languages": [],
        },
        {"op": "vectors", "id": 1, "rows": 2, "dim": 2, "data": {1: b"1234567"}},
        {"op": "hello", "version": "1", "token": "t"},
        {"op": "status?", "extra": 1},
        {"op": "eval"},
        {"op": ["encode"]},
        {"op": msgpack.ExtType(1, b"x")},
        [1, 2],
        None,
    ],
)
def test_ill_formed_messages_are_refused(body: object) -> None:
    with pytest.raises(ProtocolError):
        unpack(msgpack.packb(body))
