"""The development sets as retrieval tasks: queries, documents, and which documents are right.

The folder holds `cosqa`, `mbxp` and `humaneval_x` (JSON lines of `id`, `text` or `code`, `lang`, `task`).
A held-out file from the training pipeline (`language`, `summary`, `code`) gives one task per language.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mosearch.errors import UsageError
from mosearch.text import identifiers
from mosearch.types import TextKind

DATA_VARIABLE = "MOSEARCH_EVAL_DATA"
CODE_TO_CODE = ("java", "javascript", "go", "typescript", "php", "ruby", "cpp")
MASK = "f"
MIN_QUERIES = 20
"""Of a language in the held-out file: fewer say nothing, and would weigh as much in the mean as hundreds."""


@dataclass(frozen=True, slots=True)
class Task:
    """`relevant[i]` lists the right documents of query i by their place in `documents`."""

    name: str
    group: str
    """What is averaged together: `web`, `text`, `code`, `code masked`, `held out`."""
    query_kind: TextKind
    queries: tuple[str, ...]
    documents: tuple[str, ...]
    relevant: tuple[tuple[int, ...], ...]


def data_folder(given: Path | None = None) -> Path:
    """The folder given, else the one that MOSEARCH_EVAL_DATA names.  Raises UsageError when there is none."""
    folder = given or (Path(os.environ[DATA_VARIABLE]) if os.environ.get(DATA_VARIABLE) else None)
    if folder is None or not folder.is_dir():
        raise UsageError(
            f"no development sets at {folder}; give their folder with --data or in {DATA_VARIABLE}"
        )
    return folder


def development_tasks(folder: Path) -> list[Task]:
    """All tasks whose data set is in the folder, in a fixed order."""
    tasks: list[Task] = []
    if (folder / "cosqa").is_dir():
        tasks.append(_cosqa(folder / "cosqa"))
    if (folder / "mbxp").is_dir():
        tasks += _mbxp(folder / "mbxp")
    if (folder / "humaneval_x").is_dir():
        tasks.append(_humaneval_x(folder / "humaneval_x"))
    return tasks


def held_out_tasks(file: Path) -> list[Task]:
    """Docstring → function, per language; a document is right when it is the function itself.

    Languages with fewer than MIN_QUERIES are left out.
    """
    rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in _lines(file):
        rows[row["language"]].append(row)
    found_tasks = (
        Task(
            f"docstring→{language}",
            "held out",
            "query",
            tuple(row["summary"] for row in found if row.get("query", True)),
            tuple(row["code"] for row in found),
            tuple((i,) for i, row in enumerate(found) if row.get("query", True)),
        )
        for language, found in sorted(rows.items())
    )
    return [task for task in found_tasks if len(task.queries) >= MIN_QUERIES]


@dataclass(frozen=True, slots=True)
class Solution:
    """One task solved in one language, its function's name masked."""

    task: str
    language: str
    masked: str


def solutions(folder: Path, tasks: int) -> list[Solution]:
    """The solutions of so many tasks of MBXP and of HumanEval-X, half of them each.  Raises UsageError."""
    found = []
    for name in ("mbxp", "humaneval_x"):
        documents = _lines(folder / name / "corpus.jsonl")
        names = _function_names(documents)
        chosen = set(sorted({str(row["task"]) for row in documents})[: tasks // 2])
        found += [
            Solution(f"{name} {row['task']}", row["lang"], mask_functions(row["code"], names[row["task"]]))
            for row in documents
            if str(row["task"]) in chosen
        ]
    return found


def _cosqa(folder: Path) -> Task:
    documents = _lines(folder / "corpus.jsonl")
    place = {row["id"]: number for number, row in enumerate(documents)}
    right: dict[str, list[int]] = defaultdict(list)
    for line in (folder / "qrels_dev.tsv").read_text(encoding="utf-8").splitlines():
        query, document, _ = line.split("\t")
        right[query].append(place[document])
    queries = [row for row in _lines(folder / "queries_dev.jsonl") if right[row["id"]]]
    return Task(
        "CoSQA dev",
        "web",
        "query",
        tuple(row["text"] for row in queries),
        tuple(row["code"] for row in documents),
        tuple(tuple(right[row["id"]]) for row in queries),
    )


def _humaneval_x(folder: Path) -> Task:
    return _by_task(
        "HumanEval-X text→all",
        "text",
        "query",
        _lines(folder / "queries_nl.jsonl"),
        _lines(folder / "corpus.jsonl"),
    )


def _mbxp(folder: Path) -> list[Task]:
    documents = _lines(folder / "corpus.jsonl")
    names = _function_names(documents)
    by_language: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in documents:
        masked = mask_functions(row["code"], names[row["task"]])
        by_language[row["lang"]].append({**row, "masked": masked})
    queries = _lines(folder / "queries_nl.jsonl")
    tasks = [_by_task("MBXP text→python", "text", "query", queries, by_language["python"])]
    for language in (language for language in CODE_TO_CODE if language in by_language):
        for group, field in (("code", "code"), ("code masked", "masked")):
            name = f"MBXP python→{language}{' masked' if field == 'masked' else ''}"
            tasks.append(_code_to_code(name, group, field, by_language["python"], by_language[language]))
    return tasks


def _code_to_code(
    name: str, group: str, field: str, python: list[dict[str, Any]], other: list[dict[str, Any]]
) -> Task:
    common = {row["task"] for row in python} & {row["task"] for row in other}
    queries = [{"id": row["task"], "text": row[field]} for row in python if row["task"] in common]
    found = [{**row, "code": row[field]} for row in other if row["task"] in common]
    return _by_task(name, group, "code", queries, found)


def _by_task(
    name: str,
    group: str,
    kind: TextKind,
    queries: Sequence[dict[str, Any]],
    documents: Sequence[dict[str, Any]],
) -> Task:
    """A document is right when its `task` is the query's `id`."""
    right: dict[str, list[int]] = defaultdict(list)
    for number, row in enumerate(documents):
        right[str(row["task"])].append(number)
    kept = [row for row in queries if str(row["id"]) in right]
    return Task(
        name,
        group,
        kind,
        tuple(row["text"] for row in kept),
        tuple(row["code"] for row in documents),
        tuple(tuple(right[str(row["id"])]) for row in kept),
    )


def mask_functions(code: str, name: str) -> str:
    """Replace every identifier that spells `name` in any convention: `min_cost`, `minCost`, `MinCost`."""
    if not name:
        return code
    spellings = {word for word in identifiers(code) if _plain(word) == name}
    if not spellings:
        return code
    return re.sub(rf"(?<!\w)({'|'.join(map(re.escape, sorted(spellings)))})(?!\w)", MASK, code)


def _function_names(documents: Iterable[dict[str, Any]]) -> dict[str, str]:
    """Task → the plain spelling of its function: the one Python function that most solutions mention."""
    defined: dict[str, list[str]] = defaultdict(list)
    mentioned: dict[str, Counter[str]] = defaultdict(Counter)
    for row in documents:
        if row["lang"] == "python":
            defined[row["task"]] = [_plain(name) for name in re.findall(r"\bdef\s+(\w+)", row["code"])]
        mentioned[row["task"]].update({_plain(word) for word in identifiers(row["code"])})
    return {
        task: max(reversed(defined[task]), key=lambda name: found[name], default="") if defined[task] else ""
        for task, found in mentioned.items()
    }


def _plain(identifier: str) -> str:
    return identifier.replace("_", "").lower()


def _lines(file: Path) -> list[dict[str, Any]]:
    try:
        return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, json.JSONDecodeError) as error:
        raise UsageError(f"cannot read the data set {file}: {error}") from error
