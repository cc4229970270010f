"""Fixtures that several rooms' tests share.

The runtime folder, which holds sockets, lies directly under the system's temporary folder, because
the path of a Unix socket must be short.
"""

from __future__ import annotations

import re
import shutil
import string
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from mosearch.encoder import ExitConfig, ModelConfig
from mosearch.engine import Engine
from mosearch.mose import MultiExitEncoder, save_model
from mosearch.settings import load_settings

_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


@pytest.fixture(scope="session")
def shared_runtime() -> Iterator[Path]:
    """A runtime folder for all tests, so that they share one host for each model."""
    runtime = Path(tempfile.mkdtemp(prefix="ms-"))
    with pytest.MonkeyPatch.context() as patch:
        # A thread that still connects when its test is over must not start a host in the user's folder.
        patch.setenv("MOSEARCH_RUNTIME_DIR", str(runtime))
        yield runtime
    _end_hosts(runtime)


@pytest.fixture(autouse=True)
def private_folders(tmp_path: Path, shared_runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the user's index, settings or encoder host, nor another test's index."""
    monkeypatch.setenv("MOSEARCH_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("MOSEARCH_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("MOSEARCH_RUNTIME_DIR", str(shared_runtime))
    monkeypatch.setenv("MOSEARCH_RESIDENT", "false")


@pytest.fixture
def private_runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A runtime folder for one test that kills hosts or counts processes."""
    runtime = Path(tempfile.mkdtemp(prefix="ms-"))
    monkeypatch.setenv("MOSEARCH_RUNTIME_DIR", str(runtime))
    yield runtime
    _end_hosts(runtime)


@pytest.fixture
def kill_hosts(private_runtime: Path) -> Callable[[], None]:
    """Kills the test's own hosts and residents without warning."""

    def kill() -> None:
        for process in hosts_in(private_runtime):
            process.kill()

    return kill


def _end_hosts(runtime: Path) -> None:
    for process in hosts_in(runtime):
        process.kill()
    shutil.rmtree(runtime, ignore_errors=True)


def hosts_in(runtime: Path) -> list[psutil.Process]:
    """The encoder hosts and resident processes of a runtime folder."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if {"mosearch.mose", "mosearch.resident"} & set(command) and any(
            str(runtime) in part for part in command
        ):
            found.append(process)
    return found


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with random weights and exits 0, 1 and 2: real in every part, and fast."""
    folder = tmp_path_factory.mktemp("model")
    tokenizer = _tokenizer()
    tokenizer.save(str(folder / "tokenizer.json"))
    config = ModelConfig(
        name="tiny",
        architecture="bert",
        hidden_size=32,
        layers=2,
        heads=4,
        intermediate_size=64,
        vocab_size=tokenizer.get_vocab_size(),
        max_positions=64,
        dim=32,
        exits=(ExitConfig(0), ExitConfig(1, head="linear"), ExitConfig(2, head="linear")),
        index_exit=1,
        rerank_exit=2,
        max_tokens=64,
        split_identifiers=True,
    )
    torch.manual_seed(7)
    save_model(MultiExitEncoder(config), folder)
    return folder


def _tokenizer() -> Tokenizer:
    """Characters, and the words of the small workspace: a trained vocabulary is another each time."""
    characters = string.ascii_lowercase + string.digits + string.punctuation
    words = {word for text in _SOURCES.values() for word in re.findall("[a-z]+", text.lower())}
    pieces = [
        *_SPECIAL,
        *characters,
        *(f"##{letter}" for letter in characters),
        *sorted(words - set(characters)),
    ]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return tokenizer


@pytest.fixture
def use_tiny_model(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Commands and servers started by the test use the tiny model."""
    monkeypatch.setenv("MOSEARCH_MODEL", str(tiny_model))
    monkeypatch.setenv("MOSEARCH_DEVICE", "cpu")
    # On a busy machine the usual budget would be spent earlier in one run than in another.
    monkeypatch.setenv("MOSEARCH_RERANK_BUDGET_MS", "30000")
    return tiny_model


@pytest.fixture
def open_engine(use_tiny_model: Path) -> Iterator[Callable[[Path], Engine]]:
    """Opens engines with the tiny model, and closes them after the test."""
    engines: list[Engine] = []

    def open_(root: Path) -> Engine:
        engines.append(Engine(root, load_settings(root)))
        return engines[-1]

    yield open_
    for engine in engines:
        engine.close()


_SOURCES = {
    "src/net/client.py": '''"""HTTP client."""

import time

LIMIT = 3


class Client:
    """Talks to one server."""

    def send(self, request):
        """Send a request and retry when the server is busy."""
        for attempt in range(LIMIT):
            answer = self.transport(request)
            if answer.status != 503:
                return answer
            time.sleep(2 ** attempt)
        raise TimeoutError(request)

    def close(self):
        """Close the connection pool."""
        self.pool.clear()
        self.transport = None
        return True
''',
    "src/net/server.js": """
/** Send a request again while the server is busy. */
function sendWithRetry(request) {
  for (let attempt = 0; attempt < 3; attempt++) {
    const answer = transport(request);
    if (answer.status !== 503) return answer;
  }
}
""",
    "src/store.go": """package store

// Checksum adds up all bytes of the block.
func Checksum(block []byte) uint32 {
	var sum uint32
	for _, b := range block {
		sum += uint32(b)
	}
	return sum
}
""",
    "README.md": "# Example\n\nHow to install it.\n\n## Configuration\n\nAttempts are a constant.\n",
}


@pytest.fixture(scope="session")
def write_sources() -> Callable[[Path], Path]:
    """Fills a folder with a small workspace in four languages."""

    def write(folder: Path) -> Path:
        for name, text in _SOURCES.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return folder

    return write


@pytest.fixture
def root(tmp_path: Path, write_sources: Callable[[Path], Path]) -> Path:
    """A small workspace, in a folder with a name that needs care."""
    return write_sources(tmp_path / "wörk it's ✓")


@pytest.fixture(scope="module")
def server_environment(
    tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, shared_runtime: Path
) -> dict[str, str]:
    """Variables for servers that several tests of a module share."""
    folder = tmp_path_factory.mktemp("server")
    return {
        "MOSEARCH_CACHE_DIR": str(folder / "cache"),
        "MOSEARCH_CONFIG_DIR": str(folder / "config"),
        "MOSEARCH_RUNTIME_DIR": str(shared_runtime),
        "MOSEARCH_MODEL": str(tiny_model),
        "MOSEARCH_DEVICE": "cpu",
        "MOSEARCH_RERANK_BUDGET_MS": "30000",
        "MOSEARCH_DEEPEN": "false",
    }
