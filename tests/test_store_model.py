"""Whatever is done in whatever order, the store answers as a dictionary would."""

from __future__ import annotations

import secrets
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from mosearch.store import Store
from mosearch.text import digest
from mosearch.types import Chunk, FileRecord, Filters, Span, StoredChunk, SymbolKind

MODEL, EXIT, DIM = "feedface" * 8, 1, 8
WORDS = ("alpha", "beta", "gamma's", 'del"ta', "Ünï")
PATHS = ("a.py", "dir/b.py", "it's.py", "per%cent_.py", 'quo"te.py', "back\\slash.py", "日本.py")

paths = st.sampled_from(PATHS)
bodies = st.lists(
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map(" ".join), max_size=4, unique=True
)


@dataclass(frozen=True)
class Version:
    record: FileRecord
    chunks: tuple[StoredChunk, ...]


def new_version(path: str, texts: list[str]) -> Version:
    file_id = secrets.randbits(63)
    chunks = [
        Chunk(
            symbol=text.split()[0],
            container="Outer",
            kind=SymbolKind.METHOD,
            language="python",
            start_byte=place,
            end_byte=place + 1,
            start_line=place,
            end_line=place,
            signature=f"def {text}\ud800",
            docstring="doc\0",
            text=text,
            context="in Outer",
            digest=digest(text),
            part=place,
            parts=len(texts),
            whole=Span(0, len(texts), 0, len(texts)) if len(texts) > 1 else None,
        )
        for place, text in enumerate(texts)
    ]
    stored = tuple(StoredChunk(path, file_id, chunk) for chunk in chunks)
    return Version(FileRecord(path, file_id, 1, 2, "hash", "python", len(chunks)), stored)


def terms_of(version: Version) -> list[str]:
    return [c.chunk.text for c in version.chunks]


def vector_of(text: str) -> np.ndarray[tuple[int], np.dtype[np.float16]]:
    seed = int(digest(text)[:8], 16)
    vector = np.random.default_rng(seed).standard_normal(DIM)
    return (vector / np.linalg.norm(vector)).astype(np.float16)


class StoreMachine(RuleBasedStateMachine):
    """Two Stores on the same folders, as two processes have; `other` only reads."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="mosearch-test-"))
        self.truth: dict[str, Version] = {}
        self.embedded: set[str] = set()

    @initialize()
    def open(self) -> None:
        self.store = self.opened()
        self.other = self.opened()

    def opened(self) -> Store:
        return Store.open(self.folder / "index", self.folder / "vectors")

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    @rule(files=st.dictionaries(paths, bodies, min_size=1, max_size=3))
    def commit(self, files: dict[str, list[str]]) -> None:
        versions = [new_version(path, texts) for path, texts in files.items()]
        self.store.commit(
            [v.record for v in versions],
            [c for v in versions for c in v.chunks],
            [t for v in versions for t in terms_of(v)],
        )
        self.truth.update({v.record.path: v for v in versions})

    @rule(path=paths, texts=bodies)
    def die_before_the_commit_marker(self, path: str, texts: list[str]) -> None:
        """What a process killed half-way through `commit` leaves behind."""
        version = new_version(path, texts)
        self.store._tables.chunks.append(version.chunks, terms_of(version))

    @rule(gone=st.sets(paths, max_size=3))
    def remove(self, gone: set[str]) -> None:
        self.store.remove(gone)
        for path in gone:
            self.truth.pop(path, None)

    @rule(path=paths, size=st.integers(0, 2**62))
    def touch(self, path: str, size: int) -> None:
        stale = new_version(path, []).record
        if path in self.truth:
            version = self.truth[path]
            self.truth[path] = replace(version, record=replace(version.record, size=size, mtime_ns=size))
            self.store.touch([self.truth[path].record])
        self.store.touch([stale])

    @rule()
    def embed_missing(self) -> None:
        wanted = {c.chunk.encoder_text for v in self.truth.values() for c in v.chunks}
        missing = self.store.missing_texts(MODEL, EXIT)
        texts = {item.digest: item.text for item in missing}
        assert missing.total == len(texts)
        assert set(texts.values()) == {t for t in wanted if digest(t.split("\n")[1]) not in self.embedded}
        if texts:
            vectors = np.stack([vector_of(text) for text in texts.values()])
            self.store.add_vectors(MODEL, EXIT, list(texts), vectors)
        self.embedded |= set(texts)

    @rule()
    def sweep(self) -> None:
        self.store.sweep()
        stats = self.store.stats()
        assert (stats.chunks, stats.dead_chunks) == (sum(len(v.chunks) for v in self.truth.values()), 0)

    @rule()
    def optimize(self) -> None:
        assert self.store.optimize(ann_rows=4)
        assert not self.store.maintenance_due()

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = self.opened()

    @rule(word=st.sampled_from(WORDS))
    def search_text(self, word: str) -> None:
        hits = self.other.search_text([word], 50, Filters())
        wanted = [c for v in self.truth.values() for c in v.chunks if word in c.chunk.text.split()]
        assert sorted(places(c for c, _ in hits)) == sorted(places(wanted))

    @rule(text=st.sampled_from(WORDS))
    def search_vectors(self, text: str) -> None:
        hits = self.other.search_vectors(MODEL, EXIT, vector_of(text), 50, Filters(path_globs=("*.py",)))
        wanted = [c for v in self.truth.values() for c in v.chunks if c.chunk.digest in self.embedded]
        assert sorted(places(c for c, _ in hits)) == sorted(places(wanted))

    @rule(word=st.sampled_from(WORDS))
    def symbols(self, word: str) -> None:
        wanted = [c for v in self.truth.values() for c in v.chunks if c.chunk.symbol == word]
        assert sorted(places(self.other.symbols([word.upper()], 50))) == sorted(places(wanted))

    @invariant()
    def files_and_chunks_are_those_last_committed(self) -> None:
        for store in (self.store, self.other):
            assert store.files() == {path: v.record for path, v in self.truth.items()}
            for path in PATHS:
                expected = self.truth[path].chunks if path in self.truth else ()
                assert tuple(store.chunks_of(path)) == expected


def places(chunks: object) -> list[tuple[str, int]]:
    assert hasattr(chunks, "__iter__")
    return [(c.path, c.chunk.start_byte) for c in chunks]


TestStoreModel = StoreMachine.TestCase
TestStoreModel.settings = settings(
    max_examples=12, stateful_step_count=14, deadline=None, suppress_health_check=list(HealthCheck)
)
