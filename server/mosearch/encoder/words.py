"""A shortcut for lower-casing WordPiece tokenisers, in which a word's ids depend on nothing around it.

The ids of the names and marks of ASCII texts are looked up instead of worked out: several times as fast,
and exactly what the tokenizers library gives, which does all that is not looked up.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from itertools import chain
from typing import Any

from tokenizers import Tokenizer

_WORD = re.compile(r"\w+|[^\w\s]", re.ASCII)
_MAX_WORDS = 1 << 16
_MAX_WORD = 64
"""Characters of a word that is remembered; with `_MAX_WORDS`, some 20 MB at the very most."""
# Removed by the normaliser, so that what is on either side becomes one word, or spaces by one rule only.
_ODD = re.compile(r"[\x00-\x08\x0b-\x0c\x0e-\x1f\x7f]")


class WordTable:
    """Token ids of whole texts, by word.  For several threads at once."""

    def __init__(self, tokenizer: Tokenizer, prepare: Callable[[str], str]) -> None:
        """`prepare` is applied to each word; what it does must not depend on the word's surroundings.

        Use it only for a tokeniser that `applies_to` accepts.
        """
        self._ids = _Remembered(tokenizer, prepare)
        self._marks = tuple(mark.content for mark in tokenizer.get_added_tokens_decoder().values())
        first, last = tokenizer.encode("").ids
        self._first, self._last = [first], [last]

    def find(self, text: str, limit: int) -> list[int] | None:
        """At most `limit` ids, those before and after the text included; None: ask the library."""
        if not text.isascii() or _ODD.search(text) or any(mark in text for mark in self._marks):
            return None
        ids = list(chain.from_iterable(map(self._ids.__getitem__, _WORD.findall(text))))
        return self._first + ids[: limit - 2] + self._last


class _Remembered(dict[str, list[int]]):
    """Word → ids.  Forgets all when it is full: the words of one code base come back at once."""

    def __init__(self, tokenizer: Tokenizer, prepare: Callable[[str], str]) -> None:
        super().__init__()
        self._tokenizer = tokenizer
        self._prepare = prepare

    def __missing__(self, word: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(self._prepare(word), add_special_tokens=False).ids
        if len(word) <= _MAX_WORD:
            if len(self) >= _MAX_WORDS:
                self.clear()
            self[word] = ids
        return ids


def applies_to(tokenizer: Tokenizer) -> bool:
    """Whether it is BERT's, lower-casing, with one token before and one after a text."""
    made: dict[str, Any] = json.loads(tokenizer.to_str())
    normalizer, framing = made["normalizer"] or {}, made["post_processor"] or {}
    return (
        made["model"].get("type") == "WordPiece"
        and normalizer.get("type") == "BertNormalizer"
        and bool(normalizer.get("lowercase") and normalizer.get("clean_text"))
        and (made["pre_tokenizer"] or {}).get("type") == "BertPreTokenizer"
        and framing.get("type") in ("TemplateProcessing", "BertProcessing")
        and len(tokenizer.encode("").ids) == 2
    )
