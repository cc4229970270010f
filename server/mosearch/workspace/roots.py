"""From what a user typed to a folder that can be scanned."""

from __future__ import annotations

import os
from pathlib import Path

from mosearch.errors import RootError


def resolve_root(path: Path) -> Path:
    """The absolute path, without symbolic links, of an existing folder that can be listed.

    Raises `RootError`, with a message for the user, for anything else.
    """
    try:
        root = path.expanduser().resolve(strict=True)
        with os.scandir(root):
            return root
    except FileNotFoundError:
        raise RootError(f"No such folder: {path}. Check the spelling, or create it first.") from None
    except NotADirectoryError:
        raise RootError(f"{path} is a file. Give the folder that holds it.") from None
    except PermissionError:
        raise RootError(
            f"No permission to list {path}. Change its permissions or give another folder."
        ) from None
    except (OSError, RuntimeError, ValueError) as error:
        raise RootError(f"{path} cannot be used as a workspace: {error}. Give another folder.") from None
