"""From harvested packages to documented functions and types, one compressed file per package."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import Distribution
from itertools import groupby
from pathlib import Path

from mosearch.parsing import language_of, parse
from mosearch.training import records
from mosearch.training.archives import licence, members
from mosearch.training.filters import (
    is_generated,
    summary,
    wanted_function,
    wanted_path,
    without_docstring,
)
from mosearch.training.harvest import Package
from mosearch.types import Chunk, SymbolKind

LANGUAGES = frozenset(
    "c cpp csharp go java javascript kotlin lua php python ruby rust scala swift typescript".split()
)
MAX_PER_PACKAGE = 1500
"""Functions kept of one package: so many of a few large ones would drown the others."""

MAX_TYPE_CHARACTERS = 2500
"""What is kept of a type; training reads less."""

KINDS = (SymbolKind.FUNCTION, SymbolKind.METHOD, SymbolKind.CONSTRUCTOR)
TYPES = (SymbolKind.CLASS, SymbolKind.INTERFACE, SymbolKind.STRUCT, SymbolKind.ENUM)


@dataclass(frozen=True, slots=True)
class Function:
    """One function of the training material, or a type.  `summary` is empty without usable documentation."""

    language: str
    name: str
    container: str
    summary: str
    code: str
    """Without its documentation."""
    full: str
    """As it stands in the file; equal to `code` when there is no documentation."""
    is_type: bool = False
    """A class or the like, as the index shows it: header and fields, its members by their signatures."""


@dataclass(frozen=True, slots=True)
class Header:
    """First line of a package's file."""

    manager: str
    package: str
    version: str
    licence: str
    functions: int


def extract(packages: Iterable[Package], raw: Path, out: Path) -> Iterator[Header]:
    """Write `<manager>+<package>.jsonl.gz` below `out` for each package that has none yet."""
    for package in packages:
        file = _file(out, package.manager, package.name)
        if package.files and not file.exists():
            archives = [raw / name for name in package.files]
            yield _write(
                file,
                package.manager,
                package.name,
                package.version,
                licence(archives),
                archive_functions(archives),
            )


def extract_installed(distributions: Iterable[Distribution], out: Path) -> Iterator[Header]:
    """The same for Python packages of the running environment, which needs no network."""
    for distribution in distributions:
        file = _file(out, "installed", distribution.name)
        if not file.exists():
            declared = str(distribution.metadata.json.get("license_expression", ""))
            found = _installed_functions(distribution)
            yield _write(file, "installed", distribution.name, distribution.version, declared, found)


def read(file: Path) -> tuple[Header, list[Function]]:
    """One package's file, as `extract` wrote it."""
    header, *found = records.read(file)
    return Header(**header), [Function(**row) for row in found]


def archive_functions(archives: Iterable[Path]) -> Iterator[Function]:
    for archive in archives:
        for path, source in members(archive, _wanted_member):
            yield from source_functions(path, source)


def _installed_functions(distribution: Distribution) -> Iterator[Function]:
    for path in distribution.files or ():
        file = Path(str(path.locate()))
        if path.suffix == ".py" and wanted_path(str(path)) and file.is_file():
            yield from source_functions(str(path), file.read_bytes())


def source_functions(path: str, source: bytes) -> Iterator[Function]:
    """The functions of one file, and then its documented types, that are worth training on."""
    language = language_of(path, source[:2000])
    if language not in LANGUAGES or is_generated(source.decode("utf-8", "replace")):
        return
    chunks = parse(source, language, path).chunks
    for chunk in chunks:
        function = _function(chunk)
        if function:
            yield function
    types = (chunk for chunk in chunks if chunk.kind in TYPES)
    for _, parts in groupby(types, key=lambda chunk: (chunk.symbol, chunk.container, chunk.kind)):
        found = _type(list(parts))
        if found:
            yield found


def _file(folder: Path, manager: str, package: str) -> Path:
    return folder / f"{manager}+{package.replace('/', '_')}.jsonl.gz"


def _write(
    file: Path, manager: str, package: str, version: str, declared: str, functions: Iterable[Function]
) -> Header:
    found = list(_bounded(functions))
    header = Header(manager, package, version, declared, len(found))
    records.write(file, [asdict(header), *map(asdict, found)])
    return header


def _function(chunk: Chunk) -> Function | None:
    if chunk.kind not in KINDS or chunk.parts > 1:
        return None
    code = without_docstring(chunk.text, chunk.docstring)
    if not wanted_function(chunk.symbol, code):
        return None
    return Function(
        chunk.language,
        chunk.symbol,
        chunk.container,
        summary(chunk.docstring, chunk.symbol),
        code,
        chunk.text,
    )


def _type(parts: Sequence[Chunk]) -> Function | None:
    """A type of all its parts; None for one without documentation: what it is for is what it teaches."""
    first = parts[0]
    said = summary(first.docstring, first.symbol)
    full = "\n".join(chunk.text for chunk in parts)
    code = without_docstring(full, first.docstring)
    if not said or not wanted_function(first.symbol, code[:MAX_TYPE_CHARACTERS]):
        return None
    shown = (code[:MAX_TYPE_CHARACTERS], full[:MAX_TYPE_CHARACTERS])
    return Function(first.language, first.symbol, first.container, said, *shown, is_type=True)


def _bounded(functions: Iterable[Function]) -> Iterator[Function]:
    """At most so many functions, documented ones first; every third of the rest suffices."""
    documented: list[Function] = []
    bare: list[Function] = []
    for function in functions:
        (documented if function.summary else bare).append(function)
    kept = documented + bare[::3]
    step = max(1, -(-len(kept) // MAX_PER_PACKAGE))
    return iter(kept[::step])


def _wanted_member(path: str) -> bool:
    return wanted_path(path) and language_of(path) in LANGUAGES
