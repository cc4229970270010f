"""The candidates of one query, and all that ranking looks at: computed once, scored with any weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from mosearch.ranking.candidate import Candidate, key
from mosearch.ranking.coverage import covered
from mosearch.ranking.query import Query
from mosearch.ranking.terms import Kin, name_of, terms_of_text
from mosearch.ranking.traits import TRAITS, asked_for, traits
from mosearch.types import Chunk, StoredChunk, SymbolKind

_HEAD = 30
"""So many of the dense list decide what a first page shows."""

_TYPES = frozenset(
    {
        SymbolKind.MODULE,
        SymbolKind.NAMESPACE,
        SymbolKind.CLASS,
        SymbolKind.ENUM,
        SymbolKind.INTERFACE,
        SymbolKind.STRUCT,
        SymbolKind.TYPE_PARAMETER,
    }
)


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """`n` candidates; every array is [n]."""

    chunks: tuple[StoredChunk, ...]
    exits: tuple[int | None, ...]
    """The exit whose vectors last placed each; None for what was found by its words only."""
    is_symbol: bool
    depth: float
    """How much of the dense list's head the deepest exit has ordered, in [0, 1]."""
    lexical: NDArray[np.float64]
    """Rank in the full-text list from 1; infinite for what is not in it."""
    dense: NDArray[np.float64]
    """Rank in the dense list, likewise."""
    files: NDArray[np.int64]
    """A number for each file."""
    name: NDArray[np.float64]
    """Share of the query's terms akin to words of the symbol or its container, in [0, 1]."""
    place: NDArray[np.float64]
    """Share of the query's terms akin to words of the file's name or its folder's, in [0, 1]."""
    covered: NDArray[np.float64]
    """Share of the query's terms that candidates of the same file hold together, rare ones counting more, in
    [0, 1]."""
    defines: NDArray[np.bool_]
    """Whether the definition of a symbol begins there which the query names."""
    as_written: NDArray[np.bool_]
    """… in the same case."""
    of_type: NDArray[np.bool_]
    """… and the symbol is a type."""
    traits: NDArray[np.bool_]
    """[n, traits]: what each is and the query does not ask for."""
    unquoted: NDArray[np.bool_]
    """Whether it lacks something that the query quotes."""


def gather(
    query: Query,
    lexical: Sequence[tuple[StoredChunk, float]],
    dense: Sequence[Candidate],
    deepest: int | None = None,
    defined: Sequence[StoredChunk] = (),
) -> Pool:
    """The union of what was found by words and by vectors, both lists best first.

    `deepest` is the exit that is trusted most; without one, all are trusted alike.  `defined` are definitions
    of what the query names: they lead the words' list, wherever their own words would put them.
    """
    lexical = _led(defined, lexical)
    nearest = [(candidate.stored, candidate.score) for candidate in dense]
    exits = {candidate.key: candidate.exit for candidate in dense}
    words, vectors = _ranks(lexical), _ranks(nearest)
    found = {key(stored): stored for stored, _ in (*lexical, *nearest)}
    chunks = tuple(found.values())
    wanted = [trait not in asked_for(query) for trait in TRAITS]
    has = [traits(stored.path, stored.chunk) for stored in chunks]
    kin = Kin(query.terms)
    numbers = {path: number for number, path in enumerate(dict.fromkeys(s.path for s in chunks))}
    places = {path: kin.share(terms_of_text(file_words(path))) for path in numbers}
    files = np.array([numbers[stored.path] for stored in chunks], np.int64)
    defines = np.array([_defines(query, stored.chunk) for stored in chunks], bool)
    return Pool(
        chunks=chunks,
        exits=tuple(exits.get(each) for each in found),
        is_symbol=query.is_symbol,
        depth=_depth([candidate.exit for candidate in dense[:_HEAD]], deepest),
        lexical=np.array([words.get(each, np.inf) for each in found]),
        dense=np.array([vectors.get(each, np.inf) for each in found]),
        files=files,
        name=np.array([kin.share(terms_of_text(name_of(s.path, s.chunk))) for s in chunks]),
        place=np.array([places[stored.path] for stored in chunks]),
        covered=covered(
            query.terms, [stored.chunk.text.lower().replace("_", "") for stored in chunks], files
        ),
        defines=defines,
        as_written=defines & np.array([stored.chunk.symbol in query.names for stored in chunks], bool),
        of_type=defines & np.array([stored.chunk.kind in _TYPES for stored in chunks], bool),
        traits=np.array([[trait in each for trait in TRAITS] for each in has], bool).reshape(-1, len(TRAITS))
        & np.array(wanted, bool),
        unquoted=np.array([lacks_quoted(query, stored.chunk) for stored in chunks], bool),
    )


def deepened_pool(pool: Pool, deep: Mapping[str, float], exit: int) -> Pool:
    """The same candidates, re-ordered in the dense list by the similarities of a deeper exit.

    `deep` maps a chunk's digest to its similarity.  The chunks that have one change places among
    themselves: the places that they hold in the dense list are dealt out anew, best first.  Those
    that have none keep theirs, so that being not yet embedded neither buries nor lifts a chunk.
    """
    known = np.array([stored.chunk.digest in deep for stored in pool.chunks], bool)
    if not known.any():
        return pool
    where = np.flatnonzero(known)
    similar = np.array([deep[pool.chunks[index].chunk.digest] for index in where])
    order = where[np.argsort(-similar, kind="stable")]
    held = np.sort(pool.dense[where])
    outside = np.isinf(held)
    last = np.max(pool.dense, where=np.isfinite(pool.dense), initial=0.0)
    held[outside] = last + np.arange(1, outside.sum() + 1)
    dense = pool.dense.copy()
    dense[order] = held
    head = known[np.argsort(dense, kind="stable")[:_HEAD]]
    exits = tuple(exit if known[index] else old for index, old in enumerate(pool.exits))
    return replace(pool, dense=dense, exits=exits, depth=max(pool.depth, float(head.mean())))


def _depth(exits: Sequence[int | None], deepest: int | None) -> float:
    return sum(exit == deepest for exit in exits) / len(exits) if exits and deepest is not None else 1.0


def file_words(path: str) -> str:
    pure = PurePosixPath(path)
    return f"{pure.parent.name} {pure.stem}"


def _defines(query: Query, chunk: Chunk) -> bool:
    return chunk.part == 0 and bool(chunk.symbol) and chunk.symbol.lower() in query.symbols


def lacks_quoted(query: Query, chunk: Chunk) -> bool:
    """Whether a chunk does not hold all that the query quotes."""
    return any(quoted not in chunk.text for quoted in query.quoted)


def _led(
    defined: Sequence[StoredChunk], lexical: Sequence[tuple[StoredChunk, float]]
) -> list[tuple[StoredChunk, float]]:
    leading = {key(stored) for stored in defined}
    best = max((score for _, score in lexical), default=0.0)
    rest = [item for item in lexical if key(item[0]) not in leading]
    return [*((stored, best + 1) for stored in defined), *rest]


def _ranks(hits: Sequence[tuple[StoredChunk, float]]) -> dict[tuple[int, int, int], float]:
    """Ranks from 1; hits with the same score share the better one."""
    ranks: dict[tuple[int, int, int], float] = {}
    rank, last = 0, None
    for position, (stored, score) in enumerate(hits, start=1):
        if score != last:
            rank, last = position, score
        ranks[key(stored)] = float(rank)
    return ranks
