"""Disk after many updates, against a fresh index of the same files: is what was replaced given back?

    python tests/bench/updates.py [UPDATES] [--files FILES]

Each update rewrites a function in one of the files, as an editor's save does, and is followed by the
maintenance that an editor's session does.  The vectors are random: no encoder is needed, and none started.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import tempfile
import threading
from pathlib import Path

from reopen import FUNCTIONS_PER_FILE, add_random_vectors, index, lay_out

from mosearch.engine import Engine
from mosearch.settings import load_settings
from mosearch.types import Depth

REPORT_EVERY = 100


def update(engine: Engine, file: Path, number: int) -> None:
    text = file.read_text("utf-8")
    file.write_text(text.replace("total if total", f"total + {number} if total", 1), "utf-8")
    engine.update(depth=Depth.WORDS)
    add_random_vectors(engine)
    engine.maintain(threading.Event())


def disk(engine: Engine) -> tuple[int, int]:
    """Bytes, and number of files, of the index and its vectors."""
    stats = engine.store.stats()
    folders = (engine.store.index_dir, engine.store.vectors_dir)
    count = sum(len(names) for folder in folders for _, _, names in os.walk(folder))
    return stats.index_bytes + stats.vectors_bytes, count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("updates", type=int, nargs="?", default=1000)
    parser.add_argument("--files", type=int, default=300)
    options = parser.parse_args()
    chance = random.Random(0)
    with tempfile.TemporaryDirectory(prefix="mosearch-updates-") as temporary:
        os.environ["MOSEARCH_RUNTIME_DIR"] = str(Path(temporary, "run"))
        os.environ["MOSEARCH_CACHE_DIR"] = str(Path(temporary, "cache"))
        root = Path(temporary, "work")
        lay_out(root, options.files * FUNCTIONS_PER_FILE)
        index(root)
        files = sorted(root.rglob("*.py"))
        with Engine(root, load_settings(root)) as engine:
            for number in range(options.updates):
                if number % REPORT_EVERY == 0:
                    size, count = disk(engine)
                    print(f"after {number:5} updates: {size / 1e6:6.1f} MB in {count} files", flush=True)  # noqa: T201
                update(engine, chance.choice(files), number)
            size, count = disk(engine)
        shutil.rmtree(os.environ["MOSEARCH_CACHE_DIR"])
        index(root)
        with Engine(root, load_settings(root)) as engine:
            fresh, fresh_count = disk(engine)
    sizes = f"{size / 1e6:.1f} MB in {count} files; fresh: {fresh / 1e6:.1f} MB in {fresh_count}"
    print(f"at the end: {sizes}; {size / fresh:.2f} times that")  # noqa: T201


if __name__ == "__main__":
    main()
