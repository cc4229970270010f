"""Settings: sources, precedence, and the message for each mistake."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from mosearch.errors import SettingsError
from mosearch.ipc.places import runtime_folder
from mosearch.settings import Settings, cache_dir, config_dir, load_settings


@pytest.fixture(autouse=True)
def _own_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOSEARCH_CONFIG_DIR", str(tmp_path / "config"))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_defaults_without_any_source(tmp_path: Path) -> None:
    assert load_settings(tmp_path, environment={}) == Settings()


def test_each_source_overrides_the_one_before(tmp_path: Path) -> None:
    root = tmp_path / "root"
    _write(tmp_path / "config" / "config.toml", "limit = 1\nthreads = 1\ndevice = 'cpu'\nrerank = false")
    _write(root / "mosearch.toml", "limit = 2\nthreads = 2\nrerank = true")
    environment = {"MOSEARCH_LIMIT": "3", "MOSEARCH_THREADS": "3", "HOME": "/x"}
    settings = load_settings(root, {"limit": 4}, environment)
    assert (settings.limit, settings.threads, settings.rerank, settings.device) == (4, 3, True, "cpu")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("limt = 3", "no setting `limt`"),
        ("limit = 'three'", "`limit` must be of type int"),
        ("limit = 0", "between 1 and 1000"),
        ("limit = true", "`limit` must be of type int"),
        ("device = 'gpu'", "one of auto, cpu, cuda, mps"),
        ("rerank = 1", "`rerank` must be of type bool"),
        ("limit = ", "not valid TOML"),
        ("model = '/tmp/x'", "cannot be set by a workspace"),
    ],
)
def test_a_mistake_in_the_workspace_file_names_the_file(tmp_path: Path, text: str, message: str) -> None:
    _write(tmp_path / "mosearch.toml", text)
    with pytest.raises(SettingsError, match=message) as caught:
        load_settings(tmp_path, environment={})
    assert "mosearch.toml" in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("MOSEARCH_LIMIT", "many"),
        ("MOSEARCH_LIMIT", "--5"),
        ("MOSEARCH_LIMIT", "²"),
        ("MOSEARCH_LIMIT", "9" * 5000),
        ("MOSEARCH_LIMT", "1"),
        ("MOSEARCH_RERANK", "perhaps"),
    ],
)
def test_a_mistake_in_the_environment_is_an_error(variable: str, value: str) -> None:
    with pytest.raises(SettingsError, match="the environment"):
        load_settings(environment={variable: value})


def test_an_empty_variable_is_as_good_as_none() -> None:
    assert load_settings(environment={"MOSEARCH_LIMIT": "", "MOSEARCH_MODEL": ""}) == Settings()


def test_environment_text_becomes_the_type_of_the_setting() -> None:
    settings = load_settings(environment={"MOSEARCH_RERANK": "off", "MOSEARCH_MODEL": "7"})
    assert settings.rerank is False
    assert settings.model == "7"


@pytest.mark.parametrize(
    ("variable", "folder"),
    [
        ("MOSEARCH_CACHE_DIR", cache_dir),
        ("MOSEARCH_CONFIG_DIR", config_dir),
        ("MOSEARCH_RUNTIME_DIR", runtime_folder),
    ],
)
def test_a_folder_that_processes_would_look_for_in_different_places_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, folder: Callable[[], Path]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(variable, "here")
    with pytest.raises(SettingsError, match=re.escape(f"{variable} is 'here'")) as caught:
        folder()
    assert str(tmp_path / "here") in str(caught.value)
    assert not (tmp_path / "here").exists()


def test_so_is_a_model_below_the_working_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "models/small").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match=re.escape(str(tmp_path / "models/small"))):
        load_settings(environment={"MOSEARCH_MODEL": "models/small"})
    assert load_settings(environment={"MOSEARCH_MODEL": "owner/name"}).model == "owner/name"
