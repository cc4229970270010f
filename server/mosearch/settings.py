"""One typed `Settings`, and where its values come from.

Precedence, weakest first: the defaults below; the user's file (`config.toml` in the user's
configuration folder); `mosearch.toml` in the workspace root; environment variables
(`MOSEARCH_MODEL=…`); explicit values (command-line options, or, in a language server,
`initializationOptions` and then the editor's configuration).
An unknown name, a wrong type or a value out of range raises `SettingsError` and names its source.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import Field, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import platformdirs

from mosearch.errors import SettingsError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_INTEGER = re.compile(r"-?[0-9]{1,18}")
_DECIMAL = re.compile(r"-?[0-9]{1,9}(\.[0-9]{1,9})?")

WORKSPACE_FILE = "mosearch.toml"
ENVIRONMENT_PREFIX = "MOSEARCH_"

# Read elsewhere, under the same prefix: where things are kept, never how they behave.
_FOLDER_VARIABLES = {
    "MOSEARCH_CACHE_DIR",
    "MOSEARCH_RUNTIME_DIR",
    "MOSEARCH_CONFIG_DIR",
    "MOSEARCH_EVAL_DATA",
}


def _setting(
    default: Any,
    help_: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] = (),
    user_only: bool = False,
) -> Any:
    metadata = {
        "help": help_,
        "minimum": minimum,
        "maximum": maximum,
        "choices": choices,
        "user_only": user_only,
    }
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings.  `None` means: let MoSEarch choose."""

    model: str | None = _setting(None, "model name or folder; default: the bundled model", user_only=True)
    device: str = _setting("auto", "where the encoder runs", choices=("auto", "cpu", "cuda", "mps"))
    threads: int | None = _setting(
        None, "CPU threads of the encoder; default: half the cores", minimum=1, maximum=1024
    )
    niceness: int = _setting(
        5, "how far the encoder gives way to other programs: 0 not at all, 19 most", minimum=0, maximum=19
    )
    first_exit: int | None = _setting(
        None, "cheap exit that covers a new workspace at once; default: the model's", minimum=0, maximum=512
    )
    memory_mb: int | None = _setting(
        None,
        "most memory of the encoder host, or on a GPU of its part of the GPU's, in MB; default: no limit",
        minimum=256,
        maximum=16_777_216,
    )
    index_exit: int | None = _setting(
        None, "exit that embeds every chunk; default: the model's", minimum=0, maximum=512
    )
    rerank_exit: int | None = _setting(
        None, "deepest exit, which re-ranks; default: the model's", minimum=0, maximum=512
    )
    deepen: bool = _setting(True, "give every chunk a vector at the deepest exit, too, in idle time")
    deepen_load: int = _setting(
        100,
        "deepening waits while the load average is above this share of the cores, in percent",
        minimum=1,
        maximum=100_000,
    )
    rerank: bool = _setting(True, "re-rank with the deeper exit")
    rerank_budget_ms: int = _setting(
        100, "time for vectors that re-ranking misses, in milliseconds", minimum=0, maximum=60_000
    )
    limit: int = _setting(10, "hits per answer", minimum=1, maximum=1000)
    max_file_bytes: int = _setting(
        1_000_000, "larger files are left out, in bytes", minimum=1_000, maximum=1_000_000_000
    )
    idle_seconds: int = _setting(
        600, "background processes leave after this long without work, in seconds", minimum=1, maximum=604_800
    )
    resident: bool = _setting(True, "commands leave a process behind that answers the next one at once")
    log_level: str = _setting(
        "warning", "what an editor's log is told", choices=("error", "warning", "info", "debug")
    )
    code_lens: bool = _setting(False, "a lens above each function that has similar ones")
    similar_threshold: float | None = _setting(
        None,
        "score from which code counts as similar, in answers and lenses; default: the model's",
        minimum=0.0,
        maximum=1.0,
    )
    duplicate_hints: bool = _setting(False, "a hint at each function that is nearly the same as another")
    duplicate_threshold: float | None = _setting(
        None,
        "score from which functions are near-duplicates; default: the model's",
        minimum=0.0,
        maximum=1.0,
    )


def load_settings(
    root: Path | None = None,
    explicit: Mapping[str, object] | None = None,
    environment: Mapping[str, str] = os.environ,
    *,
    further: Sequence[tuple[str, Mapping[str, object]]] = (),
) -> Settings:
    """Read all sources for a workspace (or none) and merge them.

    `further` holds sources that override all others, the strongest last, each with what to call it.
    Raises `SettingsError`: unknown name, wrong type, value out of range, unreadable or broken file.
    """
    settings = Settings()
    user_file = config_dir() / "config.toml"
    settings = _apply(settings, _read_toml(user_file), str(user_file))
    if root is not None:
        workspace_file = root / WORKSPACE_FILE
        values = _read_toml(workspace_file)
        _refuse_user_only(values, str(workspace_file))
        settings = _apply(settings, values, str(workspace_file))
    settings = _apply(settings, _from_environment(environment), "the environment")
    for source, given in (("the request", explicit or {}), *further):
        settings = _apply(settings, given, source)
    _refuse_relative(settings.model)
    return settings


