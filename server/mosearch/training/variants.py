"""Other ways to say the same: variants of a query, and of a function.  Pure; randomness is passed in."""

from __future__ import annotations

import re
from random import Random

from mosearch.text import identifiers, split_identifier

_STRINGS_AND_COMMENTS = re.compile(r"\"[^\"\n]*\"|'[^'\n]*'|//[^\n]*|/\*.*?\*/|(?<!\S)#[^\n]*", re.DOTALL)
_FIRST_SENTENCE = re.compile(r"^(.{12,}?[a-z)\]])\.(\s|$)")
_LEADING = re.compile(
    r"^(this (function|method|class|routine) (will )?|function (to|that) |method (to|that) )", re.IGNORECASE
)
_THIRD_PERSON = re.compile(r"^([A-Za-z]{2,}?)(ies|sses|shes|tches|rches|xes|s)\b")
_KEYWORDS = frozenset(
    "abstract and as assert async await begin bool boolean break byte case catch char class const "
    "continue def default defer del delete do double dyn elif else elsif end ensure enum except export "
    "extends extern false final finally float fn for foreach from func function global go goto if impl "
    "implements import in include inline instanceof int interface is lambda let long loop map match mod "
    "module move mut namespace new next nil none nonlocal not null nullptr object of operator or override "
    "package pass private protected protocol pub public raise range ref rescue return self short signed "
    "sizeof static std str string struct super switch template then this throw throws trait true try type "
    "typedef typeof undefined union unless unsafe unsigned until use using val var vec vector virtual "
    "void volatile when where while with yield list dict set len print println push append size "
    "length".split()
)
_NEUTRAL = tuple("value item data tmp x y a b n arg foo obj var node res v t p".split())

_ARTICLES = frozenset("a an the this that these given its".split())
_ASKING = ("how to", "how to", "how do you", "how can i", "function to", "code to", "way to")
_SPOKEN = {"cpp": "c++", "csharp": "c#"}
_ENDINGS = {"ies": "y", "sses": "ss", "shes": "sh", "tches": "tch", "rches": "rch", "xes": "x"}


def query_form(summary: str, draw: Random) -> str:
    """A documentation summary as people type it: first sentence, lower case, imperative, or untouched."""
    kind = draw.random()
    if kind < 0.35:
        return summary
    match = _FIRST_SENTENCE.match(summary)
    short = (match.group(1) if match else summary).rstrip(". ")
    if kind < 0.55:
        return short
    short = _LEADING.sub("", short)
    short = (short[:1].lower() + short[1:]) if short[:2] != short[:2].upper() else short
    if kind < 0.85:
        short = imperative(short)
    return short.lower() if draw.random() < 0.5 else short


def web_form(summary: str, language: str, draw: Random) -> str:
    """A summary as a search engine gets it: `Returns the size of a file.` → `python return size of file`."""
    match = _FIRST_SENTENCE.match(summary)
    short = imperative(_LEADING.sub("", (match.group(1) if match else summary).rstrip(". ")))
    words = [word for word in re.findall(r"[\w.+#-]+", short.lower()) if word.strip(".-")]
    kept = [word for word in words if word not in _ARTICLES or draw.random() < 0.3][:12]
    asked = " ".join(kept)
    if draw.random() < 0.4:
        asked = f"{draw.choice(_ASKING)} {asked}"
    spoken = _SPOKEN.get(language, language)
    place = draw.random()
    if place < 0.4:
        return f"{spoken} {asked}"
    return f"{asked} in {spoken}" if place < 0.6 else f"{asked} {spoken}" if place < 0.75 else asked


def imperative(sentence: str) -> str:
    """`returns the size` → `return the size`; a sentence that starts with no such verb is unchanged."""
    match = _THIRD_PERSON.match(sentence)
    if (
        not match
        or len(match.group(0)) < 4
        or match.group(0).lower() in ("this", "class", "is", "has", "does", "as")
    ):
        return sentence
    stem, ending = match.groups()
    return stem + _ENDINGS.get(ending, "") + sentence[match.end() :]


def name_words(name: str) -> str:
    """A name as a query: `parseHTTPHeader` → `parse http header`."""
    return " ".join(word.lower() for word in split_identifier(name))


def mask_name(code: str, name: str, mask: str = "f") -> str:
    """`code` with every whole-word occurrence of `name` replaced."""
    return re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", mask, code) if name else code


def rename_frequent(code: str, draw: Random, share: float = 0.3) -> str:
    """A share of the most used identifiers replaced by names that say nothing, each one consistently."""
    counts: dict[str, int] = {}
    for word in identifiers(_STRINGS_AND_COMMENTS.sub(" ", code)):
        if not word[0].isdigit() and word.lower() not in _KEYWORDS and len(word) > 1:
            counts[word] = counts.get(word, 0) + 1
    frequent = sorted((word for word in counts if counts[word] > 1), key=lambda word: -counts[word])
    frequent = frequent[: max(1, round(share * len(counts)))]
    names = list(_NEUTRAL)
    draw.shuffle(names)
    replacement = {word: f"{names[i % len(names)]}{i // len(names) or ''}" for i, word in enumerate(frequent)}
    if not replacement:
        return code
    pattern = re.compile(rf"(?<!\w)({'|'.join(map(re.escape, replacement))})(?!\w)")
    return pattern.sub(lambda match: replacement[match.group(1)], code)


def reformat(code: str, draw: Random) -> str:
    """The same tokens in another layout: indentation width and empty lines change, comments may go."""
    width = draw.choice((2, 3, 8))
    lines = []
    for line in code.splitlines():
        body = line.lstrip(" \t")
        if not body or (draw.random() < 0.5 and re.match(r"(//|#(?!include|define|if|end))", body)):
            continue
        depth = line[: len(line) - len(body)].replace("\t", "    ")
        lines.append(" " * (len(depth) * width // 4) + body)
    return "\n".join(lines)
