"""SQL conditions for LanceDB's filters, built from values that may hold any character."""

from __future__ import annotations

from collections.abc import Iterable


def in_strings(column: str, values: Iterable[str]) -> str:
    return _in(column, ("'" + value.replace("'", "''") + "'" for value in values))


def in_integers(column: str, values: Iterable[int]) -> str:
    return _in(column, (str(int(value)) for value in values))


def in_digests(column: str, digests: Iterable[bytes]) -> str:
    return _in(column, (f"X'{digest.hex()}'" for digest in digests))


def _in(column: str, literals: Iterable[str]) -> str:
    joined = ",".join(literals)
    return f"{column} IN ({joined})" if joined else "false"
