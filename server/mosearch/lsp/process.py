"""The server as a process: where it listens, and when it ends."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
import sys
import threading
import time
from typing import Any, BinaryIO

import psutil

from mosearch import memory
from mosearch.errors import UsageError
from mosearch.lsp import logs, transport
from mosearch.lsp.state import Server

_log = logging.getLogger(__name__)

_PARSE_ERROR = -32700
_PARENT_POLL_S = 2.0
_SWITCH_INTERVAL_S = 0.001
"""How long a thread that computes may keep the event loop from running."""


def serve_stdio(server: Server) -> int:
    """Serve one client over standard input and output until it leaves; returns the exit code."""
    return _serve(server, *transport.own_stdio())


def serve_tcp(server: Server, port: int) -> int:
    """Serve one client, the first to connect to a loopback port, until it leaves.

    Other users of this machine can connect, too, so the client must show the token that is printed to
    standard error, as `initializationOptions.token`; one that does not is served nothing.
    Raises `UsageError` for a port that cannot be had.
    """
    try:
        listener = socket.create_server(("127.0.0.1", port))
    except OSError as error:
        raise UsageError(
            f"Cannot listen on 127.0.0.1:{port}: {error.strerror}. Give another port."
        ) from error
    server.token = secrets.token_urlsafe(24)
    print(f"mosearch: serving on 127.0.0.1:{port}, token {server.token}", file=sys.stderr, flush=True)  # noqa: T201
    with listener:
        connection, _ = listener.accept()
    with connection, connection.makefile("rb") as reader, connection.makefile("wb") as writer:
        return _serve(server, reader, writer)


def _serve(server: Server, reader: BinaryIO, out: BinaryIO) -> int:
    memory.keep_little()
    memory.settle()
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    logs.quieten_pygls()
    writer = transport.Writer(out)
    server.protocol.set_writer(writer)
    try:
        return asyncio.run(_run(server, reader))
    finally:
        _end_folders(server)
        writer.close()


async def _run(server: Server, reader: BinaryIO) -> int:
    """Until `exit` or the end of input; returns the exit code."""
    loop = asyncio.get_running_loop()
    left: asyncio.Future[int] = loop.create_future()

    def leave(code: int) -> None:
        if not left.done():
            left.set_result(code)

    def handle(message: Any) -> None:
        if isinstance(message, transport.Undecodable):
            server.protocol.refuse(None, _PARSE_ERROR, f"The message is not JSON: {message.why}")
        elif not left.done():
            server.protocol.receive(message)

    async def read() -> None:
        await transport.serve(reader, handle)
        leave(0)

    server.protocol.on_exit = leave
    reading = loop.create_task(read())
    code = await left
    reading.cancel()
    return code


def _end_folders(server: Server) -> None:
    """For clients that close the connection without `shutdown`."""
    for folder in list(server.folders.values()):
        folder.stop()


def leave_with(server: Server, process_id: int) -> None:
    """End this process when the client's process is gone: its end of the pipe may be held open by others."""

    def poll() -> None:
        while psutil.pid_exists(process_id):
            time.sleep(_PARENT_POLL_S)
        _log.warning("the client (process %d) is gone: leaving", process_id)
        _end_folders(server)
        os._exit(0)

    threading.Thread(target=poll, name="mosearch-parent", daemon=True).start()
