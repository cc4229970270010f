"""From text to token ids.  Any change to what this module returns raises `TEXT_VERSION`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer

from mosearch.encoder.config import CHARACTERS_PER_TOKEN, ModelConfig
from mosearch.encoder.models import TOKENIZER_FILE
from mosearch.errors import ModelError
from mosearch.types import TextKind

# The same words as `mosearch.text.split_identifier` for ASCII names, in one pass over a whole text.
_WORD_BOUNDARY = re.compile(
    r"_+|(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[A-Za-z])(?=[0-9])|(?<=[0-9])(?=[A-Za-z])"
)


def split_identifiers(text: str) -> str:
    """`getHTTPResponse_v2` → `get HTTP Response v 2`, everywhere in a text."""
    return _WORD_BOUNDARY.sub(" ", text)


class TextTokenizer:
    """Applies a model's prefixes, identifier splitting, vocabulary and length limit."""

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

    def __call__(
        self, texts: Sequence[str], kind: TextKind, languages: Sequence[str] | None = None
    ) -> list[list[int]]:
        """Token ids per text, special tokens included; never empty, at most `max_tokens` long."""
        names = languages or [""] * len(texts)
        prepared = [self._prepared(text, kind, language) for text, language in zip(texts, names, strict=True)]
        return [found.ids or [0] for found in self._tokenizer.encode_batch_fast(prepared)]

    def _prepared(self, text: str, kind: TextKind, language: str) -> str:
        text = text[: self._config.max_tokens * CHARACTERS_PER_TOKEN]
        if not text.isascii():
            # A lone surrogate cannot be encoded; editors do send them.
            text = text.encode("utf-8", "replace").decode("utf-8")
        if self._config.split_identifiers:
            text = split_identifiers(text)
        if kind == "query":
            return self._config.query_prefix + text
        return self._config.code_prefix.replace("{language}", language.lower()) + text
