"""`mosearch models`, called as a command group."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import click.testing
import huggingface_hub.constants
import pytest

from mosearch.cli.models import models_group
from mosearch.encoder import model_info
from mosearch.errors import ModelError, SettingsError, UsageError
from mosearch.settings import config_dir, load_settings

sys.path.insert(0, str(Path(__file__).parent / "bench"))
from published_checkpoint import TINY, shapes, write


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "hub"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(folder))
    monkeypatch.delenv("MOSEARCH_MODEL", raising=False)
    return folder


@pytest.fixture
def four(cache: Path) -> Path:
    """The variant with four layers, tiny, as a download would have left it."""
    repository = cache / "models--modularStarEncoder--ModularStarEncoder-finetuned-4"
    write(repository / "snapshots" / "0a1b", shapes(TINY, 4, [0]), TINY)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0a1b")
    return repository / "snapshots" / "0a1b"


def run(*arguments: str) -> str:
    found = click.testing.CliRunner().invoke(models_group, arguments, catch_exceptions=False)
    assert found.exit_code == 0, found.output
    return found.output


def listed() -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in json.loads(run("list", "--json"))["models"]}


def test_the_list_shows_what_is_there_and_what_is_used(four: Path) -> None:
    rows = listed()
    assert {name for name, row in rows.items() if row["state"] == "ready"} == {
        "default",
        "all-MiniLM-L6-v2",
        "mose-1b-4",
    }
    assert rows["mose-1b"]["state"] == "not fetched"
    assert [name for name, row in rows.items() if row["used"]] == ["default"]
    assert rows["mose-1b-4"]["exits"] == [4]
    assert "* default" in run("list")


@pytest.mark.parametrize("name", ["mose-1b-4", "modularStarEncoder/ModularStarEncoder-finetuned-4"])
def test_a_model_in_the_cache_is_used_by_name(four: Path, name: str) -> None:
    run("use", name)
    assert load_settings().model == name
    assert [row for row, entry in listed().items() if entry["used"]] == ["mose-1b-4"]
    back = json.loads(run("use", "default", "--json"))
    assert load_settings().model is None
    assert back == {"name": model_info().name, "fingerprint": model_info().fingerprint}


def test_a_folder_is_remembered_by_its_whole_path(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(tiny_model, tmp_path / 'with "quotes" ü'))
    monkeypatch.chdir(tmp_path)
    run("use", folder.name)
    assert load_settings().model == str(folder)
    assert listed()[folder.name]["used"]


def test_other_settings_stay_as_they_are(tiny_model: Path) -> None:
    config_dir().mkdir(parents=True)
    file = config_dir() / "config.toml"
    file.write_text('# mine\nlimit = 7\nmodel = "all-MiniLM-L6-v2"  # old\nthreads = 1\n')
    run("use", str(tiny_model))
    assert (load_settings().limit, load_settings().threads) == (7, 1)
    assert load_settings().model == str(tiny_model)
    assert file.read_text().endswith("# mine\nlimit = 7\nthreads = 1\n")


def test_what_cannot_be_used_is_not_written_down(tmp_path: Path) -> None:
    for name, words in (("mose-1b", "mosearch models pull mose-1b"), ("nonesuch", "no model 'nonesuch'")):
        with pytest.raises(ModelError, match=words):
            run("use", name)
    assert load_settings().model is None


def test_a_broken_settings_file_is_left_alone(tiny_model: Path) -> None:
    config_dir().mkdir(parents=True)
    (config_dir() / "config.toml").write_text("limit = [")
    with pytest.raises(SettingsError, match="not valid TOML"):
        run("use", str(tiny_model))
    assert (config_dir() / "config.toml").read_text() == "limit = ["


def test_a_name_that_is_none_is_not_asked_for() -> None:
    with pytest.raises(UsageError, match="'nonesuch' is no model of the hub"):
        run("pull", "nonesuch")


def test_check_tells_what_a_model_is(four: Path, tmp_path: Path) -> None:
    found = json.loads(run("check", "mose-1b-4", "--json"))
    assert found["fingerprint"] == model_info(four).fingerprint
    assert (found["exits"], found["pooling"], found["choices"]) == ([4], ["last"], [])
    assert "fingerprint" in run("check", "mose-1b-4")
    sample = tmp_path / "sample.jsonl"
    sample.write_text('{"query": "add", "code": "a + b"}\n{"query": "loop", "code": "for i in x: pass"}\n')
    text = run("check", str(four), "--sample", str(sample), "--device", "cpu")
    assert text.count("MRR ") == 5 and "head_activation" in text
