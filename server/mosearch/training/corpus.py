"""Choosing what is trained on: held-out packages, duplicates, leaks, and the balance of languages."""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from mosearch.training.filters import near_key
from mosearch.training.functions import Function, Header, read
from mosearch.training.leaks import keys, leaks


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a corpus.  `per_language` overrides `language_limit`."""

    per_package: int = 400
    language_limit: int = 20_000
    per_language: dict[str, int] = field(default_factory=dict)
    held_out_share: float = 0.08
    held_out_documents: int = 800
    held_out_queries: int = 300
    bare_share: float = 0.25
    """Functions without documentation, as a share of all of a language."""
    refused_licences: str = r"(?<!L)GPL|(?<!Lesser )(?<!Library )General Public"
    """Regular expression over the licence that a package declares."""


@dataclass(slots=True)
class Corpus:
    train: list[Function] = field(default_factory=list)
    held_out: list[Function] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    """What was seen and what was dropped, by reason."""
    packages: list[Header] = field(default_factory=list)
    """Those that gave at least one training function."""


def is_held_out(package: str, share: float) -> bool:
    """Whether a package is kept for testing: decided by its name alone, for ever."""
    value = int.from_bytes(hashlib.sha256(f"held out? {package}".encode()).digest()[:4], "big")
    return value < share * (1 << 32)


def choose(
    packages: Iterable[tuple[Header, list[Function]]], forbidden: set[int], limits: Limits, seed: int
) -> Corpus:
    """Split, de-duplicate, drop leaks, and balance.  The order of `train` is drawn, and repeatable.

    A held-out function also bars its copies in other packages from training.
    """
    corpus = Corpus()
    loaded = sorted(packages, key=lambda item: not is_held_out(item[0].package, limits.held_out_share))
    seen: set[int] = set()
    kept: dict[str, list[Function]] = defaultdict(list)
    for header, found in loaded:
        if re.search(limits.refused_licences, header.licence):
            corpus.counts["refused licence"] += len(found)
            continue
        held_out = is_held_out(header.package, limits.held_out_share)
        fresh = _fresh(found, seen, forbidden, corpus.counts)
        if held_out:
            corpus.held_out += fresh
            continue
        for function in _sample(fresh, limits.per_package, seed):
            kept[function.language].append(function)
        if fresh:
            corpus.packages.append(header)
    draw = Random(seed)
    for language in sorted(kept):
        corpus.train += _balanced(kept[language], language, limits, draw)
    draw.shuffle(corpus.train)
    corpus.held_out = _held_out(corpus.held_out, limits, draw)
    return corpus


def read_all(files: Iterable[Path]) -> Iterator[tuple[Header, list[Function]]]:
    return map(read, files)


def _fresh(
    found: list[Function], seen: set[int], forbidden: set[int], counts: Counter[str]
) -> list[Function]:
    fresh = []
    for function in found:
        counts["seen"] += 1
        key = near_key(function.code)
        if key in seen:
            counts["near duplicate"] += 1
        elif leaks(function.code, function.full, forbidden):
            counts["in a development set"] += 1
        else:
            fresh.append(function)
            # Both forms bar later copies, so that nothing held out comes back with other comments.
            seen.add(key)
            seen.update(keys(function.full))
    return fresh


def held_out_keys(corpus: Corpus) -> set[int]:
    """Keys of everything held out, which bar copies of it from whatever else is trained on."""
    return {key for one in corpus.held_out for text in (one.code, one.full) for key in keys(text)}


def _sample(found: list[Function], count: int, seed: int) -> list[Function]:
    return found if len(found) <= count else Random(seed).sample(found, count)


def _balanced(found: list[Function], language: str, limits: Limits, draw: Random) -> list[Function]:
    limit = limits.per_language.get(language, limits.language_limit)
    draw.shuffle(found)
    documented = [function for function in found if function.summary]
    bare = [function for function in found if not function.summary]
    whole = min(limit, len(documented) / (1 - limits.bare_share))
    chosen_bare = bare[: round(whole * limits.bare_share)]
    return documented[: limit - len(chosen_bare)] + chosen_bare


def _held_out(found: list[Function], limits: Limits, draw: Random) -> list[Function]:
    """Documented functions only, no types, a bounded number of each language."""
    by_language: dict[str, list[Function]] = defaultdict(list)
    draw.shuffle(found)
    for function in found:
        if (
            function.summary
            and not function.is_type
            and len(by_language[function.language]) < limits.held_out_documents
        ):
            by_language[function.language].append(function)
    return [function for language in sorted(by_language) for function in by_language[language]]
