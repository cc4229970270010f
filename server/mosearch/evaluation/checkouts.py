"""Checkouts of the repositories that questions are about: pinned revisions, as far as git can have them."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

from mosearch.errors import UsageError

PINNED, NEWEST = "pinned revision", "newest revision"


def prepare(
    data: Path, checkouts: Path, names: frozenset[str], mirrors: Path | None = None
) -> dict[str, str]:
    """Check out what is missing of the repositories in `data` with these names, or of all without names.

    Name → `PINNED`, or `NEWEST` where the pinned revision is not to be had.  `mirrors` may hold repositories
    as OWNER+NAME or OWNER+NAME/repo, which then are asked instead of the network.  Raises UsageError.
    """
    listed = json.loads((data / "repos" / "repos.json").read_text(encoding="utf-8"))
    missing = [
        each
        for each in listed
        if (not names or each["name"] in names) and not (checkouts / each["name"]).is_dir()
    ]
    return {
        each["name"]: _check_out(_source(each["url"], mirrors), each["revision"], checkouts / each["name"])
        for each in missing
    }


def _source(url: str, mirrors: Path | None) -> str:
    named = urlsplit(url).path.strip("/").removesuffix(".git").replace("/", "+")
    found = [] if mirrors is None else [mirrors / named / "repo", mirrors / named]
    return next((str(folder) for folder in found if folder.is_dir()), url)


def _check_out(source: str, revision: str, folder: Path) -> str:
    """All or nothing: a folder that is there is complete."""
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    _git(part, "init", "--quiet")
    for wanted, got in ((revision, PINNED), ("HEAD", NEWEST)):
        trouble = _git(part, "fetch", "--quiet", "--depth=1", source, wanted)
        if not trouble:
            if trouble := _git(part, "checkout", "--quiet", "--detach", "FETCH_HEAD"):
                raise UsageError(f"{source} cannot be checked out: {trouble}")
            part.rename(folder)
            return got
    shutil.rmtree(part)
    raise UsageError(f"{source} cannot be fetched: {trouble}")


def _git(folder: Path, *arguments: str) -> str:
    """What git complains of; nothing when all went well."""
    done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stderr.strip() or f"git {arguments[0]} failed"
