"""A real language server under real edits: how soon they are found, and what it costs.

Everything goes through standard input and output, as an editor would do it.
"""

from __future__ import annotations

import queue
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from mosearch import encoder, parsing, workspace
from mosearch.engine import Engine
from mosearch.evaluation.replay import Edit, History
from mosearch.evaluation.session import Session
from mosearch.evaluation.watching import (
    MOST_CHUNKS,
    Samples,
    is_settled,
    literally,
    private_folders,
    sampled,
    settle,
)
from mosearch.settings import load_settings

DEBOUNCE_MS = 50.0
"""What the server waits for after the last key."""
_POLL_SECONDS = 0.005
_ASK_SECONDS = 0.05
_EDIT_SECONDS = 30.0
_QUERY_CHARACTERS = 1_000
_CANCELS = 20
_CANCEL_SECONDS = 3.0
_CONNECT_SECONDS = 60.0
_QUESTION = "read the configuration and merge it with the defaults"

Figures = dict[str, float]


@dataclass(slots=True)
class Report:
    """Figures by section; milliseconds, seconds, MB and counts as their names say."""

    sections: dict[str, Figures] = field(default_factory=dict)
    samples: Samples = field(default_factory=dict)
    """While the first index was built."""


def measure(
    repository: Path,
    revision: str,
    edits: int,
    changed_files: int,
    index_seconds: float,
    tell: Callable[[str], None],
    save: Callable[[Report], None],
) -> Report:
    """Run all sections in private folders, which are removed afterwards; `save` what is there after each."""
    report = Report()
    with private_folders() as folder:
        history = History(repository, folder / "work", revision)
        options: dict[str, object] = {"deepen": False}
        with Session(history.root, options) as session:
            tell(f"{history.files():,} files checked out; first index")
            report.sections["while the first index is built"] = _first_index(session, report, index_seconds)
            save(report)
            tell("edits")
            replayed = list(islice(history.edits(), edits))
            report.sections["edit to searchable"] = _edits(session, replayed)
            save(report)
            tell("checkout")
            beside = History(repository, folder / "beside", revision)
            report.sections["checkout"] = _checkout(session, history, beside, changed_files)
            save(report)
        tell("cancel")
        with Session(history.root, {**options, "rerank_budget_ms": 60_000}) as session:
            settle(session)
            report.sections["cancelled query"] = _cancel(session, [edit.after for edit in replayed])
            save(report)
    return report


def _first_index(session: Session, report: Report, most_seconds: float) -> Figures:
    """Ask again and again while texts are being embedded."""
    times: dict[str, list[float]] = defaultdict(list)
    with sampled(session) as samples:
        start = time.monotonic()
        while time.monotonic() - start < most_seconds:
            times["status"].append(session.ask("mosearch/status", None).seconds)
            times["search"].append(session.ask("mosearch/search", {"query": _QUESTION}).seconds)
            if is_settled(session.status()):
                break
            time.sleep(_ASK_SECONDS)
        seconds = time.monotonic() - start
    report.samples = samples
    status = settle(session)
    figures: Figures = {"seconds": seconds, "files": status["files"], "chunks": status["chunks"]}
    for name, values in times.items():
        figures |= _spread(f"{name} ms", values, (50, 99))
    for name, rows in samples.items():
        figures[f"{name} cores busy"] = float(np.mean([cores for _, cores, _ in rows]))
        figures[f"{name} peak MB"] = max(size for _, _, size in rows)
    return figures


def _edits(session: Session, edits: list[Edit]) -> Figures:
    """Each in an unsaved buffer, a few lines further down than before, so that its place is told apart."""
    words: list[float] = []
    meaning: list[float] = []
    first = missed = 0
    for number, edit in enumerate(edits):
        session.show(edit.path, edit.before)
        margin = 1 + number % 7
        line = edit.changed.start_line + margin
        query = edit.changed.text[:_QUERY_CHARACTERS]
        start = time.perf_counter()
        session.show(edit.path, "\n" * margin + edit.after)
        found = _until_found(session, edit.path, line, query, start)
        words += [found[key] for key in ("words",) if key in found]
        meaning += [found[key] for key in ("meaning",) if key in found]
        missed += len(found) < 2
        first += any(_is_at(hit, session, edit.path, line) for hit in _ask(session, query, limit=1))
        session.hide(edit.path)
    after_debounce = [seconds - DEBOUNCE_MS / 1000 for seconds in meaning]
    return {
        "edits": len(edits),
        "not found": missed,
        "first of all answers": first,
        **_spread("by words, ms", words, (50, 95)),
        **_spread("by meaning, ms", meaning, (50, 95)),
        **_spread("by meaning, after the debounce, ms", after_debounce, (50, 95)),
    }


