"""The language server: a thin skin over `mosearch.engine`.  Translates requests in, hits out."""

from mosearch.lsp.server import serve_stdio, serve_tcp

__all__ = ["serve_stdio", "serve_tcp"]
