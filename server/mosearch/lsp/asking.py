"""How a question is asked: off the event loop, cancellable, with errors as JSON-RPC has them."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from lsprotocol import types as lsp
from pygls.exceptions import (
    JsonRpcException,
    JsonRpcInternalError,
    JsonRpcInvalidParams,
    JsonRpcRequestCancelled,
)

from mosearch.errors import CancelledError, MosearchError, UsageError
from mosearch.lsp import logs, wire
from mosearch.lsp.answers import Asker
from mosearch.lsp.state import Server

_log = logging.getLogger(__name__)
_Answer = TypeVar("_Answer")

REQUEST_FAILED = -32803
"""LSP 3.17 `RequestFailed`: the request was right, but could not be served."""

_OPEN_TIMEOUT_S = 60.0


async def ask(ls: Server, name: str, params: Any, answer: Callable[[Asker, Any], _Answer]) -> _Answer:
    """Answer a request of the index; `params` are its JSON.

    Waits for folders that are being opened.  A newer request on the same channel cancels this one.
    Cancelling the task ends the work, too, and nothing is sent for it any more.
    """
    started = time.perf_counter()
    ls.likeness.disturb()
    cancel = threading.Event()
    try:
        delivery = wire.read_delivery(params)
        _supersede(ls, delivery.channel)
        await _opened(ls)
        page = _pages(ls, delivery.partial_token, cancel) if delivery.partial_token is not None else None
        asker = Asker(dict(ls.folders), ls.protocol.document, ls.protocol.encoding, cancel, page)
        return await asyncio.get_running_loop().run_in_executor(ls.questions, answer, asker, params)
    except Exception as error:
        raise _as_json_rpc(error, name) from error
    finally:
        cancel.set()
        logs.trace(ls, name, (time.perf_counter() - started) * 1000, params)


async def from_memory(ls: Server, answer: Callable[[], _Answer]) -> _Answer:
    """Answer what needs neither the encoder nor an open index."""
    try:
        return await asyncio.get_running_loop().run_in_executor(ls.memory, answer)
    except Exception as error:
        raise _as_json_rpc(error, "a request") from error


def _supersede(ls: Server, channel: str | None) -> None:
    """This task is the channel's request now; the one before is not wanted any more."""
    task = asyncio.current_task()
    if channel is None or task is None:
        return
    before = ls.channels.get(channel)
    if before is not None:
        before.cancel()
    ls.channels[channel] = task
    task.add_done_callback(lambda _: ls.channels.pop(channel) if ls.channels.get(channel) is task else None)


async def _opened(ls: Server) -> None:
    """Wait until each folder was opened or could not be."""
    if not ls.started.is_set():
        # Not `wait_for`: before Python 3.12 it may swallow the cancelling of this task.
        starting = asyncio.ensure_future(ls.started.wait())
        try:
            await asyncio.wait([starting], timeout=_OPEN_TIMEOUT_S)
        finally:
            starting.cancel()
    waiting = [asyncio.wrap_future(folder.tried) for folder in ls.folders.values() if not folder.tried.done()]
    if waiting:
        # Shielded: a request that is cancelled must not cancel what others wait for.
        await asyncio.wait([asyncio.shield(each) for each in waiting], timeout=_OPEN_TIMEOUT_S)


def _pages(ls: Server, token: int | str, cancel: threading.Event) -> Callable[[Any], None]:
    """What sends a partial result from another thread, unless the answer is out or not wanted any more."""
    loop = asyncio.get_running_loop()

    def send(value: Any) -> None:
        if not cancel.is_set():
            ls.protocol.notify(lsp.PROGRESS, lsp.ProgressParams(token, value))

    def page(value: Any) -> None:
        with suppress(RuntimeError):  # the loop is closed: there is no client any more
            loop.call_soon_threadsafe(send, value)

    return page


def _as_json_rpc(error: Exception, name: str) -> JsonRpcException:
    if isinstance(error, CancelledError):
        return JsonRpcRequestCancelled(str(error))
    if isinstance(error, UsageError):
        return JsonRpcInvalidParams(str(error))
    if isinstance(error, MosearchError):
        return JsonRpcException(str(error), REQUEST_FAILED)
    if isinstance(error, JsonRpcException):
        return error
    _log.error("%s could not be answered", name, exc_info=error)
    return JsonRpcInternalError(f"{name}: {type(error).__name__}: {error}. The server's log has the details.")
