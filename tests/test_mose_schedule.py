"""The order in which the host computes."""

from __future__ import annotations

import threading
import time
from collections import deque

from mosearch.mose.inference import Batch
from mosearch.mose.schedule import Request, Schedule
from mosearch.types import Priority


def request(owner: str, priority: Priority, batches: int = 1) -> Request[str]:
    work = deque(Batch((row,), ([2, 3],)) for row in range(batches))
    return Request(owner, 0, priority, work, {})


def order(schedule: Schedule[str]) -> list[str]:
    taken = []
    while work := schedule.take(0):
        taken.append(work[0].owner)
    return taken


def test_urgent_first_then_in_order_of_arrival() -> None:
    schedule: Schedule[str] = Schedule()
    for owner, priority in [
        ("index 1", Priority.INDEX),
        ("deepen", Priority.DEEPEN),
        ("index 2", Priority.INDEX),
        ("query", Priority.QUERY),
        ("edit", Priority.EDIT),
    ]:
        schedule.add(request(owner, priority))
    assert order(schedule) == ["query", "edit", "index 1", "index 2", "deepen"]


def test_a_query_goes_between_two_batches_of_a_bulk_request() -> None:
    schedule: Schedule[str] = Schedule()
    schedule.add(request("bulk", Priority.INDEX, batches=3))
    assert schedule.take(0)[0].owner == "bulk"  # type: ignore[index]
    schedule.add(request("query", Priority.QUERY))
    assert order(schedule) == ["query", "bulk", "bulk"]


def test_dropping_a_connection_leaves_the_others_alone() -> None:
    schedule: Schedule[str] = Schedule()
    schedule.add(request("gone", Priority.INDEX, batches=3))
    schedule.add(request("here", Priority.INDEX, batches=2))
    schedule.add(request("gone", Priority.QUERY))
    taken = schedule.take(0)
    assert taken is not None
    assert schedule.texts_waiting() == {Priority.INDEX: 5, Priority.QUERY: 1}
    schedule.drop_all("gone")
    assert schedule.texts_waiting() == {Priority.INDEX: 2, Priority.QUERY: 1}, "one is being computed"
    schedule.done(*taken)
    assert schedule.texts_waiting() == {Priority.INDEX: 2}
    assert order(schedule) == ["here", "here"]


def test_dropping_a_request_that_is_not_there_is_no_error() -> None:
    schedule: Schedule[str] = Schedule()
    dropped = request("a", Priority.EDIT, batches=2)
    schedule.drop(dropped)
    schedule.add(dropped)
    schedule.drop(dropped)
    assert order(schedule) == []


def test_taking_waits_for_work() -> None:
    schedule: Schedule[str] = Schedule()
    threading.Timer(0.05, schedule.add, [request("late", Priority.QUERY)]).start()
    started = time.monotonic()
    assert schedule.take(10)[0].owner == "late"  # type: ignore[index]
    assert time.monotonic() - started < 5
