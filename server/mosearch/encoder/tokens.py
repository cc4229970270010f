"""From text to token ids.  Any change to what this module returns raises `TEXT_VERSION`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer

from mosearch.encoder.config import CHARACTERS_PER_TOKEN, ModelConfig
from mosearch.encoder.models import TOKENIZER_FILE
from mosearch.encoder.words import WordTable, applies_to
from mosearch.errors import ModelError
from mosearch.types import TextKind

# The same words as `mosearch.text.split_identifier` for ASCII names, in one pass over a whole text.
_WORD_BOUNDARY = re.compile(
    r"_+|(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[A-Za-z])(?=[0-9])|(?<=[0-9])(?=[A-Za-z])"
)


def split_identifiers(text: str) -> str:
    """`getHTTPResponse_v2` → `get HTTP Response v 2`, everywhere in a text."""
    return _WORD_BOUNDARY.sub(" ", text)


_MARK = re.compile(r"(<\w+>)")
"""A special token that is spelled out in a prefix or suffix."""
_MAX_LANGUAGE = 32
"""Characters."""
_SPOKEN = {"cpp": "c++", "csharp": "c#", "fsharp": "f#"}
"""Languages whose name in prose, which is what instructions hold, differs from our name of them."""


class TextTokenizer:
    """Applies a model's prefixes, suffix, identifier splitting, vocabulary and length limit."""

    def __init__(self, folder: Path, config: ModelConfig) -> None:
        file = folder / TOKENIZER_FILE
        try:
            self._tokenizer = Tokenizer.from_file(str(file))
        except Exception as error:  # the tokenizers library raises nothing narrower
            raise ModelError(f"Cannot read the tokeniser {file}: {error}. Fetch the model again.") from error
        if self._tokenizer.get_vocab_size() > config.vocab_size:
            raise ModelError(f"{file} has more entries than the model's vocab_size. Fetch the model again.")
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(config.max_tokens)
        self._config = config
        if config.suffix:
            # A text that spells out a special token, as a tokeniser's source does, is still only a text.
            self._tokenizer.encode_special_tokens = True
            self._check_frame(file)
        self._suffix = self._framing(config.suffix)
        self._words: WordTable | None = None
        if not config.suffix and applies_to(self._tokenizer):
            self._words = WordTable(self._tokenizer, self._split)

    def __call__(
        self, texts: Sequence[str], kind: TextKind, languages: Sequence[str] | None = None
    ) -> list[list[int]]:
        """Token ids per text, special tokens included; never empty, at most `max_tokens` long."""
        names = languages or [""] * len(texts)
        prefixes = [self._prefix(kind, language) for language in names]
        bodies = [self._prepared(text) for text in texts]
        if self._config.suffix:
            return self._framed(bodies, prefixes)
        return self._plain(bodies, prefixes)

    def _plain(self, bodies: list[str], prefixes: list[str]) -> list[list[int]]:
        """Prefix and body, to which the tokeniser adds special tokens itself."""
        found: list[list[int] | None] = [None] * len(bodies)
        if self._words and not any(prefixes):
            found = [self._words.find(body, self._config.max_tokens) for body in bodies]
        rest = [row for row, ids in enumerate(found) if ids is None]
        encoded = self._tokenizer.encode_batch_fast([prefixes[r] + self._split(bodies[r]) for r in rest])
        for row, encoding in zip(rest, encoded, strict=True):
            found[row] = encoding.ids
        return [ids or [0] for ids in found]

    def _framed(self, bodies: list[str], prefixes: list[str]) -> list[list[int]]:
        """Prefix, as much of the body as there is room for, suffix: each tokenised on its own."""
        split = [self._split(body) for body in bodies]
        encoded = self._tokenizer.encode_batch_fast(split, add_special_tokens=False)
        heads = {prefix: self._framing(prefix) for prefix in set(prefixes)}
        framed = []
        for found, prefix in zip(encoded, prefixes, strict=True):
            room = max(0, self._config.max_tokens - len(heads[prefix]) - len(self._suffix))
            framed.append(heads[prefix] + found.ids[:room] + self._suffix)
        return framed

    def _framing(self, text: str) -> list[int]:
        """Ids of a prefix or suffix, in which special tokens count as such."""
        ids: list[int] = []
        for part in filter(None, _MARK.split(text)):
            mark = self._tokenizer.token_to_id(part) if _MARK.fullmatch(part) else None
            ids += self._tokenizer.encode(part, add_special_tokens=False).ids if mark is None else [mark]
        return ids

    def _check_frame(self, file: Path) -> None:
        framing = self._config.query_prefix + self._config.code_prefix + self._config.suffix
        missing = sorted({m for m in _MARK.findall(framing) if self._tokenizer.token_to_id(m) is None})
        if missing:
            raise ModelError(f"{file} lacks the special tokens {', '.join(missing)}. Fetch the model again.")
        if len(self._framing(framing)) >= self._config.max_tokens:
            raise ModelError(
                f"max_tokens {self._config.max_tokens} leaves no room between prefix and suffix."
            )

    def _prepared(self, text: str) -> str:
        text = text[: self._config.max_tokens * CHARACTERS_PER_TOKEN]
        if not text.isascii():
            # A lone surrogate cannot be encoded; editors do send them.
            text = text.encode("utf-8", "replace").decode("utf-8")
        return text

    def _split(self, text: str) -> str:
        return split_identifiers(text) if self._config.split_identifiers else text

    def _prefix(self, kind: TextKind, language: str) -> str:
        if kind == "query":
            return self._config.query_prefix
        name = language.lower()[:_MAX_LANGUAGE]
        spoken = _SPOKEN.get(name, name)
        # An unknown language leaves no gap in the sentence.
        template = self._config.code_prefix if name else self._config.code_prefix.replace("{language} ", "")
        return template.replace("{language}", spoken)
