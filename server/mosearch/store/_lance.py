# The import of LanceDB has to come after what makes it quick.
# ruff: noqa: E402
"""LanceDB, imported in half the time.

It brings along a generated client for the REST interface of remote databases, which takes as long to
import as all the rest.  Only the data classes of that client are needed here, and they do not need it.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from types import ModuleType

# LanceDB's engine writes notes meant for its developers to standard error unless told otherwise.
os.environ.setdefault("LANCEDB_LOG", "error")

_REST_CLIENT = "lance_namespace_urllib3_client"


def _leave_out_rest_client() -> None:
    """Put an empty package in its place: its sub-modules are found, its `__init__` does not run."""
    spec = importlib.util.find_spec(_REST_CLIENT)
    if _REST_CLIENT not in sys.modules and spec is not None and spec.submodule_search_locations:
        package = ModuleType(_REST_CLIENT)
        package.__spec__ = spec
        package.__path__ = list(spec.submodule_search_locations)
        sys.modules[_REST_CLIENT] = package


_leave_out_rest_client()

import lancedb
from lancedb.index import FTS, BTree, IvfRq
from lancedb.query import FullTextOperator, MatchQuery

__all__ = ["FTS", "BTree", "FullTextOperator", "IvfRq", "MatchQuery", "lancedb"]
