"""The messages between client and host, and their frames on the wire.

A frame is a big-endian unsigned 32-bit length and that many bytes of msgpack: a map of the message's
fields plus `op`.  Vectors travel as the raw bytes of little-endian float16.  Every message is checked
when it is made, so neither side acts on one that is ill-formed.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, ClassVar, NoReturn

import msgpack  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import NDArray

from mosearch.errors import ProtocolError
from mosearch.types import Priority, TextKind

PROTOCOL_VERSION = 2
MAX_FRAME_BYTES = 64 * 1024 * 1024
MAX_HELLO_BYTES = 1024
"""Limit for the first frame of a connection, whose sender has not shown the token yet."""
MAX_TEXTS = 1024
"""Texts in one `Encode` message."""

_LENGTH = struct.Struct(">I")
_HALF = np.dtype("<f2")


@dataclass(frozen=True, slots=True)
class Hello:
    """Client: the first message of every connection."""

    OP: ClassVar[str] = "hello"
    version: int
    token: str
    linger_seconds: float
    """How long the client wants a host to stay for others after it has hung up."""

    def __post_init__(self) -> None:
        _check(type(self.version) is int and type(self.token) is str, "hello")
        _check(type(self.linger_seconds) is float and 0 <= self.linger_seconds < math.inf, "hello")


@dataclass(frozen=True, slots=True)
class Welcome:
    """Host: the token was right."""

    OP: ClassVar[str] = "welcome"
    version: int
    fingerprint: str
    device: str
    dtype: str
    pid: int

    def __post_init__(self) -> None:
        _check(type(self.version) is int and type(self.pid) is int, "welcome")
        _check(all(type(v) is str for v in (self.fingerprint, self.device, self.dtype)), "welcome")


@dataclass(frozen=True, slots=True)
class Encode:
    """Client: embed these texts; answered by `Vectors` or `Failure` with the same id."""

    OP: ClassVar[str] = "encode"
    id: int
    texts: list[str]
    kind: TextKind
    exits: list[int]
    priority: int
    languages: list[str] | None = None

    def __post_init__(self) -> None:
        _check(type(self.id) is int and self.id >= 0 and self.kind in ("code", "query"), "encode")
        _check(self.priority in tuple(Priority), "encode")
        _check(_is_list(self.texts, str) and len(self.texts) <= MAX_TEXTS, "encode")
        _check(_is_list(self.exits, int) and 0 < len(set(self.exits)) == len(self.exits), "encode")
        if self.languages is not None:
            _check(_is_list(self.languages, str) and len(self.languages) == len(self.texts), "encode")


@dataclass(frozen=True, slots=True)
class Vectors:
    """Host: for each exit, `rows` times `dim` float16 values, row after row."""

    OP: ClassVar[str] = "vectors"
    id: int
    rows: int
    dim: int
    data: dict[int, bytes]
    device: str = "cpu"
    """Where they were computed."""
    trouble: str = ""
    """What the user should know of the host: see `HostStatus.trouble`."""

    def __post_init__(self) -> None:
        _check(type(self.device) is str and type(self.trouble) is str, "vectors")
        _check(all(type(v) is int and v >= 0 for v in (self.id, self.rows, self.dim)), "vectors")
        _check(type(self.data) is dict and _is_list(list(self.data), int), "vectors")
        size = self.rows * self.dim * _HALF.itemsize
        _check(all(type(d) is bytes and len(d) == size for d in self.data.values()), "vectors")

    @classmethod
    def of(
        cls, id: int, dim: int, arrays: dict[int, NDArray[np.float16]], device: str = "cpu", trouble: str = ""
    ) -> Vectors:
        rows = max((len(a) for a in arrays.values()), default=0)
        data = {layer: a.astype(_HALF, copy=False).tobytes() for layer, a in arrays.items()}
        return cls(id, rows, dim, data, device, trouble)

    def arrays(self) -> dict[int, NDArray[np.float16]]:
        """Read-only float16 [rows, dim] by exit."""
        shape = (self.rows, self.dim)
        return {layer: np.frombuffer(data, _HALF).reshape(shape) for layer, data in self.data.items()}


@dataclass(frozen=True, slots=True)
class Failure:
    """Host: a request (or, with id None, the connection) failed."""

    OP: ClassVar[str] = "failure"
    id: int | None
    error: str
    """Name of a class in `mosearch.errors`."""
    message: str

    def __post_init__(self) -> None:
        _check(self.id is None or type(self.id) is int, "failure")
        _check(type(self.error) is str and type(self.message) is str, "failure")


@dataclass(frozen=True, slots=True)
class StatusQuestion:
    """Client: answered by `HostStatus` at once, whatever the host is busy with."""

    OP: ClassVar[str] = "status?"


@dataclass(frozen=True, slots=True)
class HostStatus:
    """Host: what it is doing."""

    OP: ClassVar[str] = "status"
    pid: int
    threads: int
    uptime_seconds: float
    connections: int
    texts_done: int
    """Texts embedded since the host started."""
    texts_waiting: dict[int, int]
    """`Priority` → texts accepted and not yet embedded."""
    device: str
    dtype: str
    memory_mb: int
    """Resident."""
    trouble: str
    """Empty, or what the user should know: the GPU was lost, the memory limit does not suffice."""

    def __post_init__(self) -> None:
        numbers = (self.pid, self.threads, self.connections, self.texts_done, self.memory_mb)
        _check(all(type(v) is str for v in (self.device, self.dtype, self.trouble)), "status")
        _check(_is_list(list(numbers), int) and type(self.uptime_seconds) is float, "status")
        waiting = self.texts_waiting
        _check(type(waiting) is dict and _is_list([*waiting, *waiting.values()], int), "status")


Message = Hello | Welcome | Encode | Vectors | Failure | StatusQuestion | HostStatus
_BY_OP: dict[str, type[Message]] = {
    kind.OP: kind for kind in (Hello, Welcome, Encode, Vectors, Failure, StatusQuestion, HostStatus)
}


def pack(message: Message) -> bytes:
    """One frame.  Lone surrogates in texts become `?`.  Raises ProtocolError when it would be too large."""
    body = {field.name: getattr(message, field.name) for field in fields(message)}
    data: bytes = msgpack.packb({"op": message.OP, **body}, unicode_errors="replace")
    if len(data) > MAX_FRAME_BYTES:
        raise ProtocolError(
            f"A message of {len(data)} bytes exceeds the limit of {MAX_FRAME_BYTES}. Send less."
        )
    return _LENGTH.pack(len(data)) + data


class CutShortError(ProtocolError):
    """The stream ended within a frame: whoever wrote it is gone."""


def read_message(read: Callable[[int], bytes], limit: int = MAX_FRAME_BYTES) -> Message | None:
    """The next message, or None at the end of the stream.

    `read(n)` returns n bytes, or fewer only at the end.  Raises CutShortError for a frame that is cut short,
    ProtocolError for one larger than `limit` or no message of ours; the stream is of no further use then.
    """
    head = read(_LENGTH.size)
    if not head:
        return None
    if len(head) < _LENGTH.size:
        raise CutShortError(f"The stream ended after {len(head)} bytes of a frame's length.")
    size = _LENGTH.unpack(head)[0]
    if not 0 < size <= limit:
        raise ProtocolError(f"A frame announces {size} bytes; between 1 and {limit} are allowed.")
    data = read(size)
    if len(data) < size:
        raise CutShortError(f"The stream ended after {len(data)} of {size} bytes of a frame.")
    return unpack(data)


def unpack(data: bytes) -> Message:
    """The message in a frame's body.  Raises ProtocolError."""
    try:
        body = msgpack.unpackb(
            data, strict_map_key=False, max_array_len=MAX_TEXTS, max_map_len=64, ext_hook=_no_extensions
        )
        # The checks in the messages' constructors turn any wrong type into a ProtocolError.
        return _BY_OP[body.pop("op")](**body)
    except ProtocolError:
        raise
    except (
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        RecursionError,
        msgpack.UnpackException,
    ) as error:
        raise ProtocolError(f"A frame holds no message of protocol {PROTOCOL_VERSION}: {error!r}.") from error


def _no_extensions(code: int, _data: bytes) -> NoReturn:
    raise ProtocolError(f"A frame holds an extension type ({code}); none is allowed.")


def _check(condition: bool, op: str) -> None:
    if not condition:
        raise ProtocolError(f"A message {op!r} has a field of the wrong type or size.")


def _is_list(value: Any, kind: type) -> bool:
    return type(value) is list and all(type(item) is kind for item in value)
