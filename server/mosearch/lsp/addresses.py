"""Between URIs and paths.  Pure."""

from __future__ import annotations

from pathlib import Path

from pygls import uris

from mosearch.errors import QueryError


def to_uri(root: Path, path: str) -> str:
    """The URI of `path` (relative, `/`) in a folder.  Raises `QueryError`."""
    uri: str | None = uris.from_fs_path(str(root / path))
    if uri is None:
        raise QueryError(f"{root / path} cannot be written as a URI.")
    return uri


def file_path(uri: str) -> Path | None:
    """The file that a URI names; None if it names none on this machine."""
    try:
        path = uris.to_fs_path(uri)
    except ValueError:
        return None
    return Path(path) if path and "\0" not in path else None


def to_path(uri: str) -> Path:
    """As `file_path`, but raises `QueryError`."""
    path = file_path(uri)
    if path is None:
        raise QueryError(f"{uri} is not a file on this machine; only `file:` documents are indexed.")
    return path
