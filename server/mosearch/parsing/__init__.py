"""Text to chunks: the language registry, one tree-sitter query per language, and the cutting.

Pure: it knows nothing of files, vectors, LSP or stores.  `parse` takes any bytes.
"""

from mosearch.parsing.chunks import chunk_at, parse, parse_file
from mosearch.parsing.languages import LANGUAGES, language_of

CHUNKING_VERSION = 6
"""Raised when the same source gives other chunks: indexes are then built anew, with the vectors of
texts that stayed the same."""

__all__ = ["CHUNKING_VERSION", "LANGUAGES", "chunk_at", "language_of", "parse", "parse_file"]
