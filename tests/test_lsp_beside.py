"""Work beside a folder's updates: whatever is asked for is done, by one thread, and one that goes wrong or is
cancelled keeps none of what follows from being done."""

from __future__ import annotations

import threading
import time

import pytest

from mosearch.errors import CancelledError
from mosearch.lsp.beside import Beside

_WAIT_S = 30.0


def test_what_is_wanted_meanwhile_is_done_afterwards_the_newest_of_it() -> None:
    beside = Beside("work", threading.Event())
    begun, may_end = threading.Event(), threading.Event()
    done: list[str] = []

    def first() -> None:
        begun.set()
        assert may_end.wait(_WAIT_S)
        done.append("first")

    beside.want(first)
    assert begun.wait(_WAIT_S)
    beside.want(lambda: done.append("second"))
    beside.want(lambda: done.append("third"))
    may_end.set()
    beside.join()
    assert done == ["first", "third"]


def test_no_wish_is_lost_however_it_comes() -> None:
    beside = Beside("work", threading.Event())
    done = 0

    def work(number: int) -> None:
        nonlocal done
        done = number

    for number in range(1, 3_000):
        beside.want(lambda number=number: work(number))  # type: ignore[misc]
        if number % 3 == 0:
            time.sleep(0)  # near the thread's end
    deadline = time.monotonic() + _WAIT_S
    while done != 2_999:
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.mark.parametrize("error", [CancelledError("enough"), OSError("no disk")])
def test_what_fails_keeps_nothing_from_being_done(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    beside = Beside("work of a folder", threading.Event())
    done = threading.Event()

    def fail() -> None:
        raise error

    beside.want(fail)
    beside.join()
    beside.want(done.set)
    assert done.wait(_WAIT_S)
    assert ("work of a folder failed" in caplog.text) == isinstance(error, OSError)


def test_nothing_is_begun_at_the_end() -> None:
    stopping = threading.Event()
    beside = Beside("work", stopping)
    stopping.set()
    done = threading.Event()
    beside.want(done.set)
    beside.join()
    assert not done.is_set()
