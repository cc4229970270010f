"""`mosearch models`: which models there are, fetching one, choosing one, checking one."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from mosearch.errors import ModelError, SettingsError, UsageError

_MODEL_LINE = re.compile(r"^model[ \t]*=.*\n?", re.MULTILINE)
_FIRST_TABLE = re.compile(r"^\[", re.MULTILINE)
_SHOWN_CHOICES = 5

_json_option = click.option("--json", "as_json", is_flag=True, help="Answer in JSON on standard output.")


@click.group("models", context_settings={"help_option_names": ["-h", "--help"]})
def models_group() -> None:
    """Choose the model that embeds your code."""


@models_group.command("list")
@_json_option
def list_(as_json: bool) -> None:
    """List the models that can be used, and which one is."""
    rows = list(_rows())
    if as_json:
        click.echo(json.dumps({"models": rows}))
        return
    for row in rows:
        mark = "*" if row["used"] else " "
        exits = f"exits {', '.join(map(str, row['exits']))}" if row["exits"] else row["state"]
        click.echo(f"{mark} {row['name']:<18} {exits:<28} {row['source']}")


@models_group.command()
@click.argument("name")
@_json_option
def pull(name: str, as_json: bool) -> None:
    """Fetch NAME (mose-1b-4, owner/model) from the Hugging Face hub."""
    from mosearch.encoder.hub import KNOWN_MODELS, hub_name, pull_model
    from mosearch.encoder.models import model_info

    full = hub_name(name)
    if full is None:
        known = ", ".join(KNOWN_MODELS)
        raise UsageError(f"{name!r} is no model of the hub. Give owner/model or one of {known}.")
    folder = pull_model(full)
    info = model_info(folder)
    if as_json:
        click.echo(json.dumps({"name": info.name, "folder": str(folder), "fingerprint": info.fingerprint}))
    else:
        click.echo(f"{info.name} is in {folder}. To use it: mosearch models use {name}")


@models_group.command()
@click.argument("name_or_path")
@_json_option
def use(name_or_path: str, as_json: bool) -> None:
    """Embed with this model from now on; `default` goes back to the one that comes with MoSEarch."""
    from mosearch.encoder.models import model_info
    from mosearch.settings import ENVIRONMENT_PREFIX

    default = name_or_path == "default"
    info = model_info(None if default else name_or_path)
    path = Path(name_or_path).expanduser()
    _set_model(None if default else str(path.resolve()) if path.is_dir() else name_or_path)
    overriding = os.environ.get(f"{ENVIRONMENT_PREFIX}MODEL")
    if overriding:
        click.echo(f"mosearch: {ENVIRONMENT_PREFIX}MODEL is set and overrides that: {overriding}.", err=True)
    if as_json:
        click.echo(json.dumps({"name": info.name, "fingerprint": info.fingerprint}))
    else:
        click.echo(f"Using {info.name}. Vectors of other models are kept: going back embeds nothing again.")


@models_group.command()
@click.argument("name_or_path", required=False)
@click.option(
    "--sample",
    type=click.Path(path_type=Path),
    help="Lines of JSON with query, code and language: compare the settings that had to be inferred.",
)
@click.option("--device", default="auto", show_default=True, help="Where to compute for --sample.")
@_json_option
def check(name_or_path: str | None, sample: Path | None, device: str, as_json: bool) -> None:
    """Read a model to its last tensor and say what it is; default: the one in use."""
    # Only these two commands of the whole command line compute in this process.
    from mosearch.mose.check import check_model, compare_settings, read_pairs
    from mosearch.settings import load_settings

    wanted = name_or_path or load_settings().model
    report = asdict(check_model(wanted))
    choices = []
    if sample is not None:
        choices = [asdict(c) for c in compare_settings(report["folder"], read_pairs(sample), device)]
    if as_json:
        click.echo(json.dumps({**report, "choices": choices}))
        return
    for name, value in report.items():
        click.echo(f"{name.replace('_', ' '):<16} {_readable(value)}")
    for choice in choices[:_SHOWN_CHOICES]:
        settings = {key: value for key, value in choice.items() if key != "mrr"}
        click.echo(f"MRR {choice['mrr']:.3f}        {_readable(settings)}")


def _rows() -> Iterator[dict[str, Any]]:
    from mosearch.encoder.hub import KNOWN_MODELS
    from mosearch.settings import load_settings

    used = load_settings().model
    yield _row("default", None, "comes with MoSEarch", used)
    yield _row("all-MiniLM-L6-v2", "all-MiniLM-L6-v2", "the extra `baselines`", used)
    for name, full in KNOWN_MODELS.items():
        yield _row(name, name, full, full if used == full else used)
    if used is not None and used not in {"all-MiniLM-L6-v2", *KNOWN_MODELS, *KNOWN_MODELS.values()}:
        yield _row(Path(used).name, used, used, used)


def _row(name: str, model: str | None, source: str, used: str | None) -> dict[str, Any]:
    from mosearch.encoder.hub import KNOWN_MODELS
    from mosearch.encoder.models import model_info

    row = {"name": name, "source": source, "used": used in {model, KNOWN_MODELS.get(name, model)}}
    try:
        info = model_info(model)
    except ModelError as error:
        state = "not fetched" if name in KNOWN_MODELS and "models pull" in str(error) else str(error)
        return {**row, "state": state, "exits": []}
    return {**row, "state": "ready", "exits": list(info.exits), "fingerprint": info.fingerprint}


def _set_model(value: str | None) -> None:
    """Put the setting into the user's file, all other lines of which stay as they are."""
    from mosearch.settings import config_dir, load_settings

    load_settings()  # a file that cannot be read is not written to
    # Where a link leads is written, so that the link stays one.
    file = Path(os.path.realpath(config_dir() / "config.toml"))
    try:
        text = file.read_text("utf-8") if file.exists() else ""
        # Settings have no tables, but whoever has one below must not find the line inside it.
        table = _FIRST_TABLE.search(text)
        top, rest = (text[: table.start()], text[table.start() :]) if table else (text, "")
        line = "" if value is None else f"model = {json.dumps(value, ensure_ascii=False)}\n"
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = file.with_name(f"{file.name}.{os.getpid()}")
        draft.write_text(line + _MODEL_LINE.sub("", top) + rest, "utf-8")
        draft.replace(file)
    except OSError as error:
        raise SettingsError(f"Cannot write {file}: {error.strerror}. Set `model` in it yourself.") from error


def _readable(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} = {json.dumps(found)}" for name, found in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "none"
    return f"{value:,}" if isinstance(value, int) else str(value)
