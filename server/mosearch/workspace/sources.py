"""Reading one file as the scan found it."""

from __future__ import annotations

import errno
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from mosearch.types import FileStat, SkippedFile, SkipReason
from mosearch.workspace.content import classify, classify_name, decode
from mosearch.workspace.files import NotRegularError, changed_ns, open_regular, read_up_to, unreadable
from mosearch.workspace.scan import DEFAULT_MAX_FILE_BYTES

_HASH_BYTES = 16


@dataclass(frozen=True, slots=True)
class Source:
    """A file's text, with what `stat` said of exactly the bytes that were read."""

    path: str
    data: bytes
    """UTF-8, without a byte order mark.  Line numbers are the file's; byte offsets are not, if it was
    stored in another encoding."""
    content_hash: str
    """BLAKE2b-128, in hex, of the file's bytes as stored."""
    size: int
    mtime_ns: int


def read_source(
    root: Path, stat: FileStat, *, max_file_bytes: int = DEFAULT_MAX_FILE_BYTES
) -> Source | SkippedFile:
    """The text of one file, or why there is none to index.  Never raises for the file's state."""
    by_name = classify_name(stat.path)
    if by_name is not None:
        return SkippedFile(stat.path, by_name)
    try:
        data, status = _read(os.fspath(root / stat.path), max_file_bytes)
    except NotRegularError:
        return SkippedFile(stat.path, SkipReason.SPECIAL)
    except OSError as error:
        if error.errno == errno.ELOOP:
            return SkippedFile(stat.path, SkipReason.SYMLINK, error.strerror or str(error))
        return unreadable(stat.path, error)
    except ValueError as error:
        return SkippedFile(stat.path, SkipReason.UNREADABLE, str(error))
    if len(data) > max_file_bytes:
        return SkippedFile(stat.path, SkipReason.OVERSIZED, f"more than {max_file_bytes} bytes")
    text = decode(data)
    reason_left_out = SkipReason.BINARY if text is None else classify(stat.path, text)
    if text is None or reason_left_out is not None:
        return SkippedFile(stat.path, reason_left_out or SkipReason.BINARY)
    # Of the text, not of the bytes: an editor that shows it without a byte order mark shows no other one.
    return Source(stat.path, text, content_hash(text), status.st_size, changed_ns(status))


def content_hash(data: bytes) -> str:
    """BLAKE2b-128, in hex."""
    return hashlib.blake2b(data, digest_size=_HASH_BYTES).hexdigest()


def _read(path: str, limit: int) -> tuple[bytes, os.stat_result]:
    """One byte more than `limit` at most, and the status that belongs to what was read.

    If the file changes while it is read, it is read once more; if it changes again, the status is the
    one from before, so that the next scan sees a change.
    """
    descriptor = open_regular(path)
    try:
        before = os.fstat(descriptor)
        data = read_up_to(descriptor, limit + 1)
        after = os.fstat(descriptor)
        if _version(before) != _version(after):
            before = after
            data = read_up_to(descriptor, limit + 1)
        return data, before
    finally:
        os.close(descriptor)


def _version(status: os.stat_result) -> tuple[int, int]:
    return status.st_size, changed_ns(status)
