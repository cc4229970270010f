"""What the extension repeats of the server: its settings and the names of its languages.

Run it after either changed: `python client-vscode/mirror.py`.  A test fails until that is done.
"""

from __future__ import annotations

import json
import re
from dataclasses import Field, fields
from pathlib import Path
from typing import Any

from mosearch.parsing.languages import LANGUAGES
from mosearch.settings import Settings

_HERE = Path(__file__).parent
_TITLE = "%settings.title.index%"
_TYPES = {"int": "integer", "bool": "boolean", "str": "string"}
_ONLY_FOR_COMMANDS = {"resident"}


def mirrored() -> dict[Path, str]:
    """Each file that repeats something, with the text that it should have."""
    settings = [item for item in fields(Settings) if item.name not in _ONLY_FOR_COMMANDS]
    return {
        _HERE / "package.json": _manifest(settings),
        _HERE / "package.nls.json": _texts(settings),
        _HERE / "src/core/languages.ts": _languages(),
    }


def _manifest(settings: list[Field[Any]]) -> str:
    manifest = json.loads((_HERE / "package.json").read_text(encoding="utf-8"))
    for section in manifest["contributes"]["configuration"]:
        if section["title"] == _TITLE:
            section["properties"] = {
                f"mosearch.{_camel(item.name)}": _property(item, order) for order, item in enumerate(settings)
            }
    return _json(manifest)


def _property(item: Field[Any], order: int) -> dict[str, object]:
    name, _, nullable = str(item.type).partition(" | ")
    found: dict[str, object] = {
        "type": [_TYPES.get(name, "number"), "null"] if nullable else _TYPES.get(name, "number"),
        "default": item.default,
        # A repository that is opened does not choose what is loaded.
        "scope": "machine" if item.metadata["user_only"] else "resource",
        "markdownDescription": f"%settings.{_camel(item.name)}%",
        "order": order,
    }
    for ours, theirs in (("minimum", "minimum"), ("maximum", "maximum")):
        if item.metadata[theirs] is not None:
            found[ours] = item.metadata[theirs]
    if item.metadata["choices"]:
        found["enum"] = list(item.metadata["choices"])
    return found


def _texts(settings: list[Field[Any]]) -> str:
    texts: dict[str, str] = json.loads((_HERE / "package.nls.json").read_text(encoding="utf-8"))
    ours = {f"settings.{_camel(item.name)}": _sentence(item.metadata["help"]) for item in settings}
    server_names = re.compile(
        r"settings\.[a-zA-Z]+"
    )  # our own settings have a group: `settings.search.delay`
    kept = {name: text for name, text in texts.items() if not server_names.fullmatch(name)}
    return _json(kept | ours)


def _languages() -> str:
    names = "".join(f'  "{name}",\n' for name in LANGUAGES)
    head = "/** The names by which the server filters languages. */"
    return f"{head}\nexport const languages: readonly string[] = [\n{names}];\n"


def _camel(name: str) -> str:
    return re.sub(r"_([a-z])", lambda match: match[1].upper(), name)


def _sentence(help_: str) -> str:
    return f"{help_[0].upper()}{help_[1:]}."


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for path, text in mirrored().items():
        path.write_text(text, encoding="utf-8")
