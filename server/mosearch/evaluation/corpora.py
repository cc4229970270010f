"""Real source trees, laid side by side until there are as many chunks as a measurement wants."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from mosearch import parsing, workspace

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]{4,}")
_RENAMED_WORDS = 12


def lay_out(roots: Sequence[Path], chunks: int, target: Path) -> int:
    """Copy files of `roots` below `target` until they hold about `chunks` chunks; returns how many.

    When the trees are used up they are copied again with their most frequent words renamed, so that the
    copies are other texts.  Raises ValueError when the trees hold no code.
    """
    done = copies = 0
    while done < chunks:
        before = done
        for path, data in _files(roots):
            if done >= chunks:
                break
            text = _renamed(data, copies) if copies else data
            place = target / f"copy{copies}" / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(text)
            done += len(parsing.parse_file(path, text).chunks)
        if done == before:
            raise ValueError(f"There is no code in {', '.join(map(str, roots))}.")
        copies += 1
    return done


def _files(roots: Sequence[Path]) -> Iterator[tuple[str, bytes]]:
    for root in roots:
        for stat in workspace.scan(workspace.resolve_root(root)).files:
            source = workspace.read_source(root, stat)
            if isinstance(source, workspace.Source):
                yield f"{root.name}/{stat.path}", source.data


def _renamed(data: bytes, copy: int) -> bytes:
    text = data.decode("utf-8", "surrogateescape")
    frequent = {word for word, _ in Counter(_WORD.findall(text)).most_common(_RENAMED_WORDS)}
    return _WORD.sub(lambda found: f"{found[0]}{copy}" if found[0] in frequent else found[0], text).encode(
        "utf-8", "surrogateescape"
    )
