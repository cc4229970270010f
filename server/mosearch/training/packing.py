"""The token file: all pairs of a training run, tokenised, in one safetensors file.

Tensors: `tokens` uint16 [sum of lengths], `offsets` int64 [texts + 1], `pairs` int32 [pairs, 2] (rows of
texts, left and right), `kinds` and `languages` uint8 [pairs] (places in the lists of the metadata).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from mosearch.encoder.tokens import TextTokenizer
from mosearch.errors import UsageError
from mosearch.training.pairs import KINDS, Pair


@dataclass(frozen=True, slots=True)
class Pack:
    tokens: NDArray[np.uint16]
    offsets: NDArray[np.int64]
    pairs: NDArray[np.int32]
    kinds: NDArray[np.uint8]
    languages: NDArray[np.uint8]
    language_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.pairs)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens per text."""
        return np.diff(self.offsets)

    def text(self, row: int) -> NDArray[np.uint16]:
        return self.tokens[self.offsets[row] : self.offsets[row + 1]]

    def is_code_pair(self) -> NDArray[np.bool_]:
        """Per pair, whether its left side is code too."""
        return self.kinds >= KINDS.index("code")


def pack(pairs: Sequence[Pair], tokenizer: TextTokenizer, text_tokens: int, code_tokens: int) -> Pack:
    """Tokenise both sides.  A text that occurs twice is stored twice: that is rare, and simple."""
    names = tuple(sorted({pair.language for pair in pairs}))
    ids: list[list[int]] = []
    for pair in pairs:
        left_is_code = pair.kind in ("code", "cross")
        (left,) = tokenizer([pair.left], "code" if left_is_code else "query")
        (right,) = tokenizer([pair.right], "code")
        ids += [_cut(left, code_tokens if left_is_code else text_tokens), _cut(right, code_tokens)]
    lengths = np.fromiter(map(len, ids), np.int64, len(ids))
    tokens = np.fromiter((token for text in ids for token in text), np.uint16, int(lengths.sum()))
    return Pack(
        tokens,
        np.concatenate(([0], np.cumsum(lengths))).astype(np.int64),
        np.arange(len(ids), dtype=np.int32).reshape(-1, 2),
        np.array([KINDS.index(pair.kind) for pair in pairs], np.uint8),
        np.array([names.index(pair.language) for pair in pairs], np.uint8),
        names,
    )


def _cut(ids: list[int], limit: int) -> list[int]:
    """At most `limit` tokens, the last one (the separator) kept."""
    return ids if len(ids) <= limit else [*ids[: limit - 1], ids[-1]]


def write_pack(packed: Pack, file: Path, notes: dict[str, object]) -> None:
    """Save with `notes` (counts, settings) as metadata."""
    tensors = {name: getattr(packed, name) for name in ("tokens", "offsets", "pairs", "kinds", "languages")}
    metadata = {"languages": json.dumps(packed.language_names), "notes": json.dumps(notes)}
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, file, metadata)


def read_pack(file: Path) -> tuple[Pack, dict[str, object]]:
    """The pack and its notes.  Raises UsageError when the file is absent or of another kind."""
    try:
        with safe_open(file, "numpy") as stored:
            metadata = stored.metadata()
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 - no mapping
        return Pack(**tensors, language_names=tuple(json.loads(metadata["languages"]))), json.loads(
            metadata["notes"]
        )
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{file} is no token file: {error}; make one with the pack command") from error


def padded(packed: Pack, rows: Iterable[int]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Token ids [n, longest] and mask of some texts."""
    texts = [packed.text(row) for row in rows]
    longest = max(map(len, texts))
    ids = np.zeros((len(texts), longest), np.int64)
    mask = np.zeros((len(texts), longest), np.bool_)
    for number, text in enumerate(texts):
        ids[number, : len(text)] = text
        mask[number, : len(text)] = True
    return ids, mask


def parts_of_like_length(
    packed: Pack, rows: Sequence[int] | NDArray[np.int64], size: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]]:
    """Some texts, shortest first, at most `size` at once, so that little is padded.

    Each part has the places in `rows` of its texts [n], their token ids [n, longest] and mask.
    """
    rows = np.asarray(rows, np.int64)
    order = np.argsort(packed.lengths[rows], kind="stable")
    for start in range(0, len(order), size):
        places = order[start : start + size]
        yield places, *padded(packed, rows[places].tolist())


def joined(first: Pack, second: Pack) -> Pack:
    """All texts and pairs of the first, then those of the second."""
    names = tuple(sorted({*first.language_names, *second.language_names}))
    places = [
        np.array([names.index(name) for name in part.language_names], np.uint8)[part.languages]
        for part in (first, second)
    ]
    return Pack(
        np.concatenate([first.tokens, second.tokens]),
        np.concatenate([first.offsets, first.offsets[-1] + second.offsets[1:]]),
        np.concatenate([first.pairs, second.pairs + np.int32(len(first.lengths))]),
        np.concatenate([first.kinds, second.kinds]),
        np.concatenate(places),
        names,
    )
