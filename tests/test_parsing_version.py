"""Chunks may change only together with the version that makes existing indexes be built anew."""

from __future__ import annotations

import hashlib
from pathlib import Path

from mosearch.parsing import CHUNKING_VERSION, language_of, parse

SAMPLES = Path(__file__).parent / "parsing_samples"
RECORDED = (6, "304f14e1efcd96e6")


def test_other_chunks_mean_another_version() -> None:
    found = hashlib.blake2b(digest_size=8)
    for sample in sorted(SAMPLES.glob("pool.*.txt")):
        source = sample.read_bytes()
        name = sample.name.removesuffix(".txt")
        for chunk in parse(source, language_of(name, source), name).chunks:
            found.update(repr(chunk).encode())
    assert (CHUNKING_VERSION, found.hexdigest()) == RECORDED, (
        "The samples give other chunks than before. If that is meant: raise CHUNKING_VERSION (once for "
        "each release) and record both here."
    )
