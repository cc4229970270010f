"""The language server: a thin skin over `mosearch.engine`.  Translates requests in, hits out."""

from mosearch.lsp import process
from mosearch.lsp.server import server

__all__ = ["serve_stdio", "serve_tcp"]


def serve_stdio() -> int:
    """Serve one client over standard input and output until it leaves; returns the exit code."""
    return process.serve_stdio(server)


def serve_tcp(port: int) -> int:
    """Serve one client on a loopback port until it leaves; returns the exit code.  Raises `UsageError`."""
    return process.serve_tcp(server, port)
