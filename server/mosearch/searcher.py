"""The searching flow: candidates by words and by vectors → fusion and rules → the same with a deeper exit."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mosearch import ranking
from mosearch.candidates import Index, Plan, Vectors
from mosearch.connection import Connection
from mosearch.errors import CancelledError, EncoderError, QueryError
from mosearch.ranking import Candidate, Likeness, Pool, Weights
from mosearch.types import (
    Chunk,
    Filters,
    Hit,
    Priority,
    SearchResult,
    StoredChunk,
    TextKind,
)

LONGEST_QUERY = 20_000
"""In characters.  An encoder sees some hundred tokens; what is longer is no question but a file."""

Early = Callable[[SearchResult], None]
"""Told what the answer is so far, when re-ranking still lies ahead."""

_CANDIDATES = 200
# Candidates per hit: copies and parts of one symbol are folded.
_PER_HIT = 2
_RERANKED = 100
_RERANK_BATCH = 8
# Terms of a whole function that full text is asked for when there is no encoder.
_LEXICAL_TERMS = 64


@dataclass(slots=True)
class Searcher:
    """Answers one question from one store.

    Raising `cancel` from another thread ends the question with `CancelledError`, at the next stage.
    """

    index: Index
    encoder: Connection
    at_hand: frozenset[int]
    """Exits at which the question can be embedded now; none when vectors cannot be had."""
    plan: Plan
    rerank_exit: int
    rerank_budget_ms: int
    weights: Weights = field(default_factory=Weights)
    likeness: Mapping[int, Likeness] = field(default_factory=dict)
    """What makes a probability of a cosine similarity, by exit; empty when nobody has fitted it."""
    early: Early | None = None
    cancel: threading.Event | None = None

    def search(self, text: str, limit: int, filters: Filters, *, rerank: bool) -> SearchResult:
        """Chunks that answer a question in words, best first.

        Raises `QueryError` for a query that is empty or too long, `StoreError`.
        """
        clock = _Clock()
        count = _candidates(limit)
        pool, vectors, warning = self._gather(text, count, filters, clock, rerank=rerank)
        ranked = ranking.rank(pool, self.weights)
        clock.lap("fusion")
        if rerank:
            self._tell(lambda: self._page(ranked, limit), vectors, clock, warning)
            ranked = ranking.rank(self._deepened(pool, ranked, vectors), self.weights)
            clock.lap("rerank")
        return self._result(self._page(ranked, limit), vectors, clock, warning)

    def pool(self, text: str, filters: Filters, *, rerank: bool) -> Pool:
        """All that `search` ranks for a question, to try other weights on it.  Raises as `search` does."""
        pool, vectors, _ = self._gather(text, _CANDIDATES, filters, _Clock(), rerank=rerank)
        return self._deepened(pool, ranking.rank(pool, self.weights), vectors) if rerank else pool

    def similar(
        self,
        parts: Sequence[StoredChunk],
        here: bool,
        limit: int,
        filters: Filters,
        *,
        rerank: bool,
        everything: bool,
    ) -> SearchResult:
        """Code that does what the code of `parts` does, best first; a long function counts by its best part.

        If the place is `here`, in this workspace, neither it nor what encloses it is a hit.  Scores are
        probabilities, and what is not similar is no hit unless `everything` is wanted; without weights for
        the model they are cosine similarities, without an encoder words have to do.
        Raises `StoreError`.
        """
        clock = _Clock()
        asked = [_Asked(part, *self._encode_code(part.chunk, rerank=rerank)) for part in parts]
        vectors, warning = asked[0].vectors, asked[0].warning
        clock.lap("encode")
        for each in asked:
            each.found = [
                item
                for item in self._alike(each, _candidates(limit), filters)
                if not (here and any(_same_place(item.stored, part) for part in parts))
            ]
        clock.lap("candidates")
        ranked = self._by_best_part(asked, everything)
        if rerank:
            shallow = ranked
            self._tell(lambda: ranking.select_places(shallow, limit), vectors, clock, warning)
            for each in asked:
                each.found = self._rescore(each.found, each.vectors, len(asked))
            ranked = self._by_best_part(asked, everything)
            clock.lap("rerank")
        return self._result(ranking.select_places(ranked, limit), vectors, clock, warning)

    def _alike(self, asked: _Asked, count: int, filters: Filters) -> list[Candidate]:
        """Candidates by vectors and, where likeness can weigh them, by words: a clone whose variables have
        other names lies far away, but calls the same."""
        terms = tuple(dict.fromkeys(ranking.terms_of_text(asked.part.chunk.text)))[:_LEXICAL_TERMS]
        if not asked.vectors:
            return [Candidate(stored, score) for stored, score in self._lexical(terms, count, filters)]
        near = self._dense(asked.vectors, count, filters)
        if not {item.exit for item in near} <= set(self.likeness):
            return near
        known = {item.key for item in near}
        worded = [Candidate(stored, 0.0) for stored, _ in self._lexical(terms, count, filters)]
        base = self.plan.base
        cosines = self.index.similarities(
            base, asked.vectors[base], {item.stored.chunk.digest for item in worded}
        )
        near += [
            Candidate(item.stored, cosines[item.stored.chunk.digest], base)
            for item in worded
            if item.key not in known and item.stored.chunk.digest in cosines
        ]
        likely = ranking.by_likeness(asked.part.chunk, near, self.likeness)
        order = {item.key: place for place, item in enumerate(likely)}
        return sorted(near, key=lambda item: order[item.key])

    def _by_best_part(self, asked: Sequence[_Asked], everything: bool) -> list[Candidate]:
        exits = {item.exit for each in asked for item in each.found}
        if not exits <= set(self.likeness):
            return _best([each.found for each in asked])
        ranked = _best([ranking.by_likeness(each.part.chunk, each.found, self.likeness) for each in asked])
        return [item for item in ranked if everything or item.score >= ranking.SIMILAR]

    def _gather(
        self, text: str, count: int, filters: Filters, clock: _Clock, *, rerank: bool
    ) -> tuple[Pool, Vectors, str]:
        """`count` candidates by words and as many by vectors, the query's vectors, or a warning."""
        check_query(text)
        query = ranking.parse_query(text)
        with ThreadPoolExecutor(1) as beside:
            words = beside.submit(self._lexical, query.terms, count, filters)
            vectors, warning = self._encode_query(query.text, rerank=rerank)
            clock.lap("encode")
            dense = self._dense(vectors, count, filters)
            clock.lap("dense")
            lexical = words.result()
            clock.lap("lexical")
        return ranking.gather(query, lexical, dense, self.rerank_exit), vectors, warning

    def _page(self, ranked: Sequence[Candidate], limit: int) -> list[Candidate]:
        return ranking.select(ranked, limit, self.weights.file_decay)

    def _result(
        self, chosen: Sequence[Candidate], vectors: Vectors, clock: _Clock, warning: str
    ) -> SearchResult:
        exit = self.plan.within(vectors).base if vectors else None
        return SearchResult(_hits(chosen), clock.timing(), exit, warning=warning)

    def _tell(
        self, page: Callable[[], list[Candidate]], vectors: Vectors, clock: _Clock, warning: str
    ) -> None:
        """Give the answer so far to whoever wants it early, unless re-ranking will change nothing."""
        self._check_cancelled()
        if self.early is None or self._is_final(vectors) or self.rerank_exit not in vectors:
            return
        self.early(self._result(page(), vectors, clock, warning))
        self._check_cancelled()

    def _check_cancelled(self) -> None:
        if self.cancel is not None and self.cancel.is_set():
            raise CancelledError("The request was cancelled.")

    def _lexical(self, terms: Sequence[str], count: int, filters: Filters) -> list[tuple[StoredChunk, float]]:
        if not terms:
            return []
        hits = self.index.store.search_text(terms, ranking.FIELD_BOOSTS, count, filters)
        return self.index.overlay.words(terms, hits, filters)

    def _dense(self, vectors: Vectors, count: int, filters: Filters) -> list[Candidate]:
        return self.index.nearest(self.plan.within(vectors), vectors, count, filters)

    def _is_final(self, vectors: Vectors) -> bool:
        """Whether the candidates already come from the exit that would re-rank them."""
        return self.plan.within(vectors).exits == (self.rerank_exit,)

    def _encode_query(self, text: str, *, rerank: bool) -> tuple[Vectors, str]:
        return self._encode(text, "query", self._exits(rerank))

    def _encode_code(self, chunk: Chunk, *, rerank: bool) -> tuple[Vectors, str]:
        """Vectors of a piece of code: stored ones where the same text is known, else from the encoder."""
        vectors = {}
        for exit in self._exits(rerank):
            known = self.index.store.get_vectors(self.index.fingerprint, exit, [chunk.digest])
            if chunk.digest in known:
                vectors[exit] = known[chunk.digest]
        missing = tuple(exit for exit in self._exits(rerank) if exit not in vectors)
        encoded, warning = self._encode(chunk.encoder_text, "code", missing)
        return {**vectors, **encoded}, warning

    def _encode(self, text: str, kind: TextKind, exits: tuple[int, ...]) -> tuple[Vectors, str]:
        """One text at some exits, or at what is at hand instead; if the host fails, without it, and why."""
        usable = (self.at_hand & {*exits}) or self.at_hand
        if not exits or not usable:
            return {}, ""
        try:
            encoded = self.encoder.encode([text], kind, usable, priority=Priority.QUERY, cancel=self.cancel)
        except CancelledError:
            raise
        except EncoderError as error:
            encoded = self._without_host(text, kind)
            return {exit: found[0] for exit, found in encoded.items()}, without_host(encoded, str(error))
        return {exit: found[0] for exit, found in encoded.items()}, ""

    def _without_host(self, text: str, kind: TextKind) -> dict[int, NDArray[np.float16]]:
        self.at_hand = frozenset(exit for exit in self.at_hand if not self.encoder.needs_host(exit))
        return self.encoder.encode([text], kind, self.at_hand, priority=Priority.QUERY)

    def _exits(self, rerank: bool) -> tuple[int, ...]:
        return tuple(sorted({*self.plan.exits, self.rerank_exit} if rerank else set(self.plan.exits)))

    def _deepened(self, pool: Pool, ranked: Sequence[Candidate], vectors: Vectors) -> Pool:
        """The deeper exit re-orders the dense list, so that fusion and rules can be applied once more."""
        deep = self._deep_scores(ranked[:_RERANKED], vectors)
        return ranking.deepened_pool(pool, deep, self.rerank_exit)

    def _rescore(self, candidates: list[Candidate], vectors: Vectors, askers: int) -> list[Candidate]:
        """For code → code the deeper similarity simply takes the place of the shallow one."""
        head, tail = candidates[:_RERANKED], candidates[_RERANKED:]
        return ranking.deepened(head, self._deep_scores(head, vectors, askers), self.rerank_exit) + tail

    def _deep_scores(
        self, candidates: Sequence[Candidate], vectors: Vectors, askers: int = 1
    ) -> dict[str, float]:
        """Digest → similarity at the re-ranking exit, as far as one asker's share of the time allows."""
        if self._is_final(vectors) or self.rerank_exit not in vectors or not candidates:
            return {}
        query = vectors[self.rerank_exit]
        texts = {item.stored.chunk.digest: item.stored.chunk for item in candidates}
        known = self.index.similarities(self.rerank_exit, query, texts)
        direction = query.astype(np.float32)
        computed = self._compute([chunk for digest, chunk in texts.items() if digest not in known], askers)
        return known | {
            digest: float(vector.astype(np.float32) @ direction) for digest, vector in computed.items()
        }

    def _compute(self, chunks: Sequence[Chunk], askers: int) -> dict[str, NDArray[np.float16]]:
        """Embed at the re-ranking exit until the time budget is spent, best candidates first; keep them."""
        if self.rerank_exit not in self.at_hand:
            return {}
        deadline = time.monotonic() + self.rerank_budget_ms / 1000 / askers
        computed: dict[str, NDArray[np.float16]] = {}
        tempo = self.encoder.tempo
        while batch := chunks[len(computed) : len(computed) + _RERANK_BATCH]:
            texts = [chunk.encoder_text for chunk in batch]
            begun = time.monotonic()
            # One text may take all the time that is left; several only half of it, as guesses err.
            count = max(
                tempo.fitting(texts[:1], deadline - begun), tempo.fitting(texts, (deadline - begun) / 2)
            )
            if not count:
                break
            texts, batch = texts[:count], batch[:count]
            try:
                encoded = self.encoder.encode(
                    texts,
                    "code",
                    (self.rerank_exit,),
                    priority=Priority.RERANK,
                    languages=[chunk.language for chunk in batch],
                    cancel=self.cancel,
                )
            except CancelledError:
                raise
            except EncoderError:
                break  # The fused order stands; the query's own encoding already reported the trouble.
            tempo.note(texts, time.monotonic() - begun)
            computed.update(zip((c.digest for c in batch), encoded[self.rerank_exit], strict=True))
        if computed:
            self.index.store.add_vectors_later(self.index.fingerprint, self.rerank_exit, computed)
        elif chunks:
            tempo.doubt()
        return computed


