"""One question to an index, in words or by code: its vectors, its candidates, and what a deeper exit says of
them, within the time it has."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mosearch.candidates import Index, Plan, Vectors
from mosearch.connection import Connection
from mosearch.cosines import cosines
from mosearch.errors import CancelledError, EncoderError
from mosearch.ranking import Candidate, Query, key, lacks_quoted
from mosearch.types import Chunk, Filters, Hit, Priority, SearchResult, StoredChunk, TextKind

Early = Callable[[SearchResult], None]
"""Told what the answer is so far, when re-ranking still lies ahead."""

RERANKED = 100
"""So many candidates the deeper exit looks at."""

_NAMESAKES = 10
"""More symbols of one name are no answer to it; between 5 and 20 it makes no difference."""
_LOOKED_THROUGH = 1_000
"""At most so many chunks with all words of a quotation are searched for its very text."""
_PARTS = 8
"""So many parts for each are looked through."""

# Candidates per hit: copies and parts of one symbol are folded.
_PER_HIT = 2
_RERANK_BATCH = 8


class Clock:
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


@dataclass(slots=True)
class Question:
    """What one question may use, and how far it is.

    Raising `cancel` from another thread ends it with `CancelledError`, at the next stage.
    """

    index: Index
    encoder: Connection
    plan: Plan
    rerank: bool
    """Whether a deeper exit than the plan's has its say."""
    rerank_exit: int
    rerank_budget_ms: int
    at_hand: frozenset[int] = frozenset()
    """Exits at which a text can be embedded now; with none only stored vectors can be had."""
    seeks_words: bool = True
    """Whether full text is asked, too, where most of the time of a question about code goes."""
    is_growing: bool = False
    """Files are being read just now: words that came last may be missed, for a quick answer."""
    is_current: Callable[[StoredChunk], bool] | None = None
    """Asked of each hit, where what is stored may not be what is on disk."""
    early: Early | None = None
    cancel: threading.Event | None = None
    clock: Clock = field(default_factory=Clock)

    @property
    def exits(self) -> tuple[int, ...]:
        """Those at which it wants vectors of what is asked."""
        return tuple(sorted({*self.plan.exits, self.rerank_exit} if self.rerank else set(self.plan.exits)))

    def encode(
        self, text: str, kind: TextKind, exits: tuple[int, ...], language: str = ""
    ) -> tuple[Vectors, str]:
        """One text at some exits, or at what is at hand instead; if the host fails, without it, and why.

        `language` as for stored chunks, where it is known.
        """
        usable = (self.at_hand & {*exits}) or self.at_hand
        if not exits or not usable:
            return {}, ""
        try:
            encoded = self.encoder.encode(
                [text], kind, usable, priority=Priority.QUERY, languages=[language], cancel=self.cancel
            )
        except CancelledError:
            raise
        except EncoderError as error:
            encoded = self._without_host(text, kind, language)
            return {exit: found[0] for exit, found in encoded.items()}, without_host(encoded, str(error))
        return {exit: found[0] for exit, found in encoded.items()}, ""

    def by_words(
        self, terms: Sequence[str], count: int, filters: Filters, *, every: bool = False
    ) -> list[tuple[StoredChunk, float]]:
        """Chunks by BM25 over some terms, best first; with `every` term, or with any."""
        if not terms or not self.seeks_words:
            return []
        hits = self.index.store.search_text(terms, count, filters, every=every, is_growing=self.is_growing)
        return self.index.overlay.words(terms, hits, filters)

    def by_query(self, query: Query, count: int, filters: Filters) -> list[tuple[StoredChunk, float]]:
        """Chunks by the words that a query seeks; those that hold all that it quotes come first.

        Of common words nearly all code holds some: what has them all is looked through.
        """
        found = self.by_words(query.sought, count, filters)
        if not query.quoted:
            return found
        together = self.by_words(query.sought, _LOOKED_THROUGH, filters, every=True)
        holding = [hit for hit in together if not lacks_quoted(query, hit[0].chunk)][:count]
        known = {key(stored) for stored, _ in holding}
        return [*holding, *(hit for hit in found if key(hit[0]) not in known)]

    def by_names(self, names: Collection[str], filters: Filters) -> list[StoredChunk]:
        """Where symbols of these names begin; nothing of a name that is given often: it says too little."""
        found = []
        for name, stored in self._symbols(sorted(names)).items():
            begin = [each for each in self.index.overlay.named(name, stored, filters) if each.chunk.part == 0]
            found += begin if len(begin) <= _NAMESAKES else []
        return found

    def _symbols(self, names: Sequence[str]) -> Mapping[str, Sequence[StoredChunk]]:
        """What is stored of each name, or more than enough of it.

        One question to the table for all of them, as each takes milliseconds; one for each where a name has
        so many chunks that they may have hidden those of others.
        """
        symbols, most = self.index.store.symbols, _PARTS * _NAMESAKES
        together = symbols(names, most * len(names)) if names else []
        if len(together) == most * len(names):
            return {name: symbols([name], most) for name in names}
        found = defaultdict[str, list[StoredChunk]](list)
        for each in together:
            found[each.chunk.symbol.casefold()].append(each)
        return {name: found[name.casefold()] for name in names}

    def by_vectors(self, vectors: Vectors, count: int, filters: Filters) -> list[Candidate]:
        """The chunks nearest to what is asked, best first."""
        return self.index.nearest(self.plan.within(vectors), vectors, count, filters)

    def deep_scores(
        self, candidates: Sequence[Candidate], vectors: Vectors, askers: int = 1
    ) -> dict[str, float]:
        """Digest → similarity at the re-ranking exit, as far as one asker's share of the time allows."""
        if self._is_final(vectors) or self.rerank_exit not in vectors or not candidates:
            return {}
        query = vectors[self.rerank_exit]
        texts = {item.stored.chunk.digest: item.stored.chunk for item in candidates}
        known = self.index.similarities(self.rerank_exit, query, texts)
        computed = self._compute([chunk for digest, chunk in texts.items() if digest not in known], askers)
        return known | cosines(computed, query)

    def tell_early(self, page: Callable[[], Sequence[Candidate]], vectors: Vectors, warning: str) -> None:
        """Give the answer so far to whoever wants it early, unless re-ranking will change nothing."""
        self._check_cancelled()
        if self.early is None or self._is_final(vectors) or self.rerank_exit not in vectors:
            return
        self.early(self.result(page(), vectors, warning))
        self._check_cancelled()

    def result(self, chosen: Sequence[Candidate], vectors: Vectors, warning: str) -> SearchResult:
        """The answer; `vectors` are those that it rests on."""
        exit = self.plan.within(vectors).base if vectors else None
        if self.is_current is not None:
            chosen = [item for item in chosen if self.is_current(item.stored)]
        hits = tuple(
            Hit(item.stored.path, item.stored.chunk, round(item.score, 4), item.exit) for item in chosen
        )
        return SearchResult(hits, self.clock.timing(), exit, warning=warning)

    def _check_cancelled(self) -> None:
        if self.cancel is not None and self.cancel.is_set():
            raise CancelledError("The request was cancelled.")

    def _is_final(self, vectors: Vectors) -> bool:
        """Whether the candidates already come from the exit that would re-rank them."""
        return self.plan.within(vectors).exits == (self.rerank_exit,)

    def _without_host(self, text: str, kind: TextKind, language: str) -> dict[int, NDArray[np.float16]]:
        self.at_hand = frozenset(exit for exit in self.at_hand if not self.encoder.needs_host(exit))
        return self.encoder.encode([text], kind, self.at_hand, priority=Priority.QUERY, languages=[language])

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
                break  # The order so far stands; encoding the question already reported the trouble.
            tempo.note(texts, time.monotonic() - begun)
            computed.update(zip((c.digest for c in batch), encoded[self.rerank_exit], strict=True))
        if computed:
            self.index.store.add_vectors_later(self.index.fingerprint, self.rerank_exit, computed)
        elif chunks:
            tempo.doubt()
        return computed


def candidates_for(limit: int, least: int) -> int:
    """How many candidates of each kind a page of `limit` hits is chosen from."""
    return max(least, _PER_HIT * limit)


def without_host(exits: Collection[int], trouble: str) -> str:
    """What to tell about answers that had to do with these exits."""
    by = f"the cheapest exit, {max(exits)}," if exits else "words"
    return f"Answers are by {by} only: {trouble}"
