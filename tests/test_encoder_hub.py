"""Models from the hub; a server on this machine stands for it and speaks the part of its protocol in use."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import huggingface_hub.constants
import pytest

from mosearch.encoder import find_model, model_info
from mosearch.encoder.hub import KNOWN_MODELS, cached_model, hub_name, pull_model
from mosearch.errors import ModelError

NAME = "someone/tiny-model"
REVISION = "0123456789abcdef0123456789abcdef01234567"


class _Hub(BaseHTTPRequestHandler):
    """Serves the files of one folder as the model `NAME`."""

    def __init__(self, folder: Path, lies: set[str], asked: list[str], *rest: object) -> None:
        self.folder, self.lies, self.asked = folder, lies, asked
        super().__init__(*rest)  # type: ignore[arg-type]

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == f"/api/models/{NAME}/revision/main":
            self._answer(json.dumps({"id": NAME, "sha": REVISION, "siblings": []}).encode())
        elif path == f"/api/models/{NAME}/tree/{REVISION}":
            self._answer(json.dumps([self._entry(file) for file in self.folder.iterdir()]).encode())
        elif found := re.fullmatch(f"/{NAME}/resolve/[0-9a-f]+/(.+)", path):
            file = self.folder / found[1]
            if self.command == "GET":
                self.asked.append(file.name)
            data = file.read_bytes()
            content = bytes(len(data)) if file.name in self.lies else data
            self._answer(content, {"ETag": f'"{_sha256(data)}"', "X-Repo-Commit": REVISION})
        else:
            self._answer(b'{"error": "Repository not found"}', {"X-Error-Code": "RepoNotFound"}, 404)

    def _entry(self, file: Path) -> dict[str, object]:
        size, digest = file.stat().st_size, _sha256(file.read_bytes())
        lfs = {"oid": digest, "size": size, "pointerSize": 130}
        return {"type": "file", "path": file.name, "size": size, "oid": "0" * 40, "lfs": lfs}

    def _answer(self, body: bytes, headers: dict[str, str] | None = None, status: int = 200) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


class HubServer:
    def __init__(self, folder: Path) -> None:
        self.lies: set[str] = set()
        self.asked: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Hub, folder, self.lies, self.asked))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "hub"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(folder))
    return folder


@pytest.fixture
def hub(tiny_model: Path, tmp_path: Path) -> Iterator[HubServer]:
    offered = tmp_path / "offered"
    offered.mkdir()
    for file in tiny_model.iterdir():
        (offered / file.name).write_bytes(file.read_bytes())
    (offered / "modeling.py").write_text("raise SystemExit('run')")
    server = HubServer(offered)
    yield server
    server.close()


def test_a_pulled_model_is_found_by_name_without_the_hub(hub: HubServer, tiny_model: Path) -> None:
    with pytest.raises(ModelError, match=f"mosearch models pull {NAME}"):
        find_model(NAME)
    folder = pull_model(NAME, hub.url)
    assert sorted(file.name for file in folder.iterdir()) == [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
    ]
    hub.close()
    assert find_model(NAME) == folder == cached_model(NAME)
    assert model_info(NAME).fingerprint == model_info(tiny_model).fingerprint
    assert pull_model(NAME, hub.url) == folder


def test_what_has_arrived_is_not_fetched_again(hub: HubServer) -> None:
    folder = pull_model(NAME, hub.url)
    first = sorted(hub.asked)
    (folder / "tokenizer.json").resolve().unlink()
    (folder / "tokenizer.json").unlink()
    assert pull_model(NAME, hub.url) == folder
    assert sorted(hub.asked) == sorted([*first, "tokenizer.json"])


def test_damage_on_the_way_is_noticed_and_made_good(hub: HubServer) -> None:
    hub.lies.add("model.safetensors")
    with pytest.raises(ModelError, match=r"model\.safetensors .* arrived damaged"):
        pull_model(NAME, hub.url)
    hub.lies.clear()
    assert (pull_model(NAME, hub.url) / "model.safetensors").stat().st_size > 0


def test_a_hub_without_the_model_says_so(hub: HubServer) -> None:
    with pytest.raises(ModelError, match=r"has no public model no/such"):
        pull_model("no/such", hub.url)


def test_a_hub_that_cannot_be_reached_is_named() -> None:
    with pytest.raises(ModelError, match=r"Cannot fetch a/b from http://127\.0\.0\.1:9 .*Check the conn"):
        pull_model("a/b", "http://127.0.0.1:9")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mose-1b", "modularStarEncoder/ModularStarEncoder-finetuned"),
        ("mose-1b-18", "modularStarEncoder/ModularStarEncoder-finetuned-18"),
        ("a/b", "a/b"),
        ("./a/b", None),
        ("../b", None),
        ("a/..", None),
        ("a/b/c", None),
        ("mose", None),
    ],
)
def test_names_of_the_hub(name: str, expected: str | None) -> None:
    assert hub_name(name) == expected
    assert len(KNOWN_MODELS) == 5
