"""What can be read off a query without a model: its terms, and the symbols it names."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mosearch.ranking.terms import fold, terms_of_text
from mosearch.text import split_identifier

# Words that say nothing about code.  "get", "set", "all", "new" and the like are names in code: they stay.
_STOP_WORDS = frozenset(
    fold(word)
    for word in """
    a an and are as at be been being but by can code could did do does doing done find for from had has have
    how i if in into is it its just me my of on or our please show so some such than that the their them then
    there these they this those to us used uses using was we were what when where which who why will with
    would you your
    """.split()
)

_QUOTED = re.compile(r'"([^"\n]+)"|“([^”\n]+)”')
_QUALIFIED_NAME = re.compile(r"[^\W\d]\w*(?:(?:\.|::|#|->)[^\W\d]\w*)*")


@dataclass(frozen=True, slots=True)
class Query:
    text: str
    terms: tuple[str, ...]
    """Distinct folded terms without stop words, in order; all terms where only stop words were given."""
    names: frozenset[str]
    """Last parts of what is written like a name in code: `HTTPPool.acquire` → acquire."""
    symbols: frozenset[str]
    """The same in lower case."""
    is_symbol: bool
    """The whole query is one name, so its definition is wanted first."""
    quoted: tuple[str, ...] = ()
    """What stands in double quotes: code that holds just that is wanted first."""

    @property
    def sought(self) -> tuple[str, ...]:
        """The terms that full text is asked for: of what is quoted, where something is."""
        return tuple(dict.fromkeys(terms_of_text(" ".join(self.quoted)))) or self.terms


def parse_query(text: str) -> Query:
    """Read `text` as typed; never fails, an empty query has no terms."""
    text = text.strip()
    raw = terms_of_text(text)
    kept = [term for term in raw if term not in _STOP_WORDS]
    words = text.split()
    whole_name = len(words) == 1 and _QUALIFIED_NAME.fullmatch(text) is not None
    names = {_last_part(word) for word in _names_in(text)}
    if whole_name:
        names.add(_last_part(text))
    return Query(
        text=text,
        terms=tuple(dict.fromkeys(kept or raw)),
        names=frozenset(names),
        symbols=frozenset(name.lower() for name in names),
        is_symbol=whole_name,
        quoted=tuple(text.strip() for pair in _QUOTED.findall(text) for text in pair if text.strip()),
    )


def _names_in(text: str) -> list[str]:
    """Names that no English sentence would hold: camelCase, snake_case, qualified or called."""
    found = []
    for match in _QUALIFIED_NAME.finditer(text):
        name = match.group()
        called = text[match.end() : match.end() + 1] == "("
        qualified = not name.isidentifier()
        last = _last_part(name)
        compound = "_" in last.strip("_") or (not last.isupper() and len(split_identifier(last)) > 1)
        if called or qualified or compound:
            found.append(name)
    return found


def _last_part(name: str) -> str:
    return re.split(r"\W+", name)[-1]
