"""`mosearch/status` and `mosearch/statusChanged` as JSON."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from mosearch import __version__
from mosearch.errors import MosearchError
from mosearch.lsp.folder import Folder


def full(folders: Iterable[Folder], encoding: str) -> dict[str, Any]:
    """What each folder's index holds, or why it is not open.  Reads the stores."""
    folders = list(folders)
    return {
        "version": __version__,
        "pid": os.getpid(),
        "positionEncoding": encoding,
        "problems": list(dict.fromkeys(each.settings_problem for each in folders if each.settings_problem)),
        "folders": [_with_counts(folder) for folder in folders],
    }


def brief(folder: Folder) -> dict[str, Any]:
    """What a folder is doing, from memory."""
    state = folder.state
    answer: dict[str, Any] = {"uri": folder.uri, "root": str(folder.root), "state": state.name}
    if state.name == "indexing" and state.stage:
        answer["progress"] = {
            "stage": state.stage,
            "done": state.done,
            "total": state.total,
            "percentage": int(100 * state.share),
        }
    if state.error:
        answer["error"] = state.error
    warning = " ".join(filter(None, [state.warning, folder.settings_problem if not state.error else ""]))
    if warning:
        answer["warning"] = warning
    return answer


def _with_counts(folder: Folder) -> dict[str, Any]:
    try:
        counts = folder.engine().status().to_json() if folder.tried.done() else {}
    except MosearchError as error:
        # Also when the folder is closed at this moment: then it has no state of its own for that.
        return {"error": str(error), **brief(folder)}
    return counts | brief(folder)
