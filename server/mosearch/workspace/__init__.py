"""Which files exist in a workspace, and what they hold.

Knows nothing of chunks, vectors or LSP.  Paths are relative to the root and separated by `/`.
"""

from mosearch.workspace.content import classify, decode
from mosearch.workspace.files import is_unchanged
from mosearch.workspace.ignore import GIT_RULES_FILE, MARKER_NAMES, OWN_RULES_FILE, IgnoreRules
from mosearch.workspace.repository import repository_key
from mosearch.workspace.roots import resolve_root
from mosearch.workspace.scan import DEFAULT_MAX_FILE_BYTES, ScanResult, scan, walk
from mosearch.workspace.sources import Source, content_hash, read_source
from mosearch.workspace.watcher import Watcher

__all__ = [
    "DEFAULT_MAX_FILE_BYTES",
    "GIT_RULES_FILE",
    "MARKER_NAMES",
    "OWN_RULES_FILE",
    "IgnoreRules",
    "ScanResult",
    "Source",
    "Watcher",
    "classify",
    "content_hash",
    "decode",
    "is_unchanged",
    "read_source",
    "repository_key",
    "resolve_root",
    "scan",
    "walk",
]
