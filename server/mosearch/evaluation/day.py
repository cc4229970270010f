"""A day of work in an editor, in fast motion: edits, saves, checkouts and restarts on a real repository.

What disk, files and memory have grown to is compared with the morning's, and with an index of the same files
that was made from nothing.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import psutil

from mosearch.engine import Engine
from mosearch.evaluation.replay import Edit, History
from mosearch.evaluation.session import Session
from mosearch.evaluation.watching import private_folders, running_host, settle
from mosearch.settings import load_settings

COLUMNS = ("", "edits", "chunks", "vectors", "disk MB", "files", "server MB", "host MB", "server threads")

_PAUSE_S = 0.06
"""Between two edits: longer than the server waits for further keys, so that each is embedded."""
_DIFFERENT_EDITS = 1_000
_SAVED_SHARE = 0.3
_KILLED_SHARE = 0.5
_REACH = 300
"""Checkouts go back by so many commits at most."""
_MOMENTS = 10
_OPTIONS: dict[str, object] = {"deepen": False}


@dataclass(frozen=True, slots=True)
class Plan:
    edits: int
    checkouts: int
    restarts: int


@dataclass(frozen=True, slots=True)
class Moment:
    name: str
    figures: tuple[float, ...]
    """Those of `COLUMNS` but the first."""


def live_through(repository: Path, plan: Plan, tell: Callable[[str], None]) -> Iterator[Moment]:
    """Measure at the start, ten times on the way, at the end, after merging, and a fresh index.

    All in private folders, which are removed afterwards.
    """
    with private_folders() as folder:
        history = History(repository, folder / "work", "HEAD")
        yield from _day(history, plan, tell)
        yield _moment("the same, after merging", history.root, None, plan.edits, merge=True)
    with private_folders() as folder:
        history = History(repository, folder / "work", "HEAD")
        with Session(history.root, _OPTIONS) as session:
            settle(session)
            yield _moment("fresh index", history.root, session, 0, merge=True)


def _day(history: History, plan: Plan, tell: Callable[[str], None]) -> Iterator[Moment]:
    chance = random.Random(1)
    home = history.commit()
    commits = history.ancestors(_REACH)
    edits = list(islice(history.edits(), min(plan.edits, _DIFFERENT_EDITS)))
    session = Session(history.root, _OPTIONS)
    try:
        settle(session)
        tell(f"{len(edits)} different edits; the day begins")
        yield _moment("start", history.root, session, 0, merge=True)
        for number in range(1, plan.edits + 1):
            _edit(session, edits[number % len(edits)], number, chance)
            if number % max(1, plan.edits // plan.checkouts) == 0:
                history.checkout(chance.choice(commits))
            if number % max(1, plan.edits // plan.restarts) == 0:
                if chance.random() < _KILLED_SHARE:
                    session.kill()
                session.close()
                session = Session(history.root, _OPTIONS)
            if number % max(1, plan.edits // _MOMENTS) == 0 and number < plan.edits:
                yield _moment("", history.root, session, number)
        history.checkout(home)
        history.clean()
        settle(session)
        yield _moment("end, at the first commit", history.root, session, plan.edits)
    finally:
        session.close()


def _edit(session: Session, edit: Edit, number: int, chance: random.Random) -> None:
    """A text that was never there before: the changed symbol gets another name each time."""
    text = edit.after.replace(edit.changed.symbol, f"{edit.changed.symbol}{number}")
    session.show(edit.path, edit.before)
    session.show(edit.path, text)
    time.sleep(_PAUSE_S)
    if chance.random() < _SAVED_SHARE:
        path = session.root / edit.path
        with suppress(OSError):  # its folder is not there in the commit that is checked out
            path.write_text(text, encoding="utf-8")
            session.tell("textDocument/didSave", {"textDocument": {"uri": path.as_uri()}})
    session.hide(edit.path)


def _moment(name: str, root: Path, session: Session | None, edits: int, *, merge: bool = False) -> Moment:
    with Engine(root, load_settings(root)) as engine:
        if merge:
            engine.store.optimize()
        stats = engine.store.stats()
        count = sum(
            path.is_file()
            for folder in (engine.store.index_dir, engine.store.vectors_dir)
            for path in folder.rglob("*")
        )
    server = psutil.Process(session.process.pid) if session is not None else None
    return Moment(
        name,
        (
            edits,
            stats.chunks,
            max(stats.vectors.values(), default=0),
            (stats.index_bytes + stats.vectors_bytes) / 1e6,
            count,
            _megabytes(server),
            _megabytes(running_host()),
            server.num_threads() if server is not None else 0,
        ),
    )


def _megabytes(process: psutil.Process | None) -> float:
    return process.memory_info().rss / 1e6 if process is not None else 0.0
