"""The façade that the command line and the language server share: questions to a workspace's index.

One `Engine` serves one workspace root: `Opened` is what it holds, `Upkeep` how it stays up to date.  It turns
failures of the encoder into answers by words with a warning.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from mosearch import places, ranking, searcher, similar
from mosearch.candidates import Index, plan
from mosearch.question import Early, Question, without_host
from mosearch.ranking import Likeness, Pool
from mosearch.settings import Settings
from mosearch.store import Coverage
from mosearch.types import Chunk, Filters, Hit, SearchResult, StoredChunk
from mosearch.upkeep import Upkeep

_STARTING = "The encoder is still starting; ask again in a moment."
# Of a long body so many parts are compared beside the one that was pointed at.
_MOST_OTHER_PARTS = 5


class Engine(Upkeep):
    """Index, search and status of one workspace.  Methods may be called from several threads."""

    def __init__(
        self,
        root: Path,
        settings: Settings,
        linger_seconds: float | None = None,
        *,
        warm_up: bool = False,
        patience_seconds: float | None = None,
    ) -> None:
        """Open, or begin, the index of `root`.

        `linger_seconds` is how long the encoder host is asked to stay for others after this engine is
        closed; None asks for the setting `idle_seconds`.  With `warm_up`, a host that even the cheapest
        exit needs is sought, and started if need be, while the store opens.  A question waits for a host
        that starts; if `patience_seconds` are given, only for so long, and only where the index is deeper
        than what can be embedded without it.
        A model that is missing or damaged is no error: answers are by words until it is there.
        Raises `RootError`, `SettingsError`, `StoreError`.
        """
        super().__init__(root, settings, linger_seconds, warm_up=warm_up)
        self._patience_seconds = patience_seconds

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def show(self, path: str, text: str) -> None:
        """An editor shows `text` for `path` (relative, `/`): it replaces what is stored in every answer.

        Its words are found at once, its meaning after `embed_shown`.  A file that is ignored or no code
        stays out.  Raises `StoreError`.
        """
        self._pace.use(path)
        self._documents.lay(path, text, self._ground())

    def hide(self, path: str) -> None:
        """The editor closed `path`: what is stored counts again."""
        self._documents.hide(path)

    def search(
        self,
        query: str,
        limit: int,
        filters: Filters | None = None,
        *,
        rerank: bool = True,
        early: Early | None = None,
        cancel: threading.Event | None = None,
    ) -> SearchResult:
        """Answer a question in words from the index as it is now.

        `early` gets the answer as it is before re-ranking; raising `cancel` ends the question.
        Raises `QueryError`, `StoreError`, `CancelledError`.
        """
        return self._answer(
            lambda question: searcher.search(question, query, limit, filters or Filters()),
            rerank,
            early,
            cancel,
        )

    def pool(self, query: str, *, rerank: bool = True) -> Pool:
        """All that `search` ranks for a question, to try other weights on it.

        Raises `QueryError`, `StoreError`.
        """
        question = self._question(self._recent_coverage(), rerank)
        self._let_encode(question)
        return searcher.pool(question, query, Filters())

    def chunks(self, path: str, text: str) -> tuple[Chunk, ...]:
        """Those of a `text` that an editor shows for `path`, in order."""
        return places.chunks_in(path, text, digest_language=self.model.reads_language)

    def place(
        self, path: str, start_line: int, end_line: int | None = None, text: str | None = None
    ) -> StoredChunk:
        """The chunk at a 0-based line of `path` (relative, `/`), or exactly the lines up to `end_line`.

        `text` is the content that an editor shows.
        Raises `QueryError` where there is no code, `StoreError`.
        """
        told = self.model.reads_language
        if end_line is not None:
            return places.lines(self.root, path, start_line, end_line, text, digest_language=told)
        if text is not None:
            return places.at_line(path, start_line, self.chunks(path, text))
        return self._mended(lambda: places.in_index(self.root, self.store, path, start_line))

    @property
    def similar_from(self) -> float:
        """The score of `similar` from which code counts as similar."""
        default = ranking.SIMILAR if self._likeness else ranking.SIMILAR_COSINE
        wanted = self.settings.similar_threshold
        return wanted if wanted is not None else default

    @property
    def duplicate_from(self) -> float:
        """The score of `similar` from which functions are nearly the same."""
        default = ranking.DUPLICATE if self._likeness else ranking.DUPLICATE_COSINE
        wanted = self.settings.duplicate_threshold
        return wanted if wanted is not None else default

    def similar(
        self,
        place: StoredChunk,
        here: bool,
        limit: int,
        filters: Filters | None = None,
        *,
        rerank: bool = True,
        everything: bool = False,
        early: Early | None = None,
        cancel: threading.Event | None = None,
    ) -> SearchResult:
        """Code like that at `place`, without the place itself if it is `here`, in this workspace.

        What is probably not similar is left out unless `everything` is wanted.  `early` and `cancel` are as
        for `search`.  Raises `QueryError`, `StoreError`, `CancelledError`.
        """
        wanted = filters or Filters()
        knows = self._likeness or self.settings.similar_threshold is not None
        least = self.similar_from if knows and not everything else None
        return self._answer(
            lambda question: self._similar(question, place, here, limit, wanted, least), rerank, early, cancel
        )

    def neighbours(self, place: StoredChunk, least: float, limit: int) -> tuple[Hit, ...]:
        """What `similar` answers for a place in this workspace, down to a score of `least`, as far as stored
        vectors tell: for work in idle time.

        Nothing where the text has no vector yet.  Raises `StoreError`.
        """
        question = self._question(self._recent_coverage(), self.settings.rerank)
        question.seeks_words = False
        return self._similar(question, place, True, limit, Filters(), least).hits

    @property
    def _likeness(self) -> Mapping[int, Likeness]:
        """What makes probabilities of cosine similarities; nothing if an exit in use lacks it."""
        fitted = ranking.FITTED.get(self.model.name, {})
        return fitted if {self.first_exit, self.index_exit, self.rerank_exit} <= fitted.keys() else {}

    def _similar(
        self,
        question: Question,
        place: StoredChunk,
        here: bool,
        limit: int,
        filters: Filters,
        least: float | None,
    ) -> SearchResult:
        others = places.other_parts(place, self.store)[:_MOST_OTHER_PARTS] if here else []
        return similar.similar(question, [place, *others], here, limit, filters, self._likeness, least)

    def _question(
        self,
        coverage: Coverage,
        rerank: bool,
        early: Early | None = None,
        cancel: threading.Event | None = None,
    ) -> Question:
        """One that has stored vectors only."""
        exits = {self.first_exit, self.index_exit} | ({self.rerank_exit} if rerank else set())
        return Question(
            index=Index(self.store, self.overlay, self.model.fingerprint),
            encoder=self._encoder,
            plan=plan(coverage, exits, self.overlay),
            rerank=rerank,
            rerank_exit=self.rerank_exit,
            rerank_budget_ms=self.settings.rerank_budget_ms,
            is_growing=self.activity.stage == "parse",
            is_current=None if self._is_compared else self._is_current,
            early=early,
            cancel=cancel,
        )

    def _let_encode(self, question: Question) -> None:
        """Give a question the exits at which it can be embedded now."""
        question.at_hand = self._encoder.exits_at_hand(
            question.plan.base, question.exits, self._patience_seconds
        )

    def _answer(
        self,
        ask: Callable[[Question], SearchResult],
        rerank: bool,
        early: Early | None,
        cancel: threading.Event | None,
    ) -> SearchResult:
        self._pace.use()
        try:
            return self._mended(lambda: self._ask(ask, rerank, early, cancel), cancel)
        finally:
            self._pace.use()

    def _ask(
        self,
        ask: Callable[[Question], SearchResult],
        rerank: bool,
        early: Early | None,
        cancel: threading.Event | None,
    ) -> SearchResult:
        coverage = self._recent_coverage()
        question = self._question(coverage, rerank, early, cancel)
        self._let_encode(question)
        is_missed = question.plan.base not in question.at_hand
        trouble = self._encoder.trouble or (_STARTING if is_missed else "")
        said = without_host(question.at_hand, trouble) if trouble else self._encoder.host_trouble
        result = ask(question)
        warning = " ".join(filter(None, (result.warning, said)))
        return replace(result, pending=coverage.missing(self.index_exit), warning=warning)
