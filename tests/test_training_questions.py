"""Questions with code that answers them: what is read from a clone, and the pairs made of it."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from click.testing import CliRunner

from mosearch.encoder.models import find_model, load_config
from mosearch.errors import SettingsError, UsageError
from mosearch.training import questions
from mosearch.training.card import model_card
from mosearch.training.commands import CORPUS_FILE, PACKAGE_LIST, PAIRS_FILE, training_group
from mosearch.training.leaks import forbidden_texts, keys
from mosearch.training.packing import read_pack
from mosearch.training.questions import Question, asked
from mosearch.training.recipe import read_toml

TITLE = "How do I read a CSV file into a dictionary?"
CODE = "import csv\nwith open('x.csv') as f:\n    d = dict(csv.reader(f))"
FILES = {
    "a.txt": "".join(
        f"7\t8\t{title}\t{escaped}\t0\n"
        for title, escaped in (
            (TITLE, CODE.replace("\n", "\\n")),
            ("Too short", "f(1, 2, 3, 4)"),
            ("sort all of it", "sort()"),
        )
    ),
    "a.nl": "List all files by size\nShow the date of today\n",
    "a.cm": "ls -S | head -n 5\ndate\n",
    "a.json": json.dumps(
        [
            {"intent": TITLE, "rewritten_intent": None, "snippet": "dict(csv.reader(f))"},
            {"intent": "flip it", "rewritten_intent": "reverse a list `x`", "snippet": "x = x[::-1]"},
        ]
    ),
}
ENTRY = {"repository": "me/asked", "licence": "MIT", "language": "python"}
FORMATS = {"tabs": ["a.txt"], "lines": ["a.nl", "a.cm"], "intents": ["a.json"]}
SOURCES = questions.read_sources(
    {"questions": [{**ENTRY, "format": kind, "files": files} for kind, files in FORMATS.items()]}
)


@pytest.fixture(scope="module")
def clones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one clone, which has a file of each format."""
    folder = tmp_path_factory.mktemp("clones")
    clone = folder / "me+asked"
    clone.mkdir()
    for name, text in FILES.items():
        (clone / name).write_text(text, encoding="utf-8")
    identity = ["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "all"]):
        subprocess.run(["git", "-C", str(clone), *identity, *command], check=True)
    return folder


def _question(*wordings: str, code: str = CODE) -> Question:
    return Question(wordings, "python", code, "me/asked", "MIT")


def test_every_format_is_read_and_scraps_are_left_out(clones: Path) -> None:
    found = [(one.wordings, one.code) for one in questions.read(SOURCES, clones)]
    assert found == [
        ((TITLE,), CODE),
        (("List all files by size",), "ls -S | head -n 5"),
        ((TITLE,), "dict(csv.reader(f))"),
        (("reverse a list `x`",), "x = x[::-1]"),
    ]
    absent = replace(SOURCES[0], repository="me/absent")
    assert list(questions.read([absent], clones)) == []


def test_a_folder_without_git_is_refused(tmp_path: Path) -> None:
    (tmp_path / "me+asked").mkdir()
    with pytest.raises(UsageError, match="git"):
        list(questions.read(SOURCES[:1], tmp_path))


def test_copies_and_whatever_a_development_set_has_are_left_out(tmp_path: Path) -> None:
    folder = tmp_path / "web"
    folder.mkdir()
    (folder / "queries_dev.jsonl").write_text('{"id": "1", "text": "Reverse a list"}\n', encoding="utf-8")
    texts = forbidden_texts(tmp_path)
    first, copy = (
        _question(TITLE),
        _question("another title of the same", code=CODE.replace("x.csv", "y.csv")),
    )
    leaked = _question("something else", "reverse  a LIST", code="x.reverse()  # in place")
    assert list(questions.fresh([first, copy, leaked], set(), texts)) == [first]
    assert list(questions.fresh([first, leaked], set(keys(CODE)), set())) == [leaked]


def test_a_question_makes_as_many_pairs_as_its_language_is_given() -> None:
    found = [_question(TITLE, "csv to dict, please")] * 200
    made = list(questions.pairs(found, {"python": 2.5}, 1))
    assert 450 < len(made) < 550
    assert made == list(questions.pairs(found, {"python": 2.5}, 1))
    assert {pair.kind for pair in made} == {"text"}
    assert Counter(pair.left for pair in made)[TITLE] >= 200
    assert len(list(questions.pairs(found, {"sql": 9}, 1))) == 200


def test_a_wording_is_kept_or_told_to_a_search_engine() -> None:
    told = {asked(TITLE, "python", Random(seed)) for seed in range(80)}
    assert TITLE in told and TITLE.lower().rstrip("?") in told
    assert "python read csv file into dictionary" in told
    named = {asked("Sort a list in Python", "python", Random(seed)) for seed in range(80)}
    assert all(wording.lower().count("python") == 1 for wording in named)


def test_packing_and_the_card_count_them(clones: Path, tmp_path: Path) -> None:
    packages, recipe, data = tmp_path / "packages.toml", tmp_path / "recipe.toml", tmp_path / "data"
    data.mkdir()
    packages.write_text(
        "[[questions]]\nrepository = 'me/asked'\nlicence = 'CC BY-SA 4.0'\nlanguage = 'python'\n"
        "format = 'intents'\nfiles = ['a.json']\n",
        encoding="utf-8",
    )
    recipe.write_text("[pack]\nquestion_copies = { python = 3 }\n", encoding="utf-8")
    options = {
        "--work": tmp_path,
        "--recipe": recipe,
        "--data": data,
        "--packages": packages,
        "--clones": clones,
    }
    told = [str(part) for option in options.items() for part in option]
    result = CliRunner().invoke(training_group, ["pack", *told])
    assert result.exit_code == 0, result.output
    assert len(read_pack(tmp_path / PAIRS_FILE)[0]) == 6
    notes = json.loads((tmp_path / CORPUS_FILE).read_text(encoding="utf-8"))
    assert notes["questions"] == {"me/asked, python (CC BY-SA 4.0)": 2}
    assert "| me/asked, python (CC BY-SA 4.0) | 2 |" in model_card(load_config(find_model()), notes, {})


def test_an_entry_of_another_format_is_refused() -> None:
    with pytest.raises(SettingsError, match="questions"):
        questions.read_sources({"questions": [{**ENTRY, "format": "xml", "files": []}]})


def test_the_bundled_list_of_questions_is_readable() -> None:
    found = questions.read_sources(read_toml(PACKAGE_LIST))
    assert len(found) >= 5
    assert all(source.licence and source.files for source in found)
