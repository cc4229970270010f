"""What lenses and hints say of real code: does a lens count what *Find Similar* shows, what does it cost, and
how much alike are functions that a hint calls near-duplicates?

    python tests/bench/lenses.py ROOT… [--functions FUNCTIONS]

Embeds everything at the deepest exit first, in folders that are thrown away.
"""

from __future__ import annotations

import argparse
import difflib
import os
import random
import re
import tempfile
import time
from itertools import chain
from pathlib import Path
from statistics import median

from mosearch.engine import Engine
from mosearch.settings import load_settings
from mosearch.types import Chunk, Depth, Hit, StoredChunk, SymbolKind

_FUNCTIONS = frozenset({SymbolKind.FUNCTION, SymbolKind.METHOD, SymbolKind.CONSTRUCTOR})
_MOST = 20
_TOKEN = re.compile(r"\w+|[^\w\s]")
_LIMITS = (0.98, 0.99, 0.995)


def functions(engine: Engine, count: int) -> list[StoredChunk]:
    found = [
        stored
        for stored in chain.from_iterable(
            engine.store.chunks_of(path) for path in sorted(engine.store.files())
        )
        if stored.chunk.kind in _FUNCTIONS and stored.chunk.part == 0
    ]
    return random.Random(1).sample(found, min(count, len(found)))


def in_common(one: Chunk, other: Chunk) -> float:
    """The share of tokens that two texts have in common, in the same order."""
    texts = (_TOKEN.findall(one.text), _TOKEN.findall(other.text))
    return difflib.SequenceMatcher(None, *texts, autojunk=False).ratio()


def compare_counts(engine: Engine, places: list[StoredChunk]) -> list[tuple[StoredChunk, Hit]]:
    """Prints how lenses and answers agree; returns pairs of functions that lenses count."""
    pairs, times, equal, same_sign = [], [], 0, 0
    for place in places:
        begun = time.perf_counter()
        counted = engine.neighbours(place, engine.similar_from, _MOST)
        times.append(1000 * (time.perf_counter() - begun))
        shown = engine.similar(place, True, _MOST).hits
        equal += len(counted) == len(shown)
        same_sign += bool(counted) == bool(shown)
        pairs += [(place, hit) for hit in counted if hit.chunk.kind in _FUNCTIONS]
    print(  # noqa: T201
        f"{len(places)} functions among {engine.store.stats().chunks} chunks: the same number for {equal}, "
        f"none or some for {same_sign}; {median(times):.0f} ms each"
    )
    return pairs


def judge_hints(pairs: list[tuple[StoredChunk, Hit]]) -> None:
    for limit in _LIMITS:
        shares = [in_common(place.chunk, hit.chunk) for place, hit in pairs if hit.score >= limit]
        if shares:
            nine, eight = (sum(share >= least for share in shares) / len(shares) for least in (0.9, 0.8))
            print(  # noqa: T201
                f"  from {limit}: {len(shares)} pairs, {nine:.0%} share 9 of 10 tokens, {eight:.0%} 8"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("roots", type=Path, nargs="+")
    parser.add_argument("--functions", type=int, default=120)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mosearch-lenses-") as temporary:
        os.environ["MOSEARCH_RUNTIME_DIR"] = str(Path(temporary, "run"))
        os.environ["MOSEARCH_CACHE_DIR"] = str(Path(temporary, "cache"))
        for root in options.roots:
            with Engine(root, load_settings(root), linger_seconds=0) as engine:
                engine.update(depth=Depth.DEEP)
                print(root.name)  # noqa: T201
                judge_hints(compare_counts(engine, functions(engine, options.functions)))


if __name__ == "__main__":
    main()
