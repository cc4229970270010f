"""The chunks of a source tree, for benchmarks that need real code of real lengths."""

from __future__ import annotations

import random
from pathlib import Path

from mosearch.parsing import LANGUAGES, language_of, parse
from mosearch.types import Chunk

_MAX_BYTES = 1_000_000


def sample_chunks(tree: Path, count: int) -> list[Chunk]:
    """Up to `count` chunks, in an order of their own, that is the same each time."""
    found: list[Chunk] = []
    files = sorted(path for path in tree.rglob("*") if path.is_file() and not path.is_symlink())
    random.Random(0).shuffle(files)
    for file in files:
        language = language_of(file.name)
        if language in LANGUAGES and file.stat().st_size <= _MAX_BYTES:
            found += parse(file.read_bytes(), language, file.name).chunks
        if len(found) >= 4 * count:
            break
    random.Random(0).shuffle(found)
    return found[:count]
