"""Ranking: from candidate lists to a page of hits.  Pure functions over arrays and chunks, no I/O."""

from mosearch.ranking.candidate import Candidate, key
from mosearch.ranking.depth import deepened
from mosearch.ranking.likeness import (
    DUPLICATE,
    DUPLICATE_COSINE,
    FITTED,
    SIMILAR,
    SIMILAR_COSINE,
    Likeness,
    by_likeness,
)
from mosearch.ranking.nearby import SAMPLE, merged, scores_beside
from mosearch.ranking.pool import Pool, deepened_pool, gather, lacks_quoted
from mosearch.ranking.query import Query, parse_query
from mosearch.ranking.scoring import rank
from mosearch.ranking.selection import select, select_places
from mosearch.ranking.terms import TERMS_VERSION, terms_of_chunk, terms_of_text
from mosearch.ranking.weights import Weights

__all__ = [
    "DUPLICATE",
    "DUPLICATE_COSINE",
    "FITTED",
    "SAMPLE",
    "SIMILAR",
    "SIMILAR_COSINE",
    "TERMS_VERSION",
    "Candidate",
    "Likeness",
    "Pool",
    "Query",
    "Weights",
    "by_likeness",
    "deepened",
    "deepened_pool",
    "gather",
    "key",
    "lacks_quoted",
    "merged",
    "parse_query",
    "rank",
    "scores_beside",
    "select",
    "select_places",
    "terms_of_chunk",
    "terms_of_text",
]
