"""From functions to training pairs.  Pure; the draw is seeded by the function itself, so it can be repeated.

A pair is two texts that should be embedded alike.  Kinds: `text` (what the documentation of a function
or type says → the function or type), `name` (its name as words → the function with the name masked), `code`
(the function → a renamed, reformatted or re-accented version of it), `cross` (functions in two languages that
are named and documented alike).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

from mosearch.text import split_identifier
from mosearch.training import accents
from mosearch.training.filters import fingerprint
from mosearch.training.functions import Function
from mosearch.training.variants import mask_name, name_words, query_form, reformat, rename_frequent, web_form

KINDS = ("text", "name", "code", "cross")


@dataclass(frozen=True, slots=True)
class Pair:
    kind: str
    language: str
    left: str
    right: str
    """Always code; `left` is code as well when the kind is `code` or `cross`."""


@dataclass(frozen=True, slots=True)
class Mix:
    """Shares of the kinds, and of what happens to the code of a pair; each between 0 and 1."""

    name: float = 0.10
    code: float = 0.22
    web: float = 0.25
    """Share of `text` pairs whose left side is worded as for a web search."""
    with_docstring: float = 0.10
    masked: float = 0.20
    renamed: float = 0.15
    with_container: float = 0.30
    accent: float = 0.65
    """Share of `code` pairs whose right side has the surface of another language."""


def make_pair(function: Function, mix: Mix, seed: int) -> Pair | None:
    """One pair of a function; None when its name has too few words to say anything."""
    draw = Random(fingerprint(function.full) ^ seed)
    kind = 1.0 if function.is_type else draw.random()
    if kind < mix.code:
        return _code_pair(function, mix, draw)
    if kind < mix.code + mix.name or not function.summary:
        return _name_pair(function, draw)
    return Pair("text", function.language, _query(function, mix, draw), _code_side(function, mix, draw))


def _query(function: Function, mix: Mix, draw: Random) -> str:
    if draw.random() < mix.web:
        return web_form(function.summary, function.language, draw)
    return query_form(function.summary, draw)


def cross_pairs(functions: Iterable[Function], limit: int, seed: int) -> Iterator[Pair]:
    """Functions in different languages with the same name and much the same summary, each used once."""
    groups: dict[str, list[Function]] = defaultdict(list)
    for function in functions:
        words = split_identifier(function.name)
        if function.summary and not function.is_type and len(words) >= 2:
            groups[" ".join(word.lower() for word in words)].append(function)
    draw = Random(seed)
    names = sorted(groups)
    draw.shuffle(names)
    made = 0
    for name in names:
        pair = _cross_pair(groups[name], draw)
        if pair and made < limit:
            made += 1
            yield pair


def _code_side(function: Function, mix: Mix, draw: Random) -> str:
    if draw.random() < mix.with_docstring:
        return _contained(function, function.full, mix, draw)
    code = function.code
    if draw.random() < mix.masked:
        code = mask_name(code, function.name)
    if draw.random() < mix.renamed:
        code = rename_frequent(code, draw)
    return _contained(function, code, mix, draw)


def _contained(function: Function, code: str, mix: Mix, draw: Random) -> str:
    """With the line that the index puts before a method: what it belongs to."""
    if function.container and draw.random() < mix.with_container:
        return f"{function.container}\n{code}"
    return code


def _name_pair(function: Function, draw: Random) -> Pair | None:
    words = name_words(function.name)
    if len(words.split()) < 2:
        return None
    container = name_words(function.container.rsplit(".", 1)[-1])
    query = f"{words} {container}" if container and draw.random() < 0.3 else words
    return Pair("name", function.language, query, mask_name(function.code, function.name))


def _code_pair(function: Function, mix: Mix, draw: Random) -> Pair:
    left = right = function.code
    if draw.random() < 0.75:
        left, right = mask_name(left, function.name), mask_name(right, function.name)
    if draw.random() < 0.5:
        right = rename_frequent(right, draw)
    if draw.random() < 0.3:
        left = rename_frequent(left, draw, share=0.15)
    if function.language in accents.LANGUAGES and draw.random() < mix.accent:
        others = [language for language in accents.LANGUAGES if language != function.language]
        right = accents.with_accent(right, function.language, draw.choice(others), draw)
    else:
        right = reformat(right, draw)
    return Pair("code", function.language, left, right)


def _cross_pair(functions: Sequence[Function], draw: Random) -> Pair | None:
    """The two most alike summaries of a name in different languages, if they share most of their words."""
    chosen = list(functions)
    draw.shuffle(chosen)
    bags = [frozenset(function.summary.lower().split()) for function in chosen[:40]]
    best, found = 0.4, None
    for i, left in enumerate(bags):
        for j in range(i):
            if chosen[i].language != chosen[j].language:
                shared = len(left & bags[j]) / len(left | bags[j])
                if shared > best:
                    best, found = shared, (chosen[i], chosen[j])
    if not found:
        return None
    left_code, right_code = (function.code for function in found)
    if draw.random() < 0.7:
        left_code = mask_name(left_code, found[0].name)
        right_code = mask_name(right_code, found[1].name)
    return Pair("cross", found[0].language, left_code, right_code)