@dataclass(slots=True)
class _Asked:
    """One part of the code that others shall be like."""

    part: StoredChunk
    vectors: Vectors
    warning: str
    found: list[Candidate] = field(default_factory=list)


def _best(lists: Sequence[list[Candidate]]) -> list[Candidate]:
    """All candidates, each with the best score of any list, best first."""
    if len(lists) == 1:
        return lists[0]
    best: dict[tuple[int, int, int], Candidate] = {}
    for item in (item for found in lists for item in found):
        if item.key not in best or best[item.key].score < item.score:
            best[item.key] = item
    return sorted(best.values(), key=lambda item: -item.score)


def neighbours(
    index: Index, exit: int, place: StoredChunk, least: float, limit: int, filters: Filters
) -> tuple[Hit, ...]:
    """Chunks whose stored vectors at an exit are at least so like the one of `place`, without its own place.

    `least` is a cosine similarity.  Nothing where the text at `place` has no vector yet: the encoder is
    never asked.  Raises `StoreError`.
    """
    digest = place.chunk.digest
    known = index.overlay.vectors(exit, [digest]) or index.store.get_vectors(
        index.fingerprint, exit, [digest]
    )
    if digest not in known:
        return ()
    found = index.nearest(Plan(exit), {exit: known[digest]}, 2 * limit, filters)
    alike = [item for item in found if item.score >= least and not _same_place(item.stored, place)]
    return _hits(ranking.select_places(alike, limit))


