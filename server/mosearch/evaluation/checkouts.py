"""Checkouts of the repositories that questions are about, as near to the pinned revisions as can be had."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from mosearch import git
from mosearch.errors import UsageError
from mosearch.evaluation.packages import download, laid_out, named
from mosearch.evaluation.repositories import Repository

PINNED, NEWEST = "pinned revision", "newest snapshot"


@dataclass(frozen=True, slots=True)
class Obtained:
    """Where a checkout came from, and why from nowhere better."""

    source: str
    """Empty where nothing was to be had."""
    troubles: tuple[str, ...]


def prepare(
    repositories: Sequence[Repository], checkouts: Path, mirrors: Path | None = None
) -> Iterator[tuple[str, Obtained]]:
    """Get the repositories that are not there yet, each all or nothing; yield name and outcome as it goes.

    The pinned revision is asked for first, then the package that the development set names, at last the
    newest snapshot.  `mirrors` may hold repositories as OWNER+NAME or OWNER+NAME/repo, which then are asked
    instead of their hosts.
    """
    for repository in repositories:
        if not (checkouts / repository.name).is_dir():
            yield repository.name, _obtain(repository, checkouts, mirrors)


def origin(repository: Repository, checkouts: Path) -> str:
    """Where the checkout that is there came from, and how many files that answers name it lacks."""
    answers = _answers(repository)
    folder = checkouts / repository.name
    missing = sum(not (folder / path).is_file() for path in answers)
    lack = f"; lacks {missing} of {len(answers)} files that answers name" if missing else ""
    return _origin(folder, repository.revision) + lack


def _origin(folder: Path, revision: str) -> str:
    note = _note(folder)
    if not (folder / ".git").exists():
        return note.read_text("utf-8") if note.is_file() else "a folder of unknown origin"
    try:
        head, short, date = git.text(folder, "--git-dir=.git", "log", "-1", "--format=%H %h %cs").split()
    except UsageError:
        return "a repository that git cannot read"
    if head == revision:
        return PINNED
    fetched = folder / ".git" / "FETCH_HEAD"
    ours = fetched.is_file() and fetched.read_text("utf-8").startswith(head)
    return f"{NEWEST if ours else 'revision'} {short} of {date}"


def _obtain(repository: Repository, checkouts: Path, mirrors: Path | None) -> Obtained:
    folder = checkouts / repository.name
    part = checkouts / f"{repository.name}.part"
    source = _source(repository.url, mirrors)
    troubles: list[str] = []
    for way in (
        partial(_check_out, source, repository.revision, PINNED),
        partial(_unpack, repository),
        partial(_check_out, source, "HEAD", NEWEST),
    ):
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        try:
            way(part)
        except UsageError as error:
            troubles.append(str(error))
            continue
        part.rename(folder)
        return Obtained(origin(repository, checkouts), tuple(troubles))
    shutil.rmtree(part)
    return Obtained("", tuple(troubles))


def _check_out(source: str, revision: str, what: str, folder: Path) -> None:
    try:
        git.text(folder, "init", "--quiet")
        git.text(folder, "fetch", "--quiet", "--depth=1", source, revision)
        git.text(folder, "checkout", "--quiet", "--detach", "FETCH_HEAD")
    except UsageError as error:
        raise UsageError(f"the {what} cannot be fetched from {source}: {error}") from error


def _unpack(repository: Repository, folder: Path) -> None:
    package = named(repository.package, repository.name)
    version, held = download(package)
    files = laid_out(held, _answers(repository))
    if not files:
        raise UsageError(f"{package} {version} holds none of the files that answers name")
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    _note(folder).write_text(f"{package} {version}", "utf-8")


def _note(folder: Path) -> Path:
    """Says which package a folder holds; beside it, because what is in it is indexed."""
    return folder.with_name(f"{folder.name.removesuffix('.part')}.package")


def _answers(repository: Repository) -> list[str]:
    return sorted({target.path for question in repository.questions for target in question.targets})


def _source(url: str, mirrors: Path | None) -> str:
    owned = urlsplit(url).path.strip("/").removesuffix(".git").replace("/", "+")
    found = [] if mirrors is None else [mirrors / owned / "repo", mirrors / owned]
    return next((str(folder) for folder in found if folder.is_dir()), url)
