"""What Python's collector looks at, and when; what the C library keeps."""

from __future__ import annotations

import gc
import subprocess
import sys
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


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc has to be told")
@pytest.mark.parametrize(("setting", "is_cleared"), [("keep_little", True), ("keep_much", False)])
def test_large_arrays_made_again_are_cleared_by_the_system_or_not(setting: str, is_cleared: bool) -> None:
    code = f"""
import resource
import numpy as np
from mosearch import memory
memory.{setting}()
for size in [8 << 20] * 6:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.empty(size).fill(1)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    faults = [int(line) for line in done.stdout.split()]
    assert faults[0] > 15
    assert (min(faults[1:]) > faults[0] / 2) == is_cleared
