"""Code like a piece of code: candidates by vectors and by words → how likely it is that they are similar →
the same with a deeper exit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mosearch import ranking
from mosearch.candidates import Vectors
from mosearch.places import overlap
from mosearch.question import RERANKED, Question, candidates_for
from mosearch.ranking import Candidate, Likeness
from mosearch.types import Chunk, Filters, SearchResult, StoredChunk

_CANDIDATES = 200
"""By words, and as many by vectors, for a small page."""

# Terms of a whole function that full text is asked for.
_LEXICAL_TERMS = 64


@dataclass(slots=True)
class _Part:
    """One part of the code that others shall be like, and what is like it."""

    stored: StoredChunk
    vectors: Vectors
    warning: str
    found: list[Candidate] = field(default_factory=list)


def similar(
    question: Question,
    parts: Sequence[StoredChunk],
    here: bool,
    limit: int,
    filters: Filters,
    likeness: Mapping[int, Likeness],
    least: float | None,
) -> SearchResult:
    """Code that does what the code of `parts` does, best first; a long function counts by its best part.

    If the place is `here`, in this workspace, neither it nor what encloses it is a hit.  `likeness` makes
    probabilities of cosine similarities, by exit, all of them or none: scores are probabilities with it, else
    cosine similarities, and what scores below `least` is no hit.  Without any vector words have to do, and
    everything is a hit.  Raises `StoreError`, `CancelledError`.
    """
    asked = [_Part(part, *_vectors(question, part.chunk)) for part in parts]
    warning = asked[0].warning
    asked = [each for each in asked if each.vectors] or asked  # words are for when there is nothing else
    vectors = asked[0].vectors
    question.clock.lap("encode")
    for each in asked:
        each.found = [
            item
            for item in _alike(question, each, candidates_for(limit, _CANDIDATES), filters, likeness)
            if not (here and any(overlap(item.stored, part) for part in parts))
        ]
    question.clock.lap("candidates")
    ranked = _by_best_part(asked, likeness, least)
    if question.rerank:
        question.tell_early(lambda: ranking.select_places(ranked, limit), vectors, warning)
        for each in asked:
            each.found = _rescored(question, each, len(asked))
        ranked = _by_best_part(asked, likeness, least)
        question.clock.lap("rerank")
    return question.result(ranking.select_places(ranked, limit), vectors, warning)


def _vectors(question: Question, chunk: Chunk) -> tuple[Vectors, str]:
    """Those of a piece of code: stored ones where the same text is known, else from the encoder."""
    index = question.index
    stored = {
        exit: index.store.get_vectors(index.fingerprint, exit, [chunk.digest]) for exit in question.exits
    }
    vectors = {exit: known[chunk.digest] for exit, known in stored.items() if known}
    missing = tuple(exit for exit in question.exits if exit not in vectors)
    encoded, warning = question.encode(chunk.encoder_text, "code", missing, chunk.language)
    return {**vectors, **encoded}, warning


def _alike(
    question: Question, part: _Part, count: int, filters: Filters, likeness: Mapping[int, Likeness]
) -> list[Candidate]:
    """Candidates by vectors and, where likeness can weigh them, by words: a clone whose variables have
    other names lies far away, but calls the same."""
    terms = tuple(dict.fromkeys(ranking.terms_of_text(part.stored.chunk.text)))[:_LEXICAL_TERMS]
    if not part.vectors:
        return [Candidate(stored, score) for stored, score in question.by_words(terms, count, filters)]
    near = question.by_vectors(part.vectors, count, filters)
    base = question.plan.within(part.vectors).base
    if not likeness or base not in part.vectors:
        return near
    known = {item.key for item in near}
    worded = [Candidate(stored, 0.0) for stored, _ in question.by_words(terms, count, filters)]
    digests = {item.stored.chunk.digest for item in worded}
    cosines = question.index.similarities(base, part.vectors[base], digests)
    near += [
        Candidate(item.stored, cosines[item.stored.chunk.digest], base)
        for item in worded
        if item.key not in known and item.stored.chunk.digest in cosines
    ]
    likely = ranking.by_likeness(part.stored.chunk, near, likeness)
    order = {item.key: place for place, item in enumerate(likely)}
    return sorted(near, key=lambda item: order[item.key])


def _rescored(question: Question, part: _Part, askers: int) -> list[Candidate]:
    """The deeper similarity simply takes the place of the shallow one."""
    head, tail = part.found[:RERANKED], part.found[RERANKED:]
    deep = question.deep_scores(head, part.vectors, askers)
    return ranking.deepened(head, deep, question.rerank_exit) + tail


def _by_best_part(
    asked: Sequence[_Part], likeness: Mapping[int, Likeness], least: float | None
) -> list[Candidate]:
    has_vectors = bool(asked[0].vectors)
    if has_vectors and likeness:
        ranked = _best([ranking.by_likeness(each.stored.chunk, each.found, likeness) for each in asked])
    else:
        ranked = _best([each.found for each in asked])
    return [item for item in ranked if item.score >= least] if has_vectors and least is not None else ranked


def _best(lists: Sequence[list[Candidate]]) -> list[Candidate]:
    """All candidates, each with the best score of any list, best first."""
    if len(lists) == 1:
        return lists[0]
    best: dict[tuple[int, int, int], Candidate] = {}
    for item in (item for found in lists for item in found):
        if item.key not in best or best[item.key].score < item.score:
            best[item.key] = item
    return sorted(best.values(), key=lambda item: -item.score)