def other_parts(place: StoredChunk, stored: Sequence[StoredChunk]) -> list[StoredChunk]:
    """The parts of the symbol of `place` but its own, among the chunks of its file."""
    runs: list[list[StoredChunk]] = []
    for each in stored:  # by where they start, so overloads follow one another
        if _name(each) == _name(place) and each.chunk.parts == place.chunk.parts:
            if each.chunk.part == 0 or not runs:
                runs.append([])
            runs[-1].append(each)
    own = [run for run in runs if any(each.chunk.digest == place.chunk.digest for each in run)]
    return [each for run in own[:1] for each in run if each.chunk.part != place.chunk.part]


def without_host(exits: Collection[int], trouble: str) -> str:
    """What to tell about answers that had to do with these exits."""
    by = f"the cheapest exit, {max(exits)}," if exits else "words"
    return f"Answers are by {by} only: {trouble}"


def _candidates(limit: int) -> int:
    return max(_CANDIDATES, _PER_HIT * limit)


def check_query(text: str) -> None:
    """Raises `QueryError` for what is no question: nothing at all, or far too much."""
    if not text.strip():
        raise QueryError("The query is empty. Say in words what the code does, or give a symbol's name.")
    if len(text) > LONGEST_QUERY:
        raise QueryError(
            f"The query has {len(text):,} characters; at most {LONGEST_QUERY:,} are accepted. "
            "To find code like a piece of code, use `similar`."
        )


