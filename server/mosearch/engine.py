"""The façade that the command line and the language server share: questions to a workspace's index.

One `Engine` serves one workspace root: `Opened` is what it holds, `Upkeep` how it stays up to date.  It turns
failures of the encoder into answers by words with a warning.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from mosearch import places, ranking, searcher, similar
from mosearch.candidates import Index, plan
from mosearch.question import Early, Question, without_host
from mosearch.ranking import Pool
from mosearch.settings import Settings
from mosearch.store import Coverage
from mosearch.types import Filters, Hit, SearchResult, StoredChunk
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
        question = self._question(rerank, self._recent_coverage(), None, None)
        return searcher.pool(question, query, Filters())

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
            return places.in_text(path, start_line, text, digest_language=told)
        return self._mended(lambda: places.in_index(self.root, self.store, path, start_line))

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
        likeness = ranking.FITTED.get(self.model.name, {})

        def ask(question: Question) -> SearchResult:
            others = places.other_parts(place, self.store)[:_MOST_OTHER_PARTS] if here else []
            return similar.similar(
                question, [place, *others], here, limit, wanted, likeness, everything=everything
            )

        return self._answer(ask, rerank, early, cancel)

    def neighbours(self, place: StoredChunk, least: float, limit: int, filters: Filters) -> tuple[Hit, ...]:
        """Code at least so like that at `place` by stored vectors alone: for work in idle time.

        `least` is a cosine similarity at the index exit.  Raises `StoreError`.
        """
        index = Index(self.store, self.overlay, self.model.fingerprint)
        return similar.neighbours(index, self.index_exit, place, least, limit, filters)

    def _question(
        self, rerank: bool, coverage: Coverage, early: Early | None, cancel: threading.Event | None
    ) -> Question:
        exits = {self.first_exit, self.index_exit} | ({self.rerank_exit} if rerank else set())
        best = plan(coverage, exits, self.overlay)
        wanted = {*best.exits, *({self.rerank_exit} if rerank else ())}
        return Question(
            index=Index(self.store, self.overlay, self.model.fingerprint),
            encoder=self._encoder,
            at_hand=self._encoder.exits_at_hand(best.base, wanted, self._patience_seconds),
            plan=best,
            rerank=rerank,
            rerank_exit=self.rerank_exit,
            rerank_budget_ms=self.settings.rerank_budget_ms,
            early=early,
            cancel=cancel,
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
            return self._mended(lambda: self._ask(ask, rerank, early, cancel))
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
        question = self._question(rerank, coverage, early, cancel)
        is_missed = question.plan.base not in question.at_hand
        trouble = self._encoder.trouble or (_STARTING if is_missed else "")
        said = without_host(question.at_hand, trouble) if trouble else self._encoder.host_trouble
        result = ask(question)
        warning = " ".join(filter(None, (result.warning, said)))
        return replace(result, pending=coverage.missing(self.index_exit), warning=warning)
