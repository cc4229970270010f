"""semble's answers, from a process in an environment of its own: see `semble_answers.py`."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_LONGEST_S = 600


def ask_semble(python: str, model: str, root: Path, queries: Sequence[str], limit: int) -> dict[str, Any]:
    """What `semble_answers.py answer` writes.  Raises CalledProcessError and TimeoutExpired."""
    done = subprocess.run(
        [python, str(Path(__file__).with_name("semble_answers.py")), "answer", model],
        input=json.dumps({"root": str(root), "queries": list(queries), "limit": limit}),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=_LONGEST_S,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found
