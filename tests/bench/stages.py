"""Where the time of a first index goes, from what py-spy saw of it.

    py-spy record -r 200 -t --idle -f raw -o FILE -- python -m mosearch index --root FOLDER
    python tests/bench/stages.py FILE --rate 200

A sample of the main thread counts for the innermost function that a stage of `_STAGES` is known by, also
where it waits for LanceDB's own threads, so that the stages add up to the time by the clock.  Merging is done
by a thread beside and counted by itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

_STAGES = {
    "starting: imports, opening tables": ("_open (mosearch/cli/main.py", "_find_and_load ("),
    "listing files": ("survey (mosearch/indexer.py",),
    "reading files, judging them, digests": ("read_source (mosearch/workspace",),
    "parsing (tree-sitter and queries)": (
        "_parsed (mosearch/parsing/grammars.py",
        "matches (mosearch/parsing/grammars.py",
    ),
    "cutting into chunks": ("parse_file (mosearch/parsing/chunks.py",),
    "analysing text into terms": ("terms_of_chunk (mosearch/ranking/terms.py",),
    "encoding rows, writing them": ("Store.commit (mosearch/store/_store.py",),
    "finding texts without a vector": ("Embedder._pass (mosearch/embedding.py",),
    "text into tokens": ("TextTokenizer.__call__ (mosearch/encoder/tokens.py",),
    "tokens into vectors of exit 0": ("TokenTable.encode (mosearch/encoder/table.py",),
    "writing vectors": ("SharedVectors.add_vectors (mosearch/store/_shared.py",),
}
_REST = "the rest"
_MAIN = "MainThread"
_MERGING = "index_words (mosearch/store/_maintenance.py"
_BESIDE = "beside: merging words into the full-text index"


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--rate", type=click.IntRange(1), required=True, help="Samples a second that py-spy took.")
def main(file: Path, rate: int) -> None:
    """Print the seconds of each stage, and its share."""
    samples: Counter[str] = Counter()
    for frames, count in _samples(file):
        if frames[0].endswith(_MAIN):
            samples[_stage(frames)] += count
        elif any(frame.startswith(_MERGING) for frame in frames):
            samples[_BESIDE] += count
    total = samples.total() - samples[_BESIDE]
    table = Table("", "s", "%", box=None, pad_edge=False)
    for stage in (*_STAGES, _REST, _BESIDE):
        table.add_row(stage, f"{samples[stage] / rate:.1f}", f"{100 * samples[stage] / total:.0f}")
    Console(width=100).print(table)


def _samples(file: Path) -> Iterator[tuple[list[str], int]]:
    """Stacks, outermost frame first, behind the thread's name."""
    for line in file.read_text("utf-8").splitlines():
        stack, _, count = line.rpartition(" ")
        yield stack.split(";"), int(count)


def _stage(frames: list[str]) -> str:
    for frame in reversed(frames):
        for stage, known in _STAGES.items():
            if frame.startswith(known):
                return stage
    return _REST


if __name__ == "__main__":
    main()
