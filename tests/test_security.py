"""What another user of the machine gets to see: nothing."""

from __future__ import annotations

import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from conftest import hosts_in
from mosearch.evaluation.session import Session
from other_user import as_nobody, needs_root


class LeakError(Exception):
    """Another user got at something."""


@pytest.fixture
def open_to_all(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that everybody may enter, so that only our own folders keep others out."""
    folder = Path(tempfile.mkdtemp(prefix="ms-"))
    folder.chmod(0o755)
    monkeypatch.setenv("MOSEARCH_CACHE_DIR", str(folder / "cache"))
    monkeypatch.setenv("MOSEARCH_RUNTIME_DIR", str(folder / "run"))
    yield folder
    for process in hosts_in(folder):
        process.kill()
    shutil.rmtree(folder)


@needs_root
def test_another_user_reads_nothing_of_an_index_and_reaches_no_process(
    root: Path, use_tiny_model: Path, open_to_all: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MOSEARCH_RESIDENT")
    with Session(root, {"deepen": False}) as session:
        deadline = time.monotonic() + 60
        while not session.status().get("files") or session.status()["pending"]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert session.search("checksum", limit=1)
        paths = list(open_to_all.rglob("*"))
        sockets = [path for path in paths if path.is_socket()]
        files = [path for path in paths if path.is_file()]
        assert len(sockets) == 2, "of the encoder, and of the server for commands"
        assert {path.suffix for path in files} >= {".lance", ".json", ".log"}

        def pry() -> None:
            for path in files:
                with suppress(PermissionError):
                    path.open("rb")
                    raise LeakError(path)
            for path in sockets:
                with suppress(PermissionError):
                    socket.socket(socket.AF_UNIX).connect(str(path))
                    raise LeakError(path)

        assert as_nobody(pry) == ""
        outside = [
            (process.name(), connection.laddr)
            for process in (psutil.Process(session.process.pid), *hosts_in(open_to_all))
            for connection in process.net_connections("inet")
        ]
        assert outside == [], "nothing listens on a network"
