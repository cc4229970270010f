"""Whatever happens to a workspace in whatever order, what can be found is what a dictionary would say.

`LIVE_EXAMPLES=n` runs n examples instead of a few, and then also kills real processes with SIGKILL.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from mosearch import parsing
from mosearch.connection import Connection
from mosearch.engine import Engine
from mosearch.settings import load_settings
from mosearch.types import StoredChunk

EXAMPLES = int(os.environ.get("LIVE_EXAMPLES", "0"))
IS_LONG = EXAMPLES > 0

NAMES = ("zigzag", "checksum", "retry", "balloon", "quota")
FOLDERS = ("", "src/", "src/deep/", "gen/")
FILES = tuple(f"{folder}{name}" for folder in FOLDERS for name in ("a.py", "b.py", "c.js"))
RULES = ("*.js", "gen/", "b.py", "/src/a.py", "deep/")
IGNORE_FILES = (".gitignore", ".mosearchignore", "src/.gitignore")
BRANCHES = ("main", "other", "third")

Function = tuple[str, int]
"""A name, and which of a few bodies."""
Place = tuple[str, str, int, int, str]
"""Path, symbol, first line, last line, text."""

paths = st.sampled_from(FILES)
bodies = st.lists(st.tuples(st.sampled_from(NAMES), st.integers(0, 3)), max_size=3, unique_by=lambda f: f[0])
margins = st.integers(0, 3)
moments = st.integers(0, 6)


def source(path: str, function: Function) -> str:
    name, variant = function
    if path.endswith(".py"):
        return f'def {name}(x):\n    """The {name} of x."""\n    y = x * {variant + 2}\n    return {name}(y)'
    return f"function {name}(x) {{\n  const y = x * {variant + 2};\n  return {name}(y);\n}}"


def text_of(path: str, functions: Sequence[Function], margin: int) -> str:
    parts = [source(path, function) + "\n" for function in functions]
    return "\n" * margin + "\n\n".join(parts) if parts else "\n" * margin


def places(path: str, text: str) -> list[Place]:
    """What of a file can be found, told from how `text_of` wrote it."""
    if Path(path).name in (".gitignore", ".mosearchignore"):
        chunks = parsing.parse(text.encode(), parsing.language_of(path, text.encode()), path).chunks
        return [(path, c.symbol, c.start_line, c.end_line, c.text) for c in chunks]
    found: list[Place] = []
    lines = text.split("\n")
    for number, line in enumerate(lines):
        if line.startswith(("def ", "function ")):
            last = number + 3
            name = line.split(" ")[1].split("(")[0]
            found.append((path, name, number, last, "\n".join(lines[number : last + 1])))
    return found


def matches(pattern: str, path: str, base: str) -> bool:
    """Whether one of the few kinds of pattern in RULES, written in folder `base`, ignores a file."""
    if not path.startswith(base):
        return False
    parts = path[len(base) :].split("/")
    if pattern.startswith("/"):
        return pattern[1:] == "/".join(parts)
    if pattern.endswith("/"):
        return pattern[:-1] in parts[:-1]
    return parts[-1].endswith(pattern[1:]) if pattern.startswith("*") else parts[-1] == pattern


@dataclass
class Oracle:
    """What is on disk, in git and in the editor."""

    disk: dict[str, str] = field(default_factory=dict)
    tracked: set[str] = field(default_factory=set)
    branches: dict[str, dict[str, str]] = field(default_factory=dict)
    branch: str = "main"
    buffers: dict[str, str] = field(default_factory=dict)

    def is_ignored(self, path: str) -> bool:
        return self._ruled(path, ".mosearchignore") or (
            path not in self.tracked and self.is_git_ignored(path)
        )

    def is_git_ignored(self, path: str) -> bool:
        return self._ruled(path, ".gitignore")

    def _ruled(self, path: str, name: str) -> bool:
        """Patterns are never negated, so that one match anywhere decides.  An ignore file in an ignored
        folder says nothing of what is not ignored anyway."""
        for rules, text in self.disk.items():
            if Path(rules).name == name:
                base = rules.removesuffix(name)
                if any(matches(line, path, base) for line in text.split("\n") if line):
                    return True
        return False

    def indexed(self) -> dict[str, str]:
        """What the store shall hold."""
        return {path: text for path, text in self.disk.items() if not self.is_ignored(path)}

    def shown(self) -> dict[str, str]:
        """What can be found: open documents count as the editor shows them."""
        open_ones = {path: text for path, text in self.buffers.items() if not self.is_ignored(path)}
        return self.indexed() | open_ones

    def move(self, old: str, new: str) -> None:
        """A file, or a folder with a slash at its end."""
        for path in [path for path in self.disk if path.startswith(old)]:
            self.disk[new + path[len(old) :]] = self.disk.pop(path)


class Counting:
    """Notes every text of code that is sent to the encoder, by exit."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sent: Counter[tuple[int, str]] = Counter()
        encode = Connection.encode

        def noted(
            client: Connection, texts: Sequence[str], kind: Any = "code", exits: Any = None, **rest: Any
        ) -> Any:
            if kind == "code":
                for exit in exits:
                    self.sent.update((exit, text) for text in texts)
            return encode(client, texts, kind, exits, **rest)

        monkeypatch.setattr(Connection, "encode", noted)


