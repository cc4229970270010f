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
_NAME = r"[^\W\d]\w*"
_QUALIFIED_NAME = re.compile(rf"{_NAME}(?:(?:\.|::|#|->)~?{_NAME})*")
# As the whole of a question: also empty?, save!, name=, foldl', ~Pool, Pool::~Pool, acquire(), operator==.
_WHOLE_NAME = re.compile(
    rf"(?:{_NAME}(?:\.|::|#|->))*(?P<last>(?:operator\s*[^\w\s]+|[~#]?{_NAME}[?!=']?))(?:\(\))?"
)
_FILE_ENDINGS = frozenset(
    """
    c cc cfg conf cpp cs css csv ex exs go h hpp hs htm html ini java js json jsx kt lock lua md mjs php proto
    py pyi rb rs rst scala sh sql swift toml ts tsx txt xml yaml yml zig
    """.split()
)
_ALSO_MEMBERS = frozenset({"csv", "html", "json", "lock", "xml"})
"""Endings that are names of methods, too: `Response.json`."""


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
    whole = None if _is_file(text) else _WHOLE_NAME.fullmatch(text)
    names = {_last_part(word) for word in _names_in(text)}
    if whole is not None:
        last = "".join(whole["last"].split())
        names |= {last, last if last.startswith("operator") else last.strip("#?!='")}
    return Query(
        text=text,
        terms=tuple(dict.fromkeys(kept or raw)),
        names=frozenset(names),
        symbols=frozenset(name.lower() for name in names),
        is_symbol=whole is not None,
        quoted=tuple(text.strip() for pair in _QUOTED.findall(text) for text in pair if text.strip()),
    )


def _names_in(text: str) -> list[str]:
    """Names that no English sentence would hold: camelCase, snake_case, qualified or called."""
    found = []
    for match in _QUALIFIED_NAME.finditer(text):
        name = match.group()
        called = text[match.end() : match.end() + 1] == "("
        if not called and _is_file(name):
            continue
        qualified = not name.isidentifier()
        last = _last_part(name)
        compound = "_" in last.strip("_") or (not last.isupper() and len(split_identifier(last)) > 1)
        if called or qualified or compound:
            found.append(name)
    return found


def _is_file(name: str) -> bool:
    """Whether it is a file's name, or an abbreviation (e.g.), rather than a member's."""
    head, dot, last = name.rpartition(".")
    holder = head.rpartition(".")[2]
    if not dot or not holder or holder.endswith((":", "#", ">")):
        return False
    if len(last) == len(holder) == 1 or name.endswith(".js"):
        return True
    return last in _FILE_ENDINGS and not (
        last in _ALSO_MEMBERS and holder[0].isupper() and not holder.isupper()
    )


def _last_part(name: str) -> str:
    return re.split(r"\W+", name)[-1]
