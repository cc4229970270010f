"""The clients of the registries.  Only the ordinary ones are called, so that the machine's own
configuration decides where packages come from.  No package is installed, and nothing of it is run: of what
is on PyPI the wheel is taken, because a source distribution has its build script run to be downloaded.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mosearch.registries._commands import run


@dataclass(frozen=True, slots=True)
class Client:
    title: str
    """What it fetches, for messages."""
    command: tuple[str, ...]
    """Downloads into the folder that it runs in; the package's name follows."""


CLIENTS: Mapping[str, Client] = {
    "pip": Client(
        "PyPI package",
        (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest=."),
    ),
    "npm": Client("npm package", ("npm", "pack", "--loglevel=error", "--ignore-scripts")),
    "deb": Client("Debian package", ("apt-get", "download", "--quiet")),
    "deb-source": Client("Debian source package", ("apt-get", "source", "--quiet", "--download-only")),
}


def fetch(client: str, name: str, folder: Path) -> None:
    """Download the newest version of a package into `folder`.  Raises UsageError.

    Part of it may be there even so: a source package's sources without its packaging files.
    """
    chosen = CLIENTS[client]
    run([*chosen.command, name], folder, f"{chosen.title} {name}")


def known_to_apt() -> Iterator[tuple[str, int]]:
    """Name and size in KiB of each Debian package that can be had.  Raises UsageError."""
    listing = run(["apt-cache", "dumpavail"], Path.cwd(), "the list of Debian packages")
    for stanza in listing.decode("utf-8", "replace").split("\n\n"):
        fields = dict(re.findall(r"^(Package|Size): (.*)$", stanza, re.MULTILINE))
        if "Package" in fields:
            yield fields["Package"], int(fields.get("Size", 0)) // 1024
