"""Editors driven for real, with the configurations of `docs/editors.md`; one that is missing is skipped.

`TEST_NVIM`, `TEST_EMACS` and `TEST_HELIX` name other commands than `nvim`, `emacs`
and `hx`.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

_HERE = Path(__file__).parent
_PAGE = _HERE.parent.parent / "docs" / "editors.md"


@pytest.fixture(scope="session")
def configuration() -> Callable[[str], str]:
    """The first block of code under a heading of the page that users copy from."""

    def read(heading: str) -> str:
        section = re.split(rf"^#+ {re.escape(heading)}$", _PAGE.read_text(encoding="utf-8"), flags=re.M)[1]
        found = re.search(r"```\w+\n(.*?)```", section, flags=re.S)
        assert found is not None, heading
        return found[1]

    return read


@pytest.fixture
def editor_environment(server_environment: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """Variables for an editor whose user has `mosearch` on the path and nothing else set up."""
    home = tmp_path / "home"
    home.mkdir()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    folders = {
        name: str(home / name.lower()) for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME")
    }
    return {
        **os.environ,
        **server_environment,
        **folders,
        "MOSEARCH_CACHE_DIR": str(home / "index"),
        "HOME": str(home),
        "PATH": path,
        "LC_ALL": "C.UTF-8",
        "TERM": "xterm-256color",
    }


@pytest.fixture(scope="session")
def editor() -> Callable[..., str]:
    """The command of an editor; skips the test where it is not installed."""

    def find(variable: str, *names: str) -> str:
        for name in filter(None, [os.environ.get(variable), *names]):
            found = shutil.which(name)
            if found:
                return found
        pytest.skip(f"{names[0]} is not installed (or name it in {variable})")

    return find


def test_neovim(
    editor: Callable[..., str],
    configuration: Callable[[str], str],
    editor_environment: dict[str, str],
    root: Path,
    tmp_path: Path,
) -> None:
    neovim = editor("TEST_NVIM", "nvim")
    init = tmp_path / "init.lua"
    init.write_text(configuration("Neovim"), encoding="utf-8")
    result = tmp_path / "result.json"
    done = subprocess.run(
        [neovim, "--headless", "-u", str(init), "-c", f"luafile {_HERE / 'neovim.lua'}"],
        cwd=root,
        env={**editor_environment, "EDITOR_TEST_RESULT": str(result)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=180,
        check=False,
    )
    assert result.exists(), done.stderr.decode()
    seen = json.loads(result.read_text())
    assert seen.get("problem") is None, seen["problem"]
    assert set(seen["kinds"]) >= {"begin", "end"}
    assert {"send", "sendWithRetry"} <= set(seen["symbols"])
    last = "    return sum(zahl)  # 漢 👩‍💻"
    units = len(last.encode("utf-16-le")) // 2 if seen["encoding"] == "utf-16" else len(last.encode())
    assert seen["typed"]["start"] == {"line": 1, "character": 0}
    assert seen["typed"]["end"] == {"line": 2, "character": units}
    assert seen["jumped"][0] == str(root / "src/store.go")
    assert 3 <= seen["jumped"][1] <= 4
    assert any("Checksum" in line for line in seen["selected"])
    # How many come after the first depends on how deep the vectors are by then.
    assert seen["quickfix"]["command"] == seen["quickfix"]["action"]
    file, line = seen["quickfix"]["command"]
    assert file.startswith(str(root))
    assert line >= 1


@pytest.mark.parametrize("package", ["lsp-mode", "eglot"])
def test_emacs(
    package: str,
    editor: Callable[..., str],
    configuration: Callable[[str], str],
    editor_environment: dict[str, str],
    root: Path,
    tmp_path: Path,
) -> None:
    emacs = editor("TEST_EMACS", "emacs")
    find = [emacs, "-batch", "-f", "package-initialize", "--eval", f"(require '{package})"]
    if subprocess.run(find, env=editor_environment, capture_output=True, timeout=60, check=False).returncode:
        pytest.skip(f"{package} is not installed for Emacs")
    settings = tmp_path / "init.el"
    settings.write_text(configuration(package), encoding="utf-8")
    result = tmp_path / "result.json"
    subprocess.run(["git", "init", "-q", str(root)], check=True, timeout=30)
    variables = {
        "EDITOR_TEST_CONFIGURATION": str(settings),
        "EDITOR_TEST_DRIVER": str(_HERE / "driver.el"),
        "EDITOR_TEST_RESULT": str(result),
        "EDITOR_TEST_ROOT": str(root),
    }
    done = subprocess.run(
        [emacs, "-batch", "-f", "package-initialize", "-l", str(_HERE / f"{package}.el")],
        cwd=root,
        env={**editor_environment, **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=180,
        check=False,
    )
    assert result.exists(), done.stderr.decode()
    seen = json.loads(result.read_text())
    assert "problem" not in seen, (seen["problem"], done.stderr.decode()[-2000:])
    assert {"send", "sendWithRetry"} <= set(seen["symbols"])
    assert any(file.endswith("store.go") for file, _ in seen["search"])
    assert seen["similar"]
    assert seen["action"] == seen["similar"]
    assert seen["typed"] == "def quersumme(zahl):  # 漢字 👍\n    return sum(zahl)  # 漢 👩\u200d💻"


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


class _Terminal:
    """A program in a terminal of its own, by tmux."""

    def __init__(self, folder: Path, environment: dict[str, str], *command: str) -> None:
        self._tmux = ["tmux", "-S", str(folder / "tmux")]
        self._environment = environment
        self._run("new-session", "-d", "-x", "160", "-y", "50", *command)

    def keys(self, *keys: str) -> None:
        self._run("send-keys", *keys)

    def wait(self, *wanted: str) -> str:
        """The screen, as soon as it shows all of that."""
        deadline = time.monotonic() + 60
        while True:
            screen = self._run("capture-pane", "-p")
            if all(text in screen for text in wanted):
                return screen
            assert time.monotonic() < deadline, screen
            time.sleep(0.1)

    def escape(self, shown: str) -> None:
        """Press Escape until that is not shown any more: a key that follows at once would be one with Alt."""
        deadline = time.monotonic() + 60
        while shown in self._run("capture-pane", "-p"):
            self.keys("Escape")
            assert time.monotonic() < deadline
            time.sleep(0.5)

    def close(self) -> None:
        self._run("kill-server")

    def _run(self, *arguments: str) -> str:
        command = [*self._tmux, *arguments]
        return subprocess.run(
            command, env=self._environment, capture_output=True, text=True, timeout=30, check=True
        ).stdout


def test_helix(
    editor: Callable[..., str],
    configuration: Callable[[str], str],
    editor_environment: dict[str, str],
    root: Path,
    tmp_path: Path,
) -> None:
    helix = editor("TEST_HELIX", "hx", "helix")
    editor("TEST_TMUX", "tmux")
    settings = Path(editor_environment["XDG_CONFIG_HOME"]) / "helix" / "languages.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text(configuration("Helix"), encoding="utf-8")
    subprocess.run(["git", "init", "-q", str(root)], check=True, timeout=30)
    text = "名 = '👍🏽 é'\r\n\r\ndef quersumme(zahl):\r\n    return sum(zahl)  # 漢 👩\u200d💻"
    (root / "src/größe.py").write_text(text, encoding="utf-8", newline="")
    log = tmp_path / "helix.log"
    shell = f"cd {shlex.quote(str(root))} && exec {shlex.quote(helix)} -vv --log {log} src/net/client.py"
    terminal = _Terminal(tmp_path, editor_environment, "sh", "-c", shell)
    try:
        terminal.wait("class Client")
        _until(lambda: '"kind": "end", "message": "5 files, ' in log.read_text(encoding="utf-8"))
        terminal.keys("Space", "S")
        terminal.wait("kind")
        terminal.keys("retry when busy")
        terminal.wait("sendWithRetry", "src/net/server.js", "method")
        terminal.escape("kind")
        terminal.keys("14gg", "Space", "a")
        terminal.wait("Find similar code: send")
        terminal.keys("Enter")
        terminal.wait("MoSEarch: similar code", "sendWithRetry")
        terminal.escape("MoSEarch: similar code")
        terminal.keys("Space", "S")
        terminal.wait("kind")
        terminal.keys("quersumme")
        terminal.wait("src/größe.py")
        # Helix asks for utf-8.
        end = len(text.split("\r\n")[-1].encode())
        span = (
            f'"range": {{"start": {{"line": 2, "character": 0}}, "end": {{"line": 3, "character": {end}}}}}'
        )
        assert span in log.read_text(encoding="utf-8")
        terminal.keys("Enter")
        terminal.wait("def quersumme(zahl):", "👩")
    finally:
        terminal.close()