def _same_place(hit: StoredChunk, place: StoredChunk) -> bool:
    """Whether a hit is the asked-about place itself, another part of it, or what encloses it."""
    if hit.path != place.path:
        return False
    if hit.chunk.parts > 1 and place.chunk.parts > 1 and _name(hit) == _name(place):
        return True
    return hit.chunk.start_line <= place.chunk.end_line and place.chunk.start_line <= hit.chunk.end_line


def _name(stored: StoredChunk) -> tuple[str, str]:
    return (stored.chunk.container, stored.chunk.symbol)


def _hits(candidates: Sequence[Candidate]) -> tuple[Hit, ...]:
    return tuple(
        Hit(item.stored.path, item.stored.chunk, round(item.score, 4), item.exit) for item in candidates
    )


class _Clock:
    """Milliseconds per stage and in total.  Words are looked up beside the other stages: `lexical` is
    what was still to wait for."""

    def __init__(self) -> None:
        self._start = self._last = time.perf_counter()
        self._laps: dict[str, float] = {}

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self._laps[stage] = (now - self._last) * 1000
        self._last = now

    def timing(self) -> dict[str, float]:
        laps = self._laps | {"total": (time.perf_counter() - self._start) * 1000}
        return {stage: round(value, 2) for stage, value in laps.items()}
