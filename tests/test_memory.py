"""What Python's collector looks at, and when."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from mosearch import memory


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    yield
    gc.unfreeze()
    gc.enable()


def test_loading_is_not_disturbed_and_what_is_loaded_is_passed_over() -> None:
    before = gc.get_freeze_count()
    with memory.loading():
        assert not gc.isenabled()
        loaded = [[index] for index in range(1000)]
    assert gc.isenabled()
    assert gc.get_freeze_count() >= before + len(loaded)


def test_the_collector_works_again_when_loading_fails() -> None:
    with pytest.raises(ImportError), memory.loading():
        raise ImportError("no such module")
    assert gc.isenabled()
