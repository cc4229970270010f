"""Keeping the development sets out of the training data."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from mosearch.training.filters import fingerprint, near_key, normalised

_PYTHON_DOCSTRING = re.compile(r"[rRuU]?(\"\"\"|''').*?\1", re.DOTALL)


def forbidden_keys(folder: Path) -> set[int]:
    """Keys of all functions in the data sets' `corpus.jsonl` files below `folder`."""
    return {key for code in _codes(folder) for text in _forms(code) for key in keys(text)}


def forbidden_texts(folder: Path) -> set[str]:
    """The queries of the data sets' `queries*.jsonl` files below `folder`, in lower case and normalised."""
    return {
        normalised(json.loads(line)["text"].lower())
        for file in sorted(folder.glob("*/queries*.jsonl"))
        for line in file.read_text(encoding="utf-8").splitlines()
    }


def keys(code: str) -> tuple[int, ...]:
    """What two copies of a function share: the exact normalised text, and the near-duplicate key."""
    return fingerprint(code), near_key(code)


def leaks(code: str, full: str, forbidden: set[int]) -> bool:
    """Whether a function, with or without its documentation, is a copy of a forbidden one."""
    return any(key in forbidden for text in (code, full, *_forms(full)) for key in keys(text))


def _forms(code: str) -> Iterable[str]:
    return (code, _PYTHON_DOCSTRING.sub("", code))


def _codes(folder: Path) -> Iterator[str]:
    for file in sorted(folder.glob("*/corpus.jsonl")):
        for line in file.read_text(encoding="utf-8").splitlines():
            yield json.loads(line)["code"]
