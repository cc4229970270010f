"""What an index holds at one moment, for every face to show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mosearch.store import StoreStats
from mosearch.types import ModelInfo


@dataclass(frozen=True, slots=True)
class Status:
    """What the index holds at this moment, read from the store itself."""

    root: Path
    index_dir: Path
    files: int
    chunks: int
    pending: int
    """Searchable texts that have no vector yet at the index exit."""
    skipped: Mapping[str, int]
    failed: Mapping[str, str]
    """Path → why it could not be read when the index was last brought up to date."""
    model: ModelInfo
    index_exit: int
    rerank_exit: int
    device: str
    """Where the running encoder host computes; empty while none runs."""
    stats: StoreStats

    def to_json(self) -> dict[str, object]:
        return {
            "root": str(self.root),
            "index_dir": str(self.index_dir),
            "files": self.files,
            "chunks": self.chunks,
            "pending": self.pending,
            "skipped": dict(self.skipped),
            "failed": dict(self.failed),
            "model": self.model.name,
            "fingerprint": self.model.fingerprint,
            "index_exit": self.index_exit,
            "rerank_exit": self.rerank_exit,
            "device": self.device,
            "bytes": self.stats.index_bytes + self.stats.vectors_bytes,
            "last_commit": self.stats.last_commit,
        }
