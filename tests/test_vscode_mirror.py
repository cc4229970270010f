"""What the VS Code extension repeats of the server is what the server has."""

from __future__ import annotations

import runpy
from pathlib import Path

MIRROR = Path(__file__).parents[1] / "client-vscode/mirror.py"


def test_the_extension_mirrors_the_server() -> None:
    for path, text in runpy.run_path(str(MIRROR))["mirrored"]().items():
        message = f"{path.name} differs from the server: run `python client-vscode/mirror.py`"
        assert path.read_text(encoding="utf-8") == text, message
