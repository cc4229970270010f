"""The exception tree.

::

    MosearchError
    ├── UsageError            the request itself is wrong (exit code 2)
    │   ├── SettingsError     an unknown or ill-typed setting
    │   ├── RootError         the workspace root is missing, no folder, or unreadable
    │   └── QueryError        an empty query, a bad PATH:LINE, a place without code
    ├── StoreError            the index cannot be read or written (exit code 3)
    │   ├── StoreLockedError  another process is writing and did not finish in time
    │   ├── StoreDamagedError the data on disk does not read back
    │   └── StoreFullError    no room on the device, or no permission to write
    ├── EncoderError          no vectors can be had (exit code 4)
    │   ├── ModelError        weights are missing, damaged or do not fit the configuration
    │   ├── HostError         the encoder host cannot be started or reached, or died
    │   ├── ProtocolError     a frame that is malformed, too large, or of another version
    │   └── CancelledError    the request was cancelled
    └── ParseError            never leaves the parser: the text is cut by lines instead

A message says what happened, to what, and what to do about it.
"""

from __future__ import annotations


class MosearchError(Exception):
    """Base of all errors raised on purpose.  `exit_code` is what the command line returns."""

    exit_code = 1


class UsageError(MosearchError):
    exit_code = 2


class SettingsError(UsageError):
    pass


class RootError(UsageError):
    pass


class QueryError(UsageError):
    pass


class StoreError(MosearchError):
    exit_code = 3


class StoreLockedError(StoreError):
    pass


class StoreDamagedError(StoreError):
    pass


class StoreFullError(StoreError):
    pass


class EncoderError(MosearchError):
    exit_code = 4


class ModelError(EncoderError):
    pass


class HostError(EncoderError):
    pass


class ProtocolError(EncoderError):
    pass


class CancelledError(EncoderError):
    pass


class ParseError(MosearchError):
    pass
