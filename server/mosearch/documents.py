"""What editors show and have not saved, laid over what is stored."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from mosearch import parsing, workspace
from mosearch.connection import Connection
from mosearch.exits import Exits
from mosearch.overlay import Overlay
from mosearch.store import Store
from mosearch.types import Chunk, Priority
from mosearch.workspace import IgnoreRules


@dataclass(frozen=True, slots=True)
class Ground:
    """What documents are laid over."""

    store: Store
    max_file_bytes: int
    digest_language: bool
    """Whether a text's digest holds its language: see `ModelInfo.reads_language`."""


class Documents:
    """The open documents of one workspace, by path (relative, `/`).  Its methods may be called from
    several threads."""

    def __init__(self, rules: IgnoreRules) -> None:
        self.overlay = Overlay()
        self._rules = rules
        self._shown: dict[str, str] = {}
        self._lock = threading.RLock()
        # One at a time: else two would embed the same text.
        self._embedding = threading.Lock()

    def lay(self, path: str, text: str, ground: Ground) -> None:
        """An editor shows `text`: it hides what is stored, unless that is the same or stays out."""
        with self._lock:
            self._shown[path] = text
            self._lay(path, ground)

    def hide(self, path: str) -> None:
        """The editor closed `path`: what is stored counts again."""
        with self._lock:
            self._shown.pop(path, None)
            self.overlay.drop(path)

    def lay_all(self, rules: IgnoreRules, ground: Ground) -> None:
        """After a change of files or rules: saved documents hide nothing any more, others may begin to."""
        with self._lock:
            self._rules = rules
            for path in self._shown:
                self._lay(path, ground)

    def is_ignored(self, path: str) -> bool:
        """By the rules as they were when they were last read."""
        with self._lock:
            return self._rules.is_ignored(path)

    def forget_chunks(self) -> None:
        """Their digests mean nothing any more; the next `lay_all` makes them anew."""
        with self._lock:
            for path in self.overlay.contents():
                self.overlay.drop(path)

    def embed(self, store: Store, encoder: Connection, exits: Exits) -> None:
        """Vectors for all documents, at the exits that stored texts have; kept for when they are saved.

        Raises `EncoderError`, `StoreError`.
        """
        with self._embedding:
            for path in self.overlay.contents():
                self._embed(path, store, encoder, exits)

    def _embed(self, path: str, store: Store, encoder: Connection, exits: Exits) -> None:
        fingerprint = exits.model.fingerprint
        for exit in exits.stored:
            digests = [chunk.digest for chunk in self.overlay.unknown(path, exit)]
            if digests:
                self.overlay.learn(exit, store.get_vectors(fingerprint, exit, digests))
        unknown = self.overlay.unknown(path, exits.index)
        if not unknown:
            return
        encoded = encoder.encode(
            [chunk.encoder_text for chunk in unknown],
            "code",
            exits.stored,
            priority=Priority.EDIT,
            languages=[chunk.language for chunk in unknown],
        )
        digests = [chunk.digest for chunk in unknown]
        for exit in exits.stored:
            self.overlay.learn(exit, dict(zip(digests, encoded[exit], strict=True)))
        for exit in exits.stored:
            store.add_vectors(fingerprint, exit, digests, encoded[exit])

    def _lay(self, path: str, ground: Ground) -> None:
        data = self._shown[path].encode("utf-8", "surrogatepass")
        content_hash = workspace.content_hash(data)
        stored = ground.store.files().get(path)
        same = stored is not None and stored.content_hash == content_hash
        if same or self.is_ignored(path):
            self.overlay.drop(path)
        elif self.overlay.contents().get(path) != content_hash:
            self.overlay.put(path, content_hash, _chunks(path, data, ground))


def _chunks(path: str, data: bytes, ground: Ground) -> Sequence[Chunk]:
    """None where a file with this content would be left out: what it held before is gone all the same."""
    if len(data) > ground.max_file_bytes or workspace.classify(path, data) is not None:
        return ()
    return parsing.parse_file(path, data, digest_language=ground.digest_language).chunks
