"""`mosearch doctor`: each thing MoSEarch needs, tried for real."""

from __future__ import annotations

import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mosearch.errors import EncoderError, MosearchError
from mosearch.private import make_private
from mosearch.settings import Settings, cache_dir, load_settings
from mosearch.types import Priority

_LOW_DISK_BYTES = 500_000_000


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    ok: bool
    message: str

    def to_json(self) -> dict[str, object]:
        return {"name": self.name, "ok": self.ok, "message": self.message}


def run_checks(root: Path) -> list[Check]:
    """Run every check; none raises."""
    checks = [_run("python", _python), _run("settings", lambda: _settings(root))]
    try:
        settings = load_settings(root if root.is_dir() else None)
    except MosearchError:
        settings = Settings()
    checks += [
        _run("folder", lambda: _folder(root)),
        _run("index folder", _index_folder),
        _run("git", _git),
        _run("model", lambda: _model(settings)),
        _run("encoder", lambda: _encoder(settings)),
    ]
    return checks


def _run(name: str, check: Callable[[], str]) -> Check:
    try:
        return Check(name, True, check())
    except (MosearchError, OSError) as error:
        return Check(name, False, str(error))


def _python() -> str:
    return f"{platform.python_version()} at {sys.executable}, {platform.system()} {platform.machine()}"


def _settings(root: Path) -> str:
    load_settings(root if root.is_dir() else None)
    return "valid"


def _folder(root: Path) -> str:
    from mosearch import workspace

    return f"{workspace.resolve_root(root)} is readable"


def _index_folder() -> str:
    folder = cache_dir()
    if not folder.exists():
        make_private(folder)
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(b"x")
    free = shutil.disk_usage(folder).free
    if free < _LOW_DISK_BYTES:
        raise OSError(
            f"{folder} has only {free / 1e6:.0f} MB left; free some space or set MOSEARCH_CACHE_DIR."
        )
    return f"{folder} is writable, {free / 1e9:.1f} GB free"


def _git() -> str:
    path = shutil.which("git")
    if path is None:
        return "not found: .gitignore files are honoured all the same, tracked but ignored files are left out"
    return path


def _model(settings: Settings) -> str:
    from mosearch.encoder import model_info

    info = model_info(settings.model)
    return f"{info.name}, exits {', '.join(map(str, info.exits))}, {info.dim} dimensions"


def _encoder(settings: Settings) -> str:
    from mosearch.encoder import connect

    start = time.perf_counter()
    with connect(
        settings.model,
        device=settings.device,
        threads=settings.threads,
        idle_seconds=settings.idle_seconds,
        memory_mb=settings.memory_mb,
        niceness=settings.niceness,
    ) as client:
        started = time.perf_counter()
        exit = client.info.index_exit
        vectors = client.encode(["def add(a, b): return a + b"], "code", (exit,), priority=Priority.QUERY)
        encoded = time.perf_counter()
        if vectors[exit].shape != (1, client.info.dim):
            raise EncoderError(f"The encoder answered with shape {vectors[exit].shape}.")
        if client.trouble:
            raise EncoderError(client.trouble)
        return (
            f"answers on {client.device}, reached in {(started - start) * 1000:.0f} ms, "
            f"one text in {(encoded - started) * 1000:.0f} ms"
        )