def config_dir() -> Path:
    """The user's configuration folder; `MOSEARCH_CONFIG_DIR` overrides it.  Raises `SettingsError`."""
    return folder_from("MOSEARCH_CONFIG_DIR") or Path(
        platformdirs.user_config_dir("mosearch", appauthor=False)
    )


def cache_dir() -> Path:
    """Where indexes and logs live; `MOSEARCH_CACHE_DIR` overrides it.  Raises `SettingsError`."""
    return folder_from("MOSEARCH_CACHE_DIR") or Path(platformdirs.user_cache_dir("mosearch", appauthor=False))


def folder_from(variable: str) -> Path | None:
    """The folder that an environment variable names, if it is set.  Raises `SettingsError`."""
    value = os.environ.get(variable)
    if value and not Path(value).is_absolute():
        raise SettingsError(
            f"{variable} is {value!r}, which each process would look for in another place. "
            f"Give the whole path: {Path(value).absolute()}."
        )
    return Path(value) if value else None


def _refuse_relative(model: str | None) -> None:
    """Host and resident process work in a folder of their own, where a relative path leads elsewhere."""
    if model and not Path(model).is_absolute() and not model.startswith("~") and Path(model).is_dir():
        raise SettingsError(
            f"The model {model!r} is a folder below the working folder, where background processes do not "
            f"look. Give its whole path: {Path(model).absolute()}."
        )


def _read_toml(path: Path) -> dict[str, object]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except FileNotFoundError:
        return {}
    except NotADirectoryError:
        return {}
    except OSError as error:
        raise SettingsError(f"Cannot read settings from {path}: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not valid TOML: {error}. Correct or remove the file.") from error


def _refuse_user_only(values: Mapping[str, object], source: str) -> None:
    for item in fields(Settings):
        if item.metadata["user_only"] and item.name in values:
            raise SettingsError(
                f"{source}: `{item.name}` cannot be set by a workspace, because a repository you open "
                "should not choose what is loaded. Set it in your own config.toml or on the command line."
            )


def _from_environment(environment: Mapping[str, str]) -> dict[str, object]:
    known = {item.name: item for item in fields(Settings)}
    values: dict[str, object] = {}
    for variable, text in environment.items():
        if not variable.startswith(ENVIRONMENT_PREFIX) or variable in _FOLDER_VARIABLES or not text:
            continue  # an empty variable counts as one that is not set
        name = variable.removeprefix(ENVIRONMENT_PREFIX).lower()
        values[name] = _from_text(known[name], text) if name in known else text
    return values


def _from_text(item: Field[Any], text: str) -> object:
    """Environment variables are text: give numbers and booleans their type, leave errors to `_check`."""
    kind = str(item.type)
    if "int" in kind and _INTEGER.fullmatch(text):
        return int(text)
    if "float" in kind and _DECIMAL.fullmatch(text):
        return float(text)
    if "bool" in kind and text.lower() in ("1", "true", "yes", "on", "0", "false", "no", "off"):
        return text.lower() in ("1", "true", "yes", "on")
    return text


def _apply(settings: Settings, values: Mapping[str, object], source: str) -> Settings:
    known = {item.name: item for item in fields(Settings)}
    for name, value in values.items():
        if name not in known:
            names = ", ".join(sorted(known))
            raise SettingsError(f"{source}: there is no setting `{name}`. Settings are: {names}.")
        _check(known[name], value, source)
    changes: dict[str, Any] = dict(values)
    return replace(settings, **changes)


def _check(item: Field[Any], value: object, source: str) -> None:
    if value is None and "None" in str(item.type):
        return
    wanted = {"int": int, "float": float, "bool": bool, "str": str}[str(item.type).split(" ")[0]]
    if type(value) is not wanted and not (wanted is float and type(value) is int):
        raise SettingsError(
            f"{source}: `{item.name}` must be of type {wanted.__name__}, not {value!r} "
            f"({item.metadata['help']})."
        )
    choices = item.metadata["choices"]
    if choices and value not in choices:
        raise SettingsError(f"{source}: `{item.name}` must be one of {', '.join(choices)}, not {value!r}.")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        low, high = item.metadata["minimum"], item.metadata["maximum"]
        if not low <= value <= high:
            raise SettingsError(f"{source}: `{item.name}` must be between {low} and {high}, not {value}.")
