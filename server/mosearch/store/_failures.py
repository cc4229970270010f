"""The one place where failures of LanceDB and of the operating system become ours.

LanceDB reports nearly everything as RuntimeError or ValueError with the Rust error as text, which
ends in `(os error N)` where the operating system was the cause.
"""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from mosearch.errors import MosearchError, StoreDamagedError, StoreError, StoreFullError, StoreLockedError

_OS_ERROR = re.compile(r"os error (\d+)")
if os.name == "nt":
    _NO_ROOM = frozenset({39, 112, errno.ENOSPC})
    _NO_PERMISSION = frozenset({5, 19, errno.EACCES})
else:
    _NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
    _NO_PERMISSION = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_NO_HANDLES = frozenset({errno.EMFILE, errno.ENFILE})
if os.name == "nt":  # memory, files that others hold, network drives
    _PASSING = frozenset({8, 14, 32, 33, 53, 54, 59, 64, 121, 1450})
else:
    _PASSING = frozenset(
        getattr(errno, name, -1)
        for name in (
            *("EAGAIN", "EBUSY", "EINTR", "ENOLCK", "ENOMEM", "ENOTSUP", "ESTALE", "ETIMEDOUT"),
            *("ECONNABORTED", "ECONNRESET", "EHOSTDOWN", "EHOSTUNREACH", "ENETDOWN", "ENETUNREACH"),
            *("ENODEV", "ENOTCONN", "ENXIO", "EPIPE", "EREMOTEIO", "ESHUTDOWN"),
        )
    )
"""What network file systems and crowded machines give: it says nothing of what was written."""
_PANICS = frozenset({"PanicException", "RustPanic"})
"""What a panic in Rust arrives as, the latter from work that goes on in the background.  They cannot
be imported, and the first is no Exception."""
_CONFLICT = re.compile(r"commit conflict|concurrent (commit|transaction|writer)", re.IGNORECASE)

ATTEMPTS = 3
"""At reading what others change at the same moment."""
_PAUSES_S = (0.0, 0.01, 0.03, 0.1)
"""Somebody who merges one thing after another could come in between every time."""

_T = TypeVar("_T")


@contextmanager
def translated(action: str, folder: Path) -> Iterator[None]:
    """Raises StoreFullError, StoreDamagedError or StoreError for what fails while doing `action`."""
    try:
        yield
    except (MosearchError, UnicodeEncodeError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise  # what cannot be encoded was asked for, not read
    except (RuntimeError, ValueError, OSError, LookupError, TypeError) as error:
        raise _ours(error, action, folder) from error
    except BaseException as error:
        if type(error).__name__ not in _PANICS:
            raise
        raise _ours(error, action, folder) from error


def retried(read: Callable[[], _T]) -> _T:
    """Reads again when what was being read was merged away by another process's `optimize`."""
    for pause in _PAUSES_S:
        with suppress(RuntimeError, ValueError, OSError):
            return read()
        time.sleep(pause)
    return read()


def _ours(error: BaseException, action: str, folder: Path) -> StoreError:
    code = _error_number(error)
    text = " ".join(str(error).split())[:300]
    if code in _NO_ROOM:
        return StoreFullError(
            f"Could not {action}: no room is left for {folder} ({text}). Free some disk space and try again."
        )
    if code in _NO_PERMISSION:
        return StoreFullError(
            f"Could not {action}: {folder} may not be written or read ({text}). "
            "Give yourself access to this folder or choose another index folder."
        )
    if code in _NO_HANDLES:
        return StoreError(
            f"Could not {action} in {folder}: too many files are open ({text}). "
            "Raise `ulimit -n` and try again."
        )
    if code in _PASSING:
        return StoreError(
            f"Could not {action}: the file system of {folder} did not answer as it should ({text}). "
            "Nothing is lost; try again."
        )
    if _CONFLICT.search(text):
        return StoreLockedError(
            f"Could not {action}: another process changed {folder} at the same moment ({text}). Try again."
        )
    return StoreDamagedError(
        f"Could not {action}: the index in {folder} does not read back ({text}). "
        "It has to be set aside and built again."
    )


def _error_number(error: BaseException) -> int | None:
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    found = _OS_ERROR.search(str(error))
    return int(found.group(1)) if found else None