def _until_found(session: Session, path: str, line: int, query: str, start: float) -> dict[str, float]:
    """Seconds until words and meaning are found.  Only that file is asked about: whether a change is there
    must not depend on how many other places answer as well."""
    found: dict[str, float] = {}
    within = {"paths": ["/" + literally(path)]}
    while len(found) < 2 and time.perf_counter() - start < _EDIT_SECONDS:
        time.sleep(_POLL_SECONDS)
        for hit in _ask(session, query, limit=MOST_CHUNKS, filters=within):
            if _is_at(hit, session, path, line):
                found.setdefault("words", time.perf_counter() - start)
                if hit["exit"] is not None:
                    found.setdefault("meaning", time.perf_counter() - start)
    return found


def _ask(session: Session, query: str, **options: object) -> list[dict[str, Any]]:
    return session.search(query, rerank=False, **options)


def _is_at(hit: Mapping[str, Any], session: Session, path: str, line: int) -> bool:
    place = hit["location"]
    return bool(place["uri"] == (session.root / path).as_uri() and place["range"]["start"]["line"] == line)


def _checkout(session: Session, history: History, beside: History, changed_files: int) -> Figures:
    """To a commit that differs in that many files, and back; `beside` tells what to expect there."""
    home = history.commit()
    there, differing = history.far_commit(changed_files)
    figures: Figures = {"files that differ": differing}
    for name, commit in (("there", there), ("back", home)):
        beside.checkout(commit)
        expected = digests(beside.root)
        unseen, rows = _unseen(session, expected)
        start = time.monotonic()
        history.checkout(commit)
        switched = time.monotonic()
        status = settle(session, {"chunks": sum(expected.values()), "pending": 0})
        figures[f"{name}: git itself, s"] = switched - start
        figures[f"{name}: consistent after, s"] = time.monotonic() - switched
        figures[f"{name}: chunks"] = status["chunks"]
        figures[f"{name}: texts never seen"] = unseen
        figures[f"{name}: texts embedded"] = _unseen(session, expected)[1] - rows
    return figures


def _cancel(session: Session, texts: list[str]) -> Figures:
    """How long after `$/cancelRequest` the host has nothing left to do for the query."""
    freed: list[float] = []
    answered: list[float] = []
    settings = load_settings(session.root)
    with encoder.connect(settings.model, device=settings.device) as client:
        # The server finds that host when it first needs one; until then it answers without.
        _comes_true(lambda: _is_reranked(session), _CONNECT_SECONDS)
        for number in range(_CANCELS):
            text = texts[number % len(texts)][:_QUERY_CHARACTERS] if texts else _QUESTION
            request, answers = session.begin("mosearch/search", {"query": f"{number} {text}", "limit": 50})
            if not _comes_true(lambda: bool(client.status().texts_waiting), _CANCEL_SECONDS):
                break  # every deep vector is known by now: nothing is left to cancel
            start = time.perf_counter()
            session.tell("$/cancelRequest", {"id": request})
            with suppress(queue.Empty):
                answered.append(answers.get(timeout=5)["at"] - start)
            _comes_true(lambda: not client.status().texts_waiting, 10)
            freed.append(time.perf_counter() - start)
    return {
        "cancelled": len(freed),
        **_spread("answered after, ms", answered, (50, 100)),
        **_spread("host free after, ms", freed, (50, 100)),
    }


def _is_reranked(session: Session) -> bool:
    deepest = session.status()["rerank_exit"]
    return any(hit["exit"] == deepest for hit in session.search(_QUESTION))


def _unseen(session: Session, texts: Mapping[str, int]) -> tuple[int, int]:
    """How many of the texts have no vector at the index exit, and how many vectors there are at all."""
    with Engine(session.root, load_settings(session.root)) as engine:
        fingerprint, exit = engine.model.fingerprint, engine.index_exit
        known = engine.store.known_digests(fingerprint, exit, list(texts))
        return len(texts) - len(known), engine.store.stats().vectors.get((fingerprint[:16], exit), 0)


def digests(root: Path) -> Mapping[str, int]:
    """Digest → how many chunks have it, of all that a scan finds, without any index."""
    found: dict[str, int] = defaultdict(int)
    for stat in workspace.scan(workspace.resolve_root(root)).files:
        source = workspace.read_source(root, stat)
        if isinstance(source, workspace.Source):
            for chunk in parsing.parse_file(source.path, source.data).chunks:
                found[chunk.digest] += 1
    return found


def _comes_true(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.001)
    return False


def _spread(name: str, seconds: list[float], percentiles: tuple[int, ...]) -> Figures:
    if not seconds:
        return {}
    label = {100: "max"}
    return {
        f"{name} {label.get(rank, f'p{rank}')}": float(np.percentile(seconds, rank)) * 1000
        for rank in percentiles
    }
