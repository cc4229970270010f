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
from mosearch.evaluation.live import digests
from mosearch.evaluation.replay import Edit, History
from mosearch.evaluation.session import Session
from mosearch.evaluation.watching import MOST_CHUNKS, literally, private_folders, running_host, settle
from mosearch.settings import load_settings

COLUMNS = (
    "",
    "edits",
    "not found",
    "chunks",
    "vectors",
    "disk MB",
    "files",
    "server MB",
    "host MB",
    "server threads",
)

_PAUSE_S = 0.06
"""Between two edits: longer than the server waits for further keys, so that each is embedded."""
_DIFFERENT_EDITS = 1_000
_LOOKED_FOR = 10
"""One in so many edits."""
_FOUND_SECONDS = 30.0
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

    Every tenth edit is looked for until it is found by its meaning.  All in private folders, which are
    removed afterwards.
    """
    with private_folders() as folder:
        history = History(repository, folder / "work", "HEAD")
        yield from _day(history, plan, tell)
        yield _moment("the same, after merging", history.root, None, (plan.edits, 0), merge=True)
    with private_folders() as folder:
        history = History(repository, folder / "work", "HEAD")
        with Session(history.root, _OPTIONS) as session:
            settle(session)
            yield _moment("fresh index", history.root, session, (0, 0), merge=True)


def _day(history: History, plan: Plan, tell: Callable[[str], None]) -> Iterator[Moment]:
    chance = random.Random(1)
    home = history.commit()
    commits = history.ancestors(_REACH)
    edits = list(islice(history.edits(), min(plan.edits, _DIFFERENT_EDITS)))
    session = Session(history.root, _OPTIONS)
    try:
        settle(session)
        tell(f"{len(edits)} different edits; the day begins")
        yield _moment("start", history.root, session, (0, 0), merge=True)
        missed = 0
        for number in range(1, plan.edits + 1):
            is_found = _edit(session, edits[number % len(edits)], number, chance)
            missed += not is_found
            if number % max(1, plan.edits // plan.checkouts) == 0:
                history.checkout(chance.choice(commits))
            if number % max(1, plan.edits // plan.restarts) == 0:
                if chance.random() < _KILLED_SHARE:
                    session.kill()
                session.close()
                session = Session(history.root, _OPTIONS)
                settle(session)
            if number % max(1, plan.edits // _MOMENTS) == 0 and number < plan.edits:
                yield _moment("", history.root, session, (number, missed))
        history.checkout(home)
        history.clean()
        settle(session, {"chunks": sum(digests(history.root).values())})
        yield _moment("end, at the first commit", history.root, session, (plan.edits, missed))
    finally:
        session.close()


def _edit(session: Session, edit: Edit, number: int, chance: random.Random) -> bool:
    """A text that was never there before: the changed symbol gets another name each time.  Whether it is
    found, if it is looked for."""
    name = f"{edit.changed.symbol}{number}"
    text = edit.after.replace(edit.changed.symbol, name)
    session.show(edit.path, edit.before)
    session.show(edit.path, text)
    time.sleep(_PAUSE_S)
    session.status()  # nobody types faster than the server reads
    is_found = number % _LOOKED_FOR != 0 or _is_found(session, edit.path, name)
    if chance.random() < _SAVED_SHARE:
        path = session.root / edit.path
        with suppress(OSError):  # its folder is not there in the commit that is checked out
            path.write_text(text, encoding="utf-8")
            session.tell("textDocument/didSave", {"textDocument": {"uri": path.as_uri()}})
    session.hide(edit.path)
    return is_found


def _is_found(session: Session, path: str, name: str) -> bool:
    deadline = time.monotonic() + _FOUND_SECONDS
    within = {"paths": ["/" + literally(path)]}
    while time.monotonic() < deadline:
        hits = session.search(name, limit=MOST_CHUNKS, rerank=False, filters=within)
        if any(name in hit["symbol"] and hit["exit"] is not None for hit in hits):
            return True
    return False


def _moment(
    name: str, root: Path, session: Session | None, edits: tuple[int, int], *, merge: bool = False
) -> Moment:
    with Engine(root, load_settings(root)) as engine:
        while merge and not engine.store.optimize():
            time.sleep(_PAUSE_S)  # the server's own process is at it
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
            *edits,
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
