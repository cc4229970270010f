"""Model folders: finding them, reading their configuration, and their fingerprint."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mosearch.encoder import find_model, model_info
from mosearch.encoder.config import read_config
from mosearch.errors import HostError, ModelError
from mosearch.ipc import log_folder, runtime_folder
from mosearch.settings import cache_dir


@pytest.fixture
def copy(tiny_model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_model, tmp_path / "copy"))


def edit_config(folder: Path, **changes: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def test_the_packaged_minilm_is_found_by_name() -> None:
    info = model_info("all-MiniLM-L6-v2")
    assert (info.name, info.dim, info.exits) == ("all-MiniLM-L6-v2", 384, (6,))
    assert read_config(find_model("all-MiniLM-L6-v2")).max_tokens == 256


def test_the_default_model_comes_with_the_package() -> None:
    info = model_info()
    assert (info.name, info.exits) == ("mosearch-mini", (0, 1, 2, 3, 6))
    assert find_model().parent.name == "mose"
    size = sum(file.stat().st_size for file in find_model().iterdir())
    assert size < 48e6, "every version of the weights stays in the repository's history"


def test_nothing_torch_like_is_imported_to_describe_a_model(tiny_model: Path) -> None:
    program = (
        "import sys, mosearch.encoder as e; e.model_info(sys.argv[1]); e.model_info('all-MiniLM-L6-v2');"
        "print(sorted({'torch', 'tokenizers', 'safetensors', 'transformers', 'filelock'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tiny_model)], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_a_model_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no model 'nonesuch'"):
        find_model("nonesuch")
    with pytest.raises(ModelError, match="Give the path of a model folder"):
        find_model(tmp_path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hidden_size": 0}, "hidden_size must be a positive whole number"),
        ({"hidden_size": "32"}, "hidden_size must be a positive whole number"),
        ({"heads": 5}, "multiple of heads"),
        ({"architecture": "gpt"}, "'gpt' is not one of bert"),
        ({"max_tokens": 65}, "max_tokens 65"),
        ({"exits": []}, "non-empty list of distinct layers"),
        ({"exits": [{"layer": 1}, {"layer": 1}]}, "non-empty list of distinct layers"),
        ({"exits": [{"layer": 3}]}, "no layer between 0 and 2"),
        ({"exits": [{"layer": 1, "pooling": "max"}]}, "unknown pooling 'max'"),
        ({"exits": [{"depth": 1}]}, "does not follow the model schema"),
        ({"index_exit": 4}, "index_exit 4 is not among the exits"),
        ({"temperature": 1}, "does not follow the model schema"),
        ({"model_type": "gpt2"}, "only BERT"),
    ],
)
def test_a_wrong_configuration_is_explained(copy: Path, changes: dict[str, Any], words: str) -> None:
    edit_config(copy, **changes)
    with pytest.raises(ModelError, match=words):
        read_config(copy)


def test_a_configuration_that_is_no_json_is_explained(copy: Path) -> None:
    (copy / "config.json").write_bytes(b"\xff{")
    with pytest.raises(ModelError, match="Cannot read"):
        read_config(copy)


def test_other_poolings_are_not_taken_for_a_mean(tmp_path: Path) -> None:
    folder = shutil.copytree(
        find_model("all-MiniLM-L6-v2"), tmp_path / "m", ignore=lambda _, n: [x for x in n if "safe" in x]
    )
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    with pytest.raises(ModelError, match="does not pool by the mean"):
        read_config(folder)


def _flip_last_byte(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: edit_config(folder, max_tokens=32),
        lambda folder: edit_config(folder, split_identifiers=False),
        lambda folder: _flip_last_byte(folder / "model.safetensors"),
        lambda folder: (folder / "tokenizer.json").write_text("{}"),
    ],
)
def test_the_fingerprint_changes_with_whatever_may_change_a_vector(
    copy: Path, change: Callable[[Path], object]
) -> None:
    before = model_info(copy).fingerprint
    change(copy)
    assert model_info(copy).fingerprint != before


def test_the_fingerprint_depends_on_contents_alone(copy: Path, tiny_model: Path) -> None:
    edit_config(copy, name="other", licence="none", index_exit=2)
    (copy / "README.md").write_text("x")
    assert model_info(copy).fingerprint == model_info(tiny_model).fingerprint


def test_settings_that_came_later_leave_the_fingerprints_of_models_without_them_alone(copy: Path) -> None:
    settings = read_config(copy).vector_settings()
    assert not re.search('kv_heads|rope_theta|head_activation|suffix|norm"', settings)


def test_hashes_are_remembered_until_the_file_changes(copy: Path) -> None:
    right = model_info(copy).fingerprint
    remembered = [file for file in (cache_dir() / "hashes").iterdir() if file.suffix != ".TAG"]
    assert len(remembered) == 2
    for file in remembered:
        file.write_text("0" * 64)
    assert model_info(copy).fingerprint != right, "the remembered hash was not used"
    os.utime(copy / "model.safetensors", ns=(1, 1))
    os.utime(copy / "tokenizer.json", ns=(1, 1))
    assert model_info(copy).fingerprint == right


def test_a_cache_that_cannot_be_written_does_no_harm(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MOSEARCH_CACHE_DIR", str(tmp_path / "file"))
    assert len(model_info(copy).fingerprint) == 32


def test_the_cache_is_private_whoever_makes_it_first(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, first in (("hashes", lambda: model_info(copy)), ("log", log_folder)):
        cache = tmp_path / name / "cache"
        monkeypatch.setenv("MOSEARCH_CACHE_DIR", str(cache))
        first()
        assert [folder.stat().st_mode & 0o777 for folder in (cache, cache / name)] == [0o700, 0o700]


def test_missing_weights_are_a_model_error(copy: Path) -> None:
    (copy / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"model\.safetensors"):
        model_info(copy)


def test_the_runtime_folder_is_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "run"
    folder.mkdir(mode=0o755)
    monkeypatch.setenv("MOSEARCH_RUNTIME_DIR", str(folder))
    assert runtime_folder().stat().st_mode & 0o777 == 0o700


def test_a_runtime_folder_that_is_a_link_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    monkeypatch.setenv("MOSEARCH_RUNTIME_DIR", str(tmp_path / "link"))
    with pytest.raises(HostError, match="is a link"):
        runtime_folder()


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can give a folder away")
def test_a_runtime_folder_of_somebody_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    os.chown(folder, 12345, 12345)
    monkeypatch.setenv("MOSEARCH_RUNTIME_DIR", str(folder))
    with pytest.raises(HostError, match="belongs to another user"):
        runtime_folder()
