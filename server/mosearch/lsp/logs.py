"""The server's log: to the client as `window/logMessage`, and traces of requests as `$/logTrace`."""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import suppress

from lsprotocol import types as lsp
from pygls.lsp.server import LanguageServer

_TYPES = {
    logging.DEBUG: lsp.MessageType.Log,
    logging.INFO: lsp.MessageType.Info,
    logging.WARNING: lsp.MessageType.Warning,
    logging.ERROR: lsp.MessageType.Error,
    logging.CRITICAL: lsp.MessageType.Error,
}


class ClientHandler(logging.Handler):
    """Sends records to the client's log."""

    def __init__(self, server: LanguageServer, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._server = server
        self._loop = loop

    def emit(self, record: logging.LogRecord) -> None:
        kind = _TYPES.get(record.levelno, lsp.MessageType.Log)
        params = lsp.LogMessageParams(type=kind, message=self.format(record))
        with suppress(RuntimeError):  # the loop is closed: there is no client any more
            self._loop.call_soon_threadsafe(self._server.window_log_message, params)


def to_client(server: LanguageServer, loop: asyncio.AbstractEventLoop) -> None:
    """From now on the log of all of MoSEarch goes to the client, too."""
    logging.getLogger("mosearch").addHandler(ClientHandler(server, loop))


def set_level(name: str) -> None:
    """`error`, `warning`, `info` or `debug`."""
    logging.getLogger("mosearch").setLevel(name.upper())


def quieten_pygls() -> None:
    """pygls logs each wrong request with its trace; what is wrong is in the answer already."""
    logging.getLogger("pygls").setLevel(logging.CRITICAL)


def trace(server: LanguageServer, method: str, milliseconds: float, params: object) -> None:
    """Tell a client that wants traces of a request that was answered."""
    wanted = server.protocol.trace
    if wanted == lsp.TraceValue.Off:
        return
    verbose = json.dumps(params, default=str) if wanted == lsp.TraceValue.Verbose else None
    message = f"{method}: answered after {milliseconds:.0f} ms"
    server.protocol.notify(lsp.LOG_TRACE, lsp.LogTraceParams(message=message, verbose=verbose))