class Crash(BaseException):
    """The process ends here."""


class Live(RuleBasedStateMachine):
    """An editor with one workspace, and a second one beside it that only indexes."""

    counting: Counting

    def __init__(self) -> None:
        super().__init__()
        self.counting.sent.clear()
        self.folder = Path(tempfile.mkdtemp(prefix="mosearch-live-"))
        os.environ["MOSEARCH_CACHE_DIR"] = str(self.folder / "cache")
        self.root = self.folder / "work"
        self.root.mkdir()
        self.oracle = Oracle()
        self._git("init", "-q", "-b", "main")
        self.engines: list[Engine] = []

    @initialize()
    def begin(self) -> None:
        self.engine = self._opened()

    def teardown(self) -> None:
        try:
            self.settle(check_searches=True)
        finally:
            for engine in self.engines:
                engine.close()
            shutil.rmtree(self.folder)

    # What happens to files

    @rule(path=paths, functions=bodies, margin=margins)
    def write(self, path: str, functions: list[Function], margin: int) -> None:
        self._write(path, text_of(path, functions, margin))

    @rule(path=paths)
    def delete(self, path: str) -> None:
        if self.oracle.disk.pop(path, None) is not None:
            (self.root / path).unlink()

    @rule(old=paths, new=paths)
    def rename_file(self, old: str, new: str) -> None:
        same_kind = Path(old).suffix == Path(new).suffix
        if old in self.oracle.disk and new != old and same_kind:
            (self.root / new).parent.mkdir(parents=True, exist_ok=True)
            (self.root / old).rename(self.root / new)
            self.oracle.disk[new] = self.oracle.disk.pop(old)

    @rule(old=st.sampled_from(FOLDERS[1:]), new=st.sampled_from(("lib/", "gen/", "src/", "src/deep/")))
    def rename_folder(self, old: str, new: str) -> None:
        if (self.root / old).is_dir() and not (self.root / new).exists() and not new.startswith(old):
            (self.root / new).parent.mkdir(parents=True, exist_ok=True)
            (self.root / old).rename(self.root / new)
            self.oracle.move(old, new)

    @rule(first=paths, second=paths)
    def swap(self, first: str, second: str) -> None:
        """Two files trade places and keep their times, as when an archive is unpacked over another."""
        same_kind = Path(first).suffix == Path(second).suffix
        if {first, second} <= self.oracle.disk.keys() and first != second and same_kind:
            disk, spare = self.oracle.disk, self.root / "spare"
            for path in (first, second):
                os.utime(self.root / path, ns=(10**18, 10**18))
            (self.root / first).rename(spare)
            (self.root / second).rename(self.root / first)
            spare.rename(self.root / second)
            disk[first], disk[second] = disk[second], disk[first]

    @rule(path=st.sampled_from(IGNORE_FILES), lines=st.lists(st.sampled_from(RULES), max_size=2, unique=True))
    def ignore(self, path: str, lines: list[str]) -> None:
        self._write(path, "".join(f"{line}\n" for line in lines))

    @rule(branch=st.sampled_from(BRANCHES))
    def switch_branch(self, branch: str) -> None:
        """Commit all there is, and check out another branch, which begins here if it is new."""
        oracle = self.oracle
        self._git("add", "-A")
        self._git("commit", "-q", "--allow-empty", "-m", "all")
        oracle.tracked = {
            path for path in oracle.disk if path in oracle.tracked or not oracle.is_git_ignored(path)
        }
        tree = {path: oracle.disk[path] for path in oracle.tracked}
        oracle.branches[oracle.branch] = tree
        self._git("checkout", "-q", *(() if branch in oracle.branches else ("-b",)), branch)
        target = oracle.branches.setdefault(branch, tree)
        left = {path: text for path, text in oracle.disk.items() if path not in tree}
        oracle.disk = left | target
        oracle.tracked = set(target)
        oracle.branch = branch

    # What happens in the editor

    @rule(path=paths)
    def open_document(self, path: str) -> None:
        if path in self.oracle.disk:
            self._show(path, self.oracle.disk[path])

    @rule(path=paths, functions=bodies, margin=margins)
    def edit(self, path: str, functions: list[Function], margin: int) -> None:
        self._show(path, text_of(path, functions, margin))

    @precondition(lambda self: self.oracle.buffers)
    @rule(data=st.data())
    def save(self, data: st.DataObject) -> None:
        path = data.draw(st.sampled_from(sorted(self.oracle.buffers)))
        self._write(path, self.oracle.buffers[path])

    @precondition(lambda self: self.oracle.buffers)
    @rule(data=st.data())
    def close_without_saving(self, data: st.DataObject) -> None:
        path = data.draw(st.sampled_from(sorted(self.oracle.buffers)))
        del self.oracle.buffers[path]
        self.engine.hide(path)

    # What happens to processes

    @rule()
    def update(self) -> None:
        self.settle()

    @rule()
    def another_window_updates(self) -> None:
        with Engine(self.root, load_settings(self.root)) as other:
            other.update()

    @rule(moment=moments)
    def crash_while_updating(self, moment: int) -> None:
        """The engine is abandoned at some point of an update; nobody closes it."""
        left = moment

        def count_down(_stage: str, _done: int, _total: int) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise Crash

        with suppress(Crash):
            self.engine.update(count_down)
        self._restart()

    @rule()
    def restart(self) -> None:
        self.engine.close()
        self._restart()

    @rule()
    def maintain(self) -> None:
        self.engine.store.optimize(ann_rows=8)

    @precondition(lambda _: IS_LONG)
    @rule(share=st.floats(0.1, 1.2))
    def kill_a_process_that_indexes(self, share: float) -> None:
        command = [sys.executable, "-m", "mosearch", "index", "--root", str(self.root)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        time.sleep(share)
        process.kill()
        process.wait()

    # What must hold

    def settle(self, *, check_searches: bool = False) -> None:
        """Bring the index up to date and compare everything."""
        report = self.engine.update()
        assert not report.warning
        self._check_store()
        self._check_shown()
        self._check_nothing_was_embedded_twice()
        if check_searches:
            self._check_searches()

    def _check_store(self) -> None:
        indexed = self.oracle.indexed()
        files = {path: text for path, text in indexed.items() if text.strip()}
        store = self.engine.store
        records = store.files()
        assert set(records) == set(indexed)
        assert {path for path, record in records.items() if not record.skip_reason} == set(files)
        expected = {path: places(path, text) for path, text in files.items()}
        assert {path: _as_places(store.chunks_of(path)) for path in files} == expected
        status = self.engine.status()
        counted = (status.files, status.chunks, status.pending)
        assert counted == (len(files), sum(map(len, expected.values())), 0)
        assert dict(status.skipped) == (
            {"empty": len(indexed) - len(files)} if len(indexed) > len(files) else {}
        )
        assert not status.failed
        assert status.chunks == status.stats.chunks

    def _check_shown(self) -> None:
        assert self._found() == self._expected()
        for path in self.engine.overlay.contents():
            assert not self.engine.overlay.unknown(path, self.engine.index_exit), (
                "what a buffer holds has its vectors"
            )

    def _found(self) -> list[Place]:
        """Everything that can be found: stored chunks, less those that buffers hide, and the buffers'."""
        overlay, store = self.engine.overlay, self.engine.store
        shown = [chunk for chunks in overlay._chunks.values() for chunk in chunks]
        stored = [
            c for path in store.files() if path not in overlay.contents() for c in store.chunks_of(path)
        ]
        return sorted(_as_places([*shown, *stored]))

    def _expected(self) -> list[Place]:
        return sorted(place for path, text in self.oracle.shown().items() for place in places(path, text))

    def _check_nothing_was_embedded_twice(self) -> None:
        assert [text for text, times in self.counting.sent.items() if times > 1] == []

    def _check_searches(self) -> None:
        """By name, every text is found, and nothing that is not there."""
        expected = set(self._expected())
        for name in NAMES:
            hits = self.engine.search(name, 100, rerank=False).hits
            found = {
                (hit.path, hit.chunk.symbol, hit.chunk.start_line, hit.chunk.end_line, hit.chunk.text)
                for hit in hits
            }
            assert found <= expected
            wanted = {place[4] for place in expected if place[1] == name}
            assert wanted <= {place[4] for place in found}
            assert None not in {hit.exit for hit in hits}

    # Means

    def _opened(self) -> Engine:
        engine = Engine(self.root, load_settings(self.root))
        self.engines.append(engine)
        return engine

    def _restart(self) -> None:
        """The editor tells the new server of its open documents."""
        self.engine = self._opened()
        for path, text in self.oracle.buffers.items():
            self.engine.show(path, text)
        self.engine.embed_shown()

    def _show(self, path: str, text: str) -> None:
        self.oracle.buffers[path] = text
        self.engine.show(path, text)
        self.engine.embed_shown()

    def _write(self, path: str, text: str) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        self.oracle.disk[path] = text

    def _git(self, *arguments: str) -> None:
        identity = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "core.excludesFile=")
        command = ["git", *identity, "-c", "gc.auto=0", *arguments]
        done = subprocess.run(command, cwd=self.root, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (arguments, done.stderr)


def _as_places(chunks: Iterable[StoredChunk]) -> list[Place]:
    return [
        (item.path, item.chunk.symbol, item.chunk.start_line, item.chunk.end_line, item.chunk.text)
        for item in chunks
    ]


def test_what_is_found_is_what_is_there(
    use_tiny_model: Path, shared_runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Live, "counting", Counting(monkeypatch), raising=False)
    options = settings(
        max_examples=EXAMPLES or 8,
        stateful_step_count=30 if IS_LONG else 12,
        deadline=None,
        derandomize=not IS_LONG,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate,),  # a failure prints its few steps; making them fewer takes minutes
    )
    run_state_machine_as_test(Live, settings=options)
