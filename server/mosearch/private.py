"""Folders that nobody but the user may look into."""

from __future__ import annotations

import os
from pathlib import Path

_TAG = "CACHEDIR.TAG"
_SIGNATURE = "Signature: 8a477f597d28d172789f06886806bc55\n"


def make_private(folder: Path) -> None:
    """Create `folder` and its missing parents with mode 0700, tighten an existing one.  Raises OSError."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(mode=0o700, exist_ok=True)
    if os.name != "nt" and folder.stat().st_mode & 0o077:
        folder.chmod(0o700)


def make_cache(folder: Path) -> None:
    """The same for a folder of what can be made anew.  Raises OSError.

    It gets the tag by which backups leave it out, and by which we do, should it lie within a workspace.
    """
    make_private(folder)
    tag = folder / _TAG
    if not tag.exists() or not tag.stat().st_size:
        tag.touch(0o600)
        tag.write_text(_SIGNATURE, "ascii")
