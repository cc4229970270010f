"""How far a process lets others go first."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

import psutil

_AUTOGROUP = Path("/proc/self/autogroup")
"""Linux may share processors among sessions first, and heed niceness only within each (sched(7), "The
autogroup feature"): a session that gives way has to say so as one."""


def give_way(niceness: int) -> None:
    """Let other processes go first, from 0, not at all, to 19; at least as far as who started this one."""
    if sys.platform == "win32":
        below = psutil.BELOW_NORMAL_PRIORITY_CLASS
        psutil.Process().nice(below if niceness else psutil.NORMAL_PRIORITY_CLASS)
        return
    niceness = max(niceness, os.getpriority(os.PRIO_PROCESS, 0))
    os.setpriority(os.PRIO_PROCESS, 0, niceness)
    if os.getsid(0) == os.getpid():
        with suppress(OSError):  # another system, or one without that feature
            _AUTOGROUP.write_text(str(niceness), "ascii")
