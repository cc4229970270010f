"""What the client sets, apart from what the files and the environment say.  Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from mosearch.errors import SettingsError
from mosearch.settings import Settings

SECTION = "mosearch"
"""The section of the client's configuration that is ours."""

OPTIONS_SOURCE = "initializationOptions"
CLIENT_SOURCE = "the editor's configuration"

_HUMP = re.compile(r"(?<=[a-z0-9])[A-Z]")
_NAMES = frozenset(item.name for item in fields(Settings))

Values = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Options:
    """`initializationOptions`, sorted out."""

    settings: Values = field(default_factory=dict)
    token: str = ""
    status_notifications: bool = False
    similar_results: Literal["server", "client"] = "server"


def read_options(given: object) -> Options:
    """Raises `SettingsError` for options that are no object, or whose own keys are ill-typed."""
    if given is None:
        return Options()
    if not isinstance(given, Mapping):
        raise SettingsError(f"initializationOptions must be an object, not {given!r}.")
    values = dict(given)
    notify = values.pop("statusNotifications", False)
    if not isinstance(notify, bool):
        raise SettingsError(
            f"initializationOptions: `statusNotifications` must be true or false, not {notify!r}."
        )
    shower = values.pop("similarResults", "server")
    if shower not in ("server", "client"):
        raise SettingsError(
            f"initializationOptions: `similarResults` must be server or client, not {shower!r}."
        )
    token = str(values.pop("token", ""))
    # Clients that send all of their configuration as options put ours into our section.
    section = read_values(values.pop(SECTION, {}))
    return Options({**section, **read_values(values)}, token, notify, shower)


def read_values(section: object) -> dict[str, Any]:
    """Settings from JSON: names in camelCase become ours, `null` is as good as left out, and objects, which
    hold settings of the client itself, are left alone unless they stand where a value of ours should."""
    if not isinstance(section, Mapping):
        return {}
    values = {_HUMP.sub(lambda hump: "_" + hump[0].lower(), str(name)): section[name] for name in section}
    return {
        name: value
        for name, value in values.items()
        if value is not None and (name in _NAMES or not isinstance(value, Mapping))
    }


def pushed_section(settings: object) -> dict[str, Any] | None:
    """Our section of what `workspace/didChangeConfiguration` brings; None if it has none."""
    if not isinstance(settings, Mapping) or SECTION not in settings:
        return None
    return read_values(settings[SECTION])
