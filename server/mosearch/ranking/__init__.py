"""Ranking: fusion, features and re-ranking.  Pure functions over arrays and chunks; no I/O of any kind."""

from mosearch.ranking.depth import deepened
from mosearch.ranking.fusion import Candidate, blend, fuse
from mosearch.ranking.nearby import SAMPLE, merged, scores_beside
from mosearch.ranking.query import Query, parse_query
from mosearch.ranking.rules import apply_rules
from mosearch.ranking.selection import select
from mosearch.ranking.terms import FIELD_BOOSTS, TERMS_VERSION, terms_of_chunk, terms_of_text

__all__ = [
    "FIELD_BOOSTS",
    "SAMPLE",
    "TERMS_VERSION",
    "Candidate",
    "Query",
    "apply_rules",
    "blend",
    "deepened",
    "fuse",
    "merged",
    "parse_query",
    "scores_beside",
    "select",
    "terms_of_chunk",
    "terms_of_text",
]
