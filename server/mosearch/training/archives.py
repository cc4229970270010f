"""What training reads of a package archive: its sources, and the licence that it declares."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from mosearch import registries
from mosearch.errors import UsageError

MAX_MEMBER_BYTES = 400_000
"""Longer source files are nearly always generated or bundled."""


def members(path: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """Path inside the archive and content of the wanted regular files of at most 400 kB.

    A damaged archive ends early: half a package is still training data.
    """
    with suppress(UsageError):
        yield from registries.members(path, wanted, MAX_MEMBER_BYTES)


def licence(paths: list[Path]) -> str:
    """The licence a package declares, as it words it; else the family of its licence text; else empty."""
    for pattern, read in ((_DECLARATION, _declared), (_LICENCE_TEXT, _family)):
        for path in paths:
            for name, content in members(path, _matching(pattern)):
                found = read(name, content.decode("utf-8", "replace"))
                if found:
                    return found
    return ""


_DECLARATION = re.compile(r"(\.dist-info/METADATA|^package/package\.json|(^|/)(debian|doc/[^/]+)/copyright)$")

_LICENCE_TEXT = re.compile(r"^[^/]*/?(LICEN[CS]E|COPYING)(\.\w+)?$", re.IGNORECASE)
_FAMILIES = {
    "GNU LESSER GENERAL": "LGPL",
    "GNU LIBRARY GENERAL": "LGPL",
    "GNU AFFERO": "AGPL",
    "GNU GENERAL PUBLIC": "GPL",
    "APACHE LICENSE": "Apache",
    "MOZILLA PUBLIC": "MPL",
    "ECLIPSE PUBLIC": "EPL",
    "PERMISSION IS HEREBY GRANTED, FREE OF CHARGE": "MIT",
    "REDISTRIBUTION AND USE IN SOURCE": "BSD",
}


def _matching(pattern: re.Pattern[str]) -> Callable[[str], bool]:
    return lambda name: pattern.search(name) is not None


def _family(_name: str, text: str) -> str:
    head = " ".join(text[:3000].upper().split())
    return next((family for mark, family in _FAMILIES.items() if mark in head), "")


def _declared(name: str, text: str) -> str:
    if name.endswith("package.json"):
        try:
            value = json.loads(text).get("license", "")
        except (json.JSONDecodeError, AttributeError):
            return ""
        return str(value.get("type", "") if isinstance(value, dict) else value)
    if name.endswith("METADATA"):
        return _wheel_licence(text)
    match = re.search(r"^Files:\s*\*.*?^License:\s*(\S[^\n]*)", text, re.MULTILINE | re.DOTALL)
    return match.group(1).strip() if match else ""


def _wheel_licence(metadata: str) -> str:
    head = metadata.split("\n\n", 1)[0]
    for field in ("License-Expression", "Classifier: License"):
        match = re.search(rf"^{field}\s*:+\s*(?:OSI Approved\s*::\s*)?(\S[^\n]*)", head, re.MULTILINE)
        if match:
            return match.group(1).strip()
    match = re.search(r"^License: (\S[^\n]{0,80})$", head, re.MULTILINE)
    return match.group(1).strip() if match else ""
