"""Answers to questions in words: candidates by words and by vectors → fusion and rules → the same with a
deeper exit."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from mosearch import ranking
from mosearch.candidates import Vectors
from mosearch.errors import QueryError
from mosearch.question import RERANKED, Question, candidates_for
from mosearch.ranking import Candidate, Pool, Weights
from mosearch.types import Filters, SearchResult

LONGEST_QUERY = 20_000
"""In characters.  An encoder sees some hundred tokens; what is longer is no question but a file."""

_CANDIDATES = 100
"""By words, and as many by vectors, for a small page: reading them takes most of a question's time, and 200
answer no better."""

_WEIGHTS = Weights()


def search(question: Question, text: str, limit: int, filters: Filters) -> SearchResult:
    """Chunks that answer a question in words, best first.

    Raises `QueryError` for a query that is empty or too long, `StoreError`, `CancelledError`.
    """
    found, vectors, warning = _gather(question, text, candidates_for(limit, _CANDIDATES), filters)
    ranked = ranking.rank(found, _WEIGHTS)
    question.clock.lap("fusion")
    if question.rerank:
        question.tell_early(lambda: _page(ranked, limit), vectors, warning)
        ranked = ranking.rank(_deepened(question, found, ranked, vectors), _WEIGHTS)
        question.clock.lap("rerank")
    return question.result(_page(ranked, limit), vectors, warning)


def pool(question: Question, text: str, filters: Filters) -> Pool:
    """All that `search` ranks for a question, to try other weights on it.  Raises as `search` does."""
    found, vectors, _ = _gather(question, text, _CANDIDATES, filters)
    if not question.rerank:
        return found
    return _deepened(question, found, ranking.rank(found, _WEIGHTS), vectors)


def check_query(text: str) -> None:
    """Raises `QueryError` for what is no question: nothing at all, or far too much."""
    if not text.strip():
        raise QueryError("The query is empty. Say in words what the code does, or give a symbol's name.")
    if len(text) > LONGEST_QUERY:
        raise QueryError(
            f"The query has {len(text):,} characters; at most {LONGEST_QUERY:,} are accepted. "
            "To find code like a piece of code, use `similar`."
        )


def _gather(question: Question, text: str, count: int, filters: Filters) -> tuple[Pool, Vectors, str]:
    """`count` candidates by words, as many by vectors and the definitions that it names, the query's vectors,
    or a warning."""
    check_query(text)
    query = ranking.parse_query(text)
    with ThreadPoolExecutor(1) as beside:
        words = beside.submit(question.by_query, query, count, filters)
        vectors, warning = question.encode(query.text, "query", question.exits)
        question.clock.lap("encode")
        dense = question.by_vectors(vectors, count, filters)
        question.clock.lap("dense")
        defined = question.by_names(query.symbols, filters)
        question.clock.lap("names")
        lexical = words.result()
        question.clock.lap("lexical")
    return ranking.gather(query, lexical, dense, question.rerank_exit, defined), vectors, warning


def _deepened(question: Question, found: Pool, ranked: Sequence[Candidate], vectors: Vectors) -> Pool:
    """The deeper exit re-orders the dense list, so that fusion and rules can be applied once more."""
    deep = question.deep_scores(ranked[:RERANKED], vectors)
    return ranking.deepened_pool(found, deep, question.rerank_exit)


def _page(ranked: Sequence[Candidate], limit: int) -> list[Candidate]:
    return ranking.select(ranked, limit, _WEIGHTS.file_decay)
