"""Questions that people typed, with the code that answers them: Stack Overflow titles, shell one-liners.

A `[[questions]]` entry of the package list names a repository, its data files and their format.  Local
clones are read with git.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Literal

import cattrs

from mosearch.errors import SettingsError
from mosearch.training.clones import clone_of, contents
from mosearch.training.filters import MAX_CODE_CHARACTERS, MIN_DOC_WORDS, near_key, normalised
from mosearch.training.leaks import leaks
from mosearch.training.pairs import Pair
from mosearch.training.variants import reformat, rename_frequent, web_form

MAX_FILE_BYTES = 8_000_000
MIN_CODE_LINES = 2
MIN_CODE_TOKENS = 6
"""A snippet needs as many lines, or else as many tokens."""

_ASKING = re.compile(
    r"^(how (do|can|could|should|would) (i|you|we|one)\b|how (to|do)\b|"
    r"what('s| is) the .{0,20}?way (to|of)\b|is (there|it) .{0,30}?(way|possible) to\b)\s*",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Source:
    """One `[[questions]]` entry."""

    repository: str
    licence: str
    language: str
    format: Literal["tabs", "lines", "intents"]
    """`tabs`: lines of two ids, title, code with escaped line ends; `lines`: two files, one line of text
    and one of code; `intents`: a JSON list of intent, rewritten_intent and snippet."""
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Question:
    wordings: tuple[str, ...]
    """The same wish in other words, as typed; at least one."""
    language: str
    code: str
    repository: str
    licence: str


def read_sources(table: Mapping[str, object]) -> list[Source]:
    """The `[[questions]]` entries of a parsed package list.  Raises SettingsError for a wrong one."""
    converter = cattrs.Converter(forbid_extra_keys=True)
    try:
        return converter.structure(table.get("questions", ()), list[Source])
    except cattrs.BaseValidationError as error:
        problems = "; ".join(cattrs.transform_error(error))
        raise SettingsError(f"the list of packages has a wrong [[questions]] entry: {problems}") from error


def read(sources: Iterable[Source], clones: Path) -> Iterator[Question]:
    """All usable questions.  `clones` holds a folder `OWNER+NAME` for each; absent ones are passed over."""
    for source in sources:
        clone = clone_of(source.repository, clones)
        texts = dict(contents(clone, source.files, MAX_FILE_BYTES)) if clone else {}
        found = [texts[file] for file in source.files if file in texts]
        for wordings, code in _FORMATS[source.format](found):
            kept = tuple(dict.fromkeys(wording for wording in wordings if _wanted_wording(wording)))
            if kept and _wanted_code(code):
                yield Question(kept, source.language, code, source.repository, source.licence)


def fresh(found: Iterable[Question], forbidden: set[int], forbidden_texts: set[str]) -> Iterator[Question]:
    """Those whose code is no near copy of an earlier one's, and of which nothing is in a development set."""
    seen: set[int] = set()
    for question in found:
        key = near_key(question.code)
        asked = {normalised(wording.lower()) for wording in question.wordings}
        if key in seen or leaks(question.code, question.code, forbidden) or asked & forbidden_texts:
            continue
        seen.add(key)
        yield question


def pairs(found: Iterable[Question], copies: Mapping[str, float], seed: int) -> Iterator[Pair]:
    """`copies` pairs of each question by its language (1 where it is not named), worded differently.

    Questions are few beside documentation, so that each may well be met more than once.
    """
    draw = Random(seed)
    for question in found:
        count = copies.get(question.language, 1.0)
        for number in range(int(count) + (draw.random() < count % 1)):
            wording = question.wordings[number % len(question.wordings)]
            left = asked(wording, question.language, draw) if number else wording
            yield Pair("text", question.language, left, _form(question.code, draw))


def asked(wording: str, language: str, draw: Random) -> str:
    """A title as typed, or in lower case without its mark, or as a search engine gets it."""
    kind = draw.random()
    plain = wording.lower().rstrip(" ?.!")
    if kind < 0.3:
        return wording
    if kind < 0.55:
        return plain
    bare = _ASKING.sub("", plain)
    bare = bare if len(bare.split()) >= 2 else plain
    return web_form(bare, "" if language in plain else language, draw).strip()


def _form(code: str, draw: Random) -> str:
    if draw.random() < 0.15:
        code = rename_frequent(code, draw)
    return reformat(code, draw) if draw.random() < 0.3 else code


def _wanted_wording(wording: str) -> bool:
    words = re.findall(r"[A-Za-z][\w'+#.-]*", wording)
    return wording.isascii() and len(words) >= MIN_DOC_WORDS


def _wanted_code(code: str) -> bool:
    lines = sum(1 for line in code.splitlines() if line.strip())
    long_enough = lines >= MIN_CODE_LINES or len(normalised(code).split()) >= MIN_CODE_TOKENS
    return long_enough and len(code) <= MAX_CODE_CHARACTERS


def _of_tabs(texts: Sequence[str]) -> Iterator[tuple[tuple[str, ...], str]]:
    for line in "".join(texts).split("\n"):
        fields = line.split("\t")
        if len(fields) >= 4:
            yield (fields[2].strip(),), fields[3].replace("\\n", "\n").strip()


def _of_lines(texts: Sequence[str]) -> Iterator[tuple[tuple[str, ...], str]]:
    if len(texts) == 2:
        for wording, code in zip(*(text.split("\n") for text in texts), strict=False):
            yield (wording.strip(),), code.strip()


def _of_intents(texts: Sequence[str]) -> Iterator[tuple[tuple[str, ...], str]]:
    for text in texts:
        for row in json.loads(text):
            wordings = (row["intent"], row.get("rewritten_intent") or "")
            yield tuple(wording.strip() for wording in wordings), row["snippet"].strip()


_FORMATS: dict[str, Callable[[Sequence[str]], Iterator[tuple[tuple[str, ...], str]]]] = {
    "tabs": _of_tabs,
    "lines": _of_lines,
    "intents": _of_intents,
}
