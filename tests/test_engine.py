"""The engine on real folders, with a real store and a real encoder host."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from mosearch import encoder, home, ranking, workspace
from mosearch.connection import Connection
from mosearch.engine import Engine
from mosearch.errors import (
    CancelledError,
    EncoderError,
    HostError,
    ModelError,
    QueryError,
    RootError,
    SettingsError,
    StoreDamagedError,
)
from mosearch.exits import exits_in_use
from mosearch.resident.requests import result_json
from mosearch.settings import load_settings
from mosearch.status import Status
from mosearch.store import Store
from mosearch.types import Depth, FileStat, Filters, SearchResult, SkippedFile, SkipReason
from mosearch.workspace import files


def test_everything_is_embedded_once(root: Path, open_engine: Callable[[Path], Engine]) -> None:
    engine = open_engine(root)
    first = engine.update()
    assert first.files == 4
    assert first.embedded == len(set(_digests(engine)))
    assert first.chunks >= 7
    second = engine.update()
    assert (second.embedded, second.changed_files, second.removed_files) == (0, 0, 0)
    reopened = open_engine(root)
    assert reopened.update().embedded == 0


@pytest.mark.parametrize("namesakes", [3, 200])
def test_names_are_looked_up_together_and_a_crowded_one_hides_no_other(
    tmp_path: Path,
    open_engine: Callable[[Path], Engine],
    monkeypatch: pytest.MonkeyPatch,
    namesakes: int,
) -> None:
    root = tmp_path / "work"
    root.mkdir()
    for number in range(namesakes):
        (root / f"crowd{number}.py").write_text(f"def make_crowd():\n    return {number}\n")
    (root / "valve.py").write_text("def open_valve():\n    return 'steam'\n")
    engine = open_engine(root)
    engine.update(depth=Depth.WORDS)
    asked: list[list[str]] = []
    symbols = Store.symbols

    def listening(store: Store, names: list[str], limit: int) -> object:
        asked.append(list(names))
        return symbols(store, names, limit)

    monkeypatch.setattr(Store, "symbols", listening)
    hits = engine.search("make_crowd open_valve", 300).hits
    assert "open_valve" in {hit.chunk.symbol for hit in hits}
    together = ["make_crowd", "open_valve"]
    assert asked == ([together] if namesakes == 3 else [together, ["make_crowd"], ["open_valve"]])


def test_until_files_are_compared_nothing_is_shown_that_is_no_longer_so(
    root: Path, open_engine: Callable[[Path], Engine]
) -> None:
    open_engine(root).update()
    gone, changed = root / "src/net/client.py", root / "src/store.go"
    gone.unlink()
    (root / ".mosearchignore").write_text("*.js\n")
    changed.write_text(changed.read_text() + "\nfunc fingerprint(text string) int { return len(text) }\n")

    engine = open_engine(root)
    early: list[SearchResult] = []
    found = engine.search("retry checksum request", 9, early=early.append)
    assert found.hits
    shown = {hit.path for result in (found, *early) for hit in result.hits}
    assert shown
    assert shown.isdisjoint({"src/net/client.py", "src/store.go"})
    assert not any(path.endswith(".js") for path in shown)
    engine.update()
    assert "src/store.go" in {hit.path for hit in engine.search("fingerprint", 9).hits}


def test_renaming_a_folder_embeds_nothing(root: Path, open_engine: Callable[[Path], Engine]) -> None:
    engine = open_engine(root)
    before = engine.update()
    (root / "src").rename(root / "lib")
    after = engine.update()
    assert after.embedded == 0
    assert after.reused == sum(record.chunks for path, record in engine.store.files().items() if "/" in path)
    assert after.chunks == before.chunks
    assert all(path.startswith(("lib/", "README")) for path in engine.store.files())


def test_editing_one_function_embeds_it_alone(root: Path, open_engine: Callable[[Path], Engine]) -> None:
    engine = open_engine(root)
    engine.update()
    path = root / "src/store.go"
    path.write_text(path.read_text().replace("sum += uint32(b)", "sum ^= uint32(b)"))
    report = engine.update()
    assert report.embedded == 1
    hits = engine.search("checksum", 3).hits
    assert "^=" in hits[0].chunk.text


def test_going_back_to_an_earlier_text_embeds_nothing(
    root: Path, open_engine: Callable[[Path], Engine]
) -> None:
    engine = open_engine(root)
    engine.update()
    path = root / "src/store.go"
    original = path.read_text()
    path.write_text(original.replace("uint32", "uint64"))
    assert engine.update().embedded > 0
    path.write_text(original)
    assert engine.update().embedded == 0
    assert "uint32" in engine.search("Checksum", 1).hits[0].chunk.text


def test_a_worktree_shares_vectors(root: Path, tmp_path: Path, open_engine: Callable[[Path], Engine]) -> None:
    copy = tmp_path / "copy"
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    for command in (
        ["init", "-q"],
        ["add", "."],
        [*identity, "commit", "-qm", "x"],
        ["worktree", "add", copy],
    ):
        subprocess.run(["git", *command], cwd=root, check=True, capture_output=True)
    assert open_engine(root).update().embedded > 0
    assert open_engine(copy).update().embedded == 0


def test_deleted_and_ignored_files_leave_the_results(
    root: Path, open_engine: Callable[[Path], Engine]
) -> None:
    engine = open_engine(root)
    engine.update()
    (root / "src/store.go").unlink()
    (root / ".mosearchignore").write_text("*.js\n")
    report = engine.update()
    assert report.removed_files == 2
    paths = {hit.path for hit in engine.search("send checksum retry request", 50).hits}
    assert paths <= {"src/net/client.py", "README.md", ".mosearchignore"}


def test_search_finds_by_words_and_filters(root: Path, open_engine: Callable[[Path], Engine]) -> None:
    engine = open_engine(root)
    engine.update()
    hits = engine.search("retry when the server is busy", 9).hits
    assert {"send", "sendWithRetry"} <= {hit.chunk.symbol for hit in hits}
    only_js = engine.search("retry", 5, Filters(languages=frozenset({"javascript"}))).hits
    assert {hit.path for hit in only_js} == {"src/net/server.js"}
    below = engine.search("retry", 9, Filters(path_globs=("src/net/**",))).hits
    assert {hit.path for hit in below} == {"src/net/server.js", "src/net/client.py"}


def test_a_definition_is_found_though_many_lines_say_its_name_more_often(
    root: Path, open_engine: Callable[[Path], Engine]
) -> None:
    uses = "".join(f"def u{n}(ledger):\n    ledger(ledger, ledger, {n})\n\n\n" for n in range(250))
    (root / "uses.py").write_text(uses)
    definition = 'class Ledger:\n    """' + "Sums of money by the day. " * 40 + '"""\n'
    (root / "books.py").write_text(definition)
    engine = open_engine(root)
    engine.update()
    words = [stored.path for stored, _ in engine.store.search_text(("ledger",), 100, Filters())]
    assert "books.py" not in words
    assert engine.search("Ledger", 3).hits[0].path == "books.py"
    elsewhere = engine.search("Ledger", 3, Filters(path_globs=("!books.py",))).hits
    assert {hit.path for hit in elsewhere} == {"uses.py"}
    engine.show("books.py", "def nothing():\n    pass\n")
    engine.show("moved.py", definition)
    shown = [hit.path for hit in engine.search("Ledger", 3).hits]
    assert shown[0] == "moved.py"
    assert "books.py" not in shown


def test_hits_say_which_exit_scored_them(root: Path, open_engine: Callable[[Path], Engine]) -> None:
    engine = open_engine(root)
    engine.update()
    assert {hit.exit for hit in engine.search("retry", 3, rerank=False).hits} == {1}
    assert {hit.exit for hit in engine.search("retry", 3).hits} == {2}
    # Deep vectors that were computed are kept, a moment later.
    _wait_until(lambda: {exit for _, exit in engine.store.stats().vectors} == {0, 1, 2})


def test_similar_never_returns_the_place_itself(root: Path, open_engine: Callable[[Path], Engine]) -> None:
    engine = open_engine(root)
    engine.update()
    place = engine.place("src/net/client.py", 12)
    assert place.chunk.symbol == "send"
    hits = engine.similar(place, True, 20).hits
    assert hits
    assert not [
        hit for hit in hits if hit.path == place.path and hit.chunk.start_line <= 12 <= hit.chunk.end_line
    ]


def test_a_copy_elsewhere_is_similar_with_score_one(
    root: Path, open_engine: Callable[[Path], Engine]
) -> None:
    shutil.copy(root / "src/store.go", root / "src/copy.go")
    engine = open_engine(root)
    engine.update()
    hit = engine.similar(engine.place("src/store.go", 4), True, 5).hits[0]
    assert (hit.path, hit.chunk.symbol) == ("src/copy.go", "Checksum")
    assert hit.score == pytest.approx(1.0, abs=2e-3)


def test_a_long_function_is_like_what_one_of_its_parts_is_like(
    root: Path, open_engine: Callable[[Path], Engine]
) -> None:
    def lines(word: str) -> str:
        return "".join(f"    {word}_{n} = compute_{word}({n}, {word}_{n - 1})\n" for n in range(1, 30))

    (root / "long.py").write_text(f"def both():\n{lines('alpha')}\n{lines('omega')}    return omega_29\n")
    (root / "late.py").write_text(f"def late():\n{lines('omega')}    return omega_29\n")
    engine = open_engine(root)
    engine.update()
    place = engine.place("long.py", 2)
    assert place.chunk.parts > 1
    assert "omega" not in place.chunk.text
    assert engine.similar(place, True, 1).hits[0].path == "late.py"


def test_what_encloses_a_selection_is_not_similar_to_it(
    root: Path, open_engine: Callable[[Path], Engine]
) -> None:
    steps = "".join(f"    total_{n} = mixture({n}, total_{n - 1})\n" for n in range(1, 200))
    (root / "brew.py").write_text(f"def brew(total_0):\n{steps}    return total_59\n")
    engine = open_engine(root)
    engine.update()
    place = engine.place("brew.py", 2, 8)
    assert engine.store.chunks_of("brew.py")[0].chunk.parts > 2
    assert not [hit for hit in engine.similar(place, True, 20, everything=True).hits if hit.path == "brew.py"]


def test_what_is_quoted_is_found_though_its_words_are_everywhere(
    root: Path, open_engine: Callable[[Path], Engine]
) -> None:
    often = "".join(f"def often{n}():\n    return 'index the index {n}', 'in in'\n\n\n" for n in range(300))
    (root / "often.py").write_text(often)
    (root / "once.py").write_text("def once():\n" + "    work()\n" * 30 + "    return 'not in the index'\n")
    engine = open_engine(root)
    engine.update()
    assert engine.search('"not in the index"', 3).hits[0].path == "once.py"
    engine.show("shown.py", "def shown():\n    return 'was not in the index'\n")
    assert {hit.path for hit in engine.search('"not in the index"', 2).hits} == {"once.py", "shown.py"}


def test_a_preview_has_the_lines_of_the_file(root: Path, open_engine: Callable[[Path], Engine]) -> None:
    (root / "feed.py").write_bytes(b"def feed(a):\r\n\tb = 1\r\n\x0c\r\n\tc = 2\r\n\treturn b + c\r\n")
    engine = open_engine(root)
    engine.update()
    hit = next(hit for hit in engine.search("feed", 3).hits if hit.path == "feed.py")
    assert hit.preview.split("\n") == ["def feed(a):", "\tb = 1", "\x0c", "\tc = 2", "\treturn b + c"]


def test_an_answer_names_the_definition_and_the_part_of_it(
    root: Path, open_engine: Callable[[Path], Engine]
) -> None:
    steps = "".join(f"    total_{n} = mixture({n}, total_{n - 1})\n" for n in range(1, 60))
    (root / "brew.py").write_text(f"LIMIT = 1\n\ndef brew(total_0):\n{steps}    return quench(total_59)\n")
    engine = open_engine(root)
    engine.update()
    answer = result_json(engine.search("quench", 5), engine.report())
    (hit,) = [hit for hit in answer["hits"] if hit["symbol"] == "brew"]
    assert (hit["start_line"], hit["end_line"]) == (3, 63)
    assert 3 < hit["part"]["start_line"] < hit["part"]["end_line"] == 63
    others = [hit for hit in answer["hits"] if hit["symbol"] != "brew"]
    assert others
    assert all("part" not in hit for hit in others)


def test_nothing_similar_is_an_answer(
    root: Path, open_engine: Callable[[Path], Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = open_engine(root)
    engine.update()
    never = ranking.Likeness(-30, *[0.0] * (len(fields(ranking.Likeness)) - 1))
    monkeypatch.setattr(ranking, "FITTED", {engine.model.name: {0: never, 1: never, 2: never}})
    place = engine.place("src/store.go", 4)
    assert engine.similar(place, True, 5).hits == ()
    everything = engine.similar(place, True, 5, everything=True).hits
    assert everything
    assert all(hit.score < ranking.SIMILAR for hit in everything)
    (root / "copy.go").write_bytes((root / "src/store.go").read_bytes())
    engine.update()
    assert [hit.score for hit in engine.similar(place, True, 5).hits] == [1.0]


def test_a_lens_counts_what_similar_shows_without_the_encoder(
    root: Path, open_engine: Callable[[Path], Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        clone = (root / "src/store.go").read_text().replace("sum", f"total{number}")
        (root / f"src/store{number}.go").write_text(clone)
    engine = open_engine(root)
    weights = ranking.FITTED["mosearch-mini"][6]
    monkeypatch.setattr(ranking, "FITTED", {engine.model.name: dict.fromkeys(range(3), weights)})
    engine.update(depth=Depth.DEEP)
    places = [stored for path in engine.store.files() for stored in engine.store.chunks_of(path)]
    shown = [engine.similar(place, True, 20).hits for place in places]
    assert any(shown)
    assert not all(shown)
    with monkeypatch.context() as patch:
        patch.delattr(Connection, "encode")
        patch.delattr(Connection, "client")
        assert [engine.neighbours(place, engine.similar_from, 20) for place in places] == shown
        new = engine.place("src/store.go", 4, text=(root / "src/store.go").read_text().replace("+=", "^="))
        assert engine.neighbours(new, 0.0, 20) == (), "a text without vectors has to wait"


def test_the_same_setting_moves_what_is_similar_everywhere(
    root: Path, open_engine: Callable[[Path], Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = open_engine(root)
    engine.update(depth=Depth.DEEP)
    place = engine.place("src/net/client.py", 12)
    scores = [hit.score for hit in engine.similar(place, True, 20).hits]
    assert len(scores) > 2, "without weights for the model nothing is cut off"
    engine.settings = replace(engine.settings, similar_threshold=scores[1] - 1e-4)
    assert [hit.score for hit in engine.similar(place, True, 20).hits] == scores[:2]
    assert [hit.score for hit in engine.neighbours(place, engine.similar_from, 20)] == scores[:2]
    assert [hit.score for hit in engine.similar(place, True, 20, everything=True).hits] == scores


def test_similar_reads_the_text_an_editor_shows(root: Path, open_engine: Callable[[Path], Engine]) -> None:
    engine = open_engine(root)
    engine.update()
    unsaved = "\n\n\n" + (root / "src/store.go").read_text()
    place = engine.place("src/store.go", 7, text=unsaved)
    assert place.chunk.symbol == "Checksum"
    selected = engine.place("src/store.go", 8, 9, text=unsaved)
    assert selected.chunk.text.split() == [
        "for",
        "_,",
        "b",
        ":=",
        "range",
        "block",
        "{",
        "sum",
        "+=",
        "uint32(b)",
    ]


def test_selected_code_is_read_as_the_index_reads_it(
    root: Path, open_engine: Callable[[Path], Engine]
) -> None:
    header = "class Ring {\npublic:\n    int take(int count);\n};\n"
    (root / "ring.h").write_text(header, "utf-16")
    engine = open_engine(root)
    engine.update()
    selected = engine.place("ring.h", 0, 3)
    assert selected.chunk.text == header.rstrip("\n")
    assert selected.chunk.language == engine.place("ring.h", 0).chunk.language == "cpp"
    assert engine.place("ring.h", 0, 3, text=header).chunk.language == "cpp"
    (root / "picture.h").write_bytes(bytes(range(9)) * 40)
    with pytest.raises(QueryError, match=r"picture\.h is no text"):
        engine.place("picture.h", 0, 3)


def test_what_is_no_glob_is_an_error_and_harms_nothing(
    root: Path, open_engine: Callable[[Path], Engine]
) -> None:
    engine = open_engine(root)
    before = engine.update()
    folders = {path.name for path in engine.index_dir.iterdir()}
    for glob in ("!", "\\", "[z-a].py"):
        with pytest.raises(QueryError, match="no path glob"):
            engine.search("retry", 9, Filters(path_globs=(glob,)))
        with pytest.raises(QueryError, match="no path glob"):
            engine.similar(engine.place("src/store.go", 7), True, 9, Filters(path_globs=(glob,)))
    assert {path.name for path in engine.index_dir.iterdir()} == folders, "nothing is set aside"
    assert engine.status().chunks == before.chunks


def test_similar_code_is_named_where_the_editor_shows_it(
    root: Path, open_engine: Callable[[Path], Engine]
) -> None:
    engine = open_engine(root)
    engine.update()
    moved = "\n" * 40 + (root / "src/store.go").read_text()
    engine.show("src/store.go", moved)
    place = engine.place("src/store.go", 44, text=moved)
    assert place.chunk.symbol == "Checksum"
    hits = engine.similar(place, True, 20).hits
    assert hits
    assert "Checksum" not in {hit.chunk.symbol for hit in hits}, "not even where it was before"


@pytest.mark.parametrize(("path", "line"), [("nowhere.py", 0), ("src/store.go", 9999)])
def test_a_place_without_code_is_an_error(
    root: Path, open_engine: Callable[[Path], Engine], path: str, line: int
) -> None:
    engine = open_engine(root)
    engine.update()
    with pytest.raises(QueryError):
        engine.place(path, line)


@pytest.mark.parametrize("query", ["", "  \n ", "x" * 100_000])
def test_a_query_that_is_no_question_is_an_error(
    root: Path, open_engine: Callable[[Path], Engine], query: str
) -> None:
    engine = open_engine(root)
    with pytest.raises(QueryError):
        engine.search(query, 3)


def test_cancelling_keeps_what_is_done(root: Path, open_engine: Callable[[Path], Engine]) -> None:
    engine = open_engine(root)
    cancel = threading.Event()
    with pytest.raises(CancelledError):
        engine.update(lambda stage, _done, _total: cancel.set() if stage == "embed" else None, cancel)
    assert engine.status().files == 4
    assert engine.status().pending > 0
    assert engine.update().changed_files == 0
    assert engine.status().pending == 0


def test_without_an_encoder_answers_are_by_words_and_say_so(
    root: Path,
    open_engine: Callable[[Path], Engine],
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = shutil.copytree(tiny_model, tmp_path / "deep")
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"exits": config["exits"][1:]}))
    monkeypatch.setenv("MOSEARCH_MODEL", str(model))
    blocked = root.parent / "blocked"
    blocked.write_text("a file where the runtime folder should be")
    monkeypatch.setenv("MOSEARCH_RUNTIME_DIR", str(blocked))
    engine = open_engine(root)
    report = engine.update()
    assert report.files == 4
    assert "embedded" in report.warning
    result = engine.search("retry when busy", 3)
    assert result.hits
    assert "by words only" in result.warning
    assert {hit.exit for hit in result.hits} == {None}
    assert engine.status().pending == report.chunks


def test_status_agrees_with_the_store(root: Path, open_engine: Callable[[Path], Engine]) -> None:
    (root / "image.bin").write_bytes(bytes(range(256)))
    engine = open_engine(root)
    report = engine.update()
    status = engine.status()
    assert (status.files, status.chunks, status.pending) == (report.files, report.chunks, 0)
    assert dict(status.skipped) == dict(report.skipped) == {"binary": 1}
    assert status.chunks == status.stats.chunks
    assert status.device == "cpu"


def test_listeners_hear_of_every_change_and_last_of_the_last(
    root: Path, open_engine: Callable[[Path], Engine]
) -> None:
    engine = open_engine(root)
    heard: list[Status] = []
    stop = engine.on_status(heard.append)
    report = engine.update()
    _wait_until(
        lambda: bool(heard) and heard[-1].last_sync is not None and heard[-1].activity.stage == "idle"
    )
    assert (heard[-1].files, heard[-1].chunks, heard[-1].pending) == (report.files, report.chunks, 0)
    assert heard[-1].vectors[engine.index_exit] == heard[-1].texts == len(set(_digests(engine)))
    assert heard[-1].to_json()["queue"] == {"0": 0, "1": 0, "2": heard[-1].texts}
    stop()
    stopped = time.time()
    engine.update()
    engine.close()
    assert heard[-1].last_sync is not None
    assert heard[-1].last_sync < stopped


def test_a_status_that_an_update_overtakes_is_not_told_as_one_at_rest(
    root: Path, open_engine: Callable[[Path], Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = open_engine(root)
    counted = engine.store.files

    def overtaken() -> object:
        files = counted()
        monkeypatch.undo()
        engine.update()
        return files

    monkeypatch.setattr(engine.store, "files", overtaken)
    status = engine.status()
    assert (status.files, status.last_sync) == (0, None)
    assert engine.status().last_sync is not None


def test_what_is_saved_while_files_are_read_is_not_said_to_be_in_step(
    root: Path, open_engine: Callable[[Path], Engine]
) -> None:
    engine = open_engine(root)
    saved: list[float] = []

    def save(stage: str, _done: int, _total: int) -> None:
        if stage == "parse" and not saved:
            saved.append(time.time())
            (root / "late.py").write_text("def late(x):\n    return x\n")

    engine.update(save)
    last_sync = engine.status().last_sync
    assert last_sync is not None
    assert last_sync <= saved[0]
    engine.update()
    assert (engine.status().last_sync or 0) > saved[0]


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_status_counts_what_the_scan_leaves_out(root: Path, open_engine: Callable[[Path], Engine]) -> None:
    (root / "loop.py").symlink_to("loop.py")
    (root / "huge.py").write_text("x = 1\n" * 400_000)
    engine = open_engine(root)
    report = engine.update()
    assert dict(report.skipped) == {"oversized": 1, "symbolic link": 1}
    assert dict(engine.status().skipped) == dict(report.skipped)
    (root / "huge.py").write_text("def small(x):\n    return x * 2\n")
    assert engine.update().files == report.files + 1
    assert dict(engine.status().skipped) == {"symbolic link": 1}


def _write_often(root: Path, engine: Engine) -> None:
    """So that tables have seen more writes than those that are built anew will."""
    for number in range(5):
        (root / f"new{number}.py").write_text(f"def new{number}():\n    return {number}\n")
        engine.update()


def test_an_index_that_others_built_anew_is_followed(
    root: Path, open_engine: Callable[[Path], Engine]
) -> None:
    engine, other = open_engine(root), open_engine(root)
    _write_often(root, engine)
    Store.quarantine(engine.index_dir, other.store.vectors_dir, seen=engine.store.generation)
    with open_engine(root) as third:
        assert third.update().files == 9
    (root / "new0.py").write_text("def entirely_different():\n    return None\n")
    assert engine.update().files == 9
    assert engine.search("entirely_different", 1).hits[0].path == "new0.py"
    assert engine.search("new4", 1).hits[0].path == "new4.py"


@pytest.mark.parametrize("removed", [False, True])
def test_a_question_to_an_index_that_others_built_anew_is_answered(
    root: Path, open_engine: Callable[[Path], Engine], *, removed: bool
) -> None:
    engine = open_engine(root)
    _write_often(root, engine)
    if removed:
        shutil.rmtree(engine.index_dir)
    else:
        Store.quarantine(engine.index_dir, engine.store.vectors_dir, seen=engine.store.generation)
    with open_engine(root) as other:
        assert other.update().files == 9
    assert engine.search("new4", 1).hits[0].path == "new4.py"
    status = engine.status()
    assert (status.files, status.pending) == (9, 0)
    assert status.texts == status.chunks > 0


def test_a_question_does_not_wait_for_who_builds_the_index_anew(
    root: Path, open_engine: Callable[[Path], Engine]
) -> None:
    engine = open_engine(root)
    engine.update()
    Store.quarantine(engine.index_dir, engine.store.vectors_dir, seen=engine.store.generation)
    with open_engine(root) as other:
        other.update()
        reached, done = threading.Event(), threading.Event()

        def build() -> None:
            with other.store.writer_lock():
                reached.set()
                done.wait(30)

        thread = threading.Thread(target=build)
        thread.start()
        try:
            assert reached.wait(10)
            began = time.monotonic()
            assert engine.search("Checksum", 1).hits[0].chunk.symbol == "Checksum"
            assert time.monotonic() - began < 8, "the lock is waited for no longer than a moment"
        finally:
            done.set()
            thread.join()


def test_who_still_has_tables_that_others_built_anew_does_them_no_harm(
    root: Path, open_engine: Callable[[Path], Engine]
) -> None:
    engine = open_engine(root)
    _write_often(root, engine)
    stale = engine.store
    Store.quarantine(engine.index_dir, stale.vectors_dir, seen=stale.generation)
    with open_engine(root) as other:
        chunks = other.update().chunks
        for harm in (stale.sweep, stale.optimize, lambda: stale.remove(["new1.py"])):
            with pytest.raises(StoreDamagedError, match="built anew"):
                harm()
        engine.clean()
        assert other.store.stats().chunks == engine.store.stats().chunks == chunks
        assert other.search("new1", 1).hits[0].path == "new1.py"


def test_cleaning_with_a_model_that_is_missing_drops_no_vectors(
    root: Path, open_engine: Callable[[Path], Engine], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with open_engine(root) as engine:
        engine.update()
        vectors = engine.store.stats().vectors
    monkeypatch.setenv("MOSEARCH_MODEL", str(tmp_path / "not mounted"))
    with Engine(root, load_settings(root)) as without:
        with pytest.raises(ModelError, match="No vectors were dropped"):
            without.clean()
        assert without.store.stats().vectors == vectors


@pytest.mark.parametrize("code", [errno.EMFILE, errno.EIO, errno.ESTALE])
def test_a_file_that_cannot_be_read_for_a_moment_is_found_as_it_was(
    root: Path, open_engine: Callable[[Path], Engine], monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    engine = open_engine(root)
    engine.update()
    path = root / "src/store.go"
    path.write_text(path.read_text().replace("Checksum", "CheckSum32"))
    with monkeypatch.context() as patch:
        opened = files.open_regular

        def fail_for_one(path: str) -> int:
            if path.endswith("store.go"):
                raise OSError(code, os.strerror(code))
            return opened(path)

        patch.setattr("mosearch.workspace.sources.open_regular", fail_for_one)
        report = engine.update()
    failed = {"src/store.go": os.strerror(code)}
    assert (dict(report.failed), report.is_settled, report.files) == (failed, False, 4)
    assert engine.status().failed == failed
    assert engine.search("Checksum", 1).hits[0].chunk.symbol == "Checksum"
    assert engine.update().is_settled
    assert not engine.status().failed
    assert engine.search("CheckSum32", 1).hits[0].chunk.symbol == "CheckSum32"


def test_an_unreadable_file_is_named_until_it_can_be_read(
    root: Path, open_engine: Callable[[Path], Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = open_engine(root)
    engine.update()
    path = root / "src/store.go"
    path.write_text(path.read_text() + "\n")
    with monkeypatch.context() as patch:
        read_source = workspace.read_source

        def refuse_one(root: Path, stat: FileStat, **options: Any) -> workspace.Source | SkippedFile:
            if stat.path == "src/store.go":
                return SkippedFile(stat.path, SkipReason.UNREADABLE, "Permission denied")
            return read_source(root, stat, **options)

        patch.setattr(workspace, "read_source", refuse_one)
        assert dict(engine.update().failed) == {"src/store.go": "Permission denied"}
    assert engine.status().to_json()["failed"] == {"src/store.go": "Permission denied"}
    assert engine.status().to_json()["failed_by_reason"] == {"Permission denied": 1}
    assert engine.status().files == 3
    assert engine.update().files == 4
    assert not engine.status().failed


def test_the_largest_size_is_the_setting(root: Path, use_tiny_model: Path) -> None:
    (root / "large.py").write_text("# a line of words\n" * 80_000)
    with Engine(root, load_settings(root, {"max_file_bytes": 2_000_000})) as engine:
        with pytest.raises(CancelledError):
            engine.update(cancel=_Embedding(engine))
        assert not engine.status().skipped


class _Embedding:
    """A flag that is up as soon as the files are read."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def is_set(self) -> bool:
        return "large.py" in self._engine.store.files()


def test_a_root_that_vanishes_is_an_error_and_empties_nothing(
    root: Path, open_engine: Callable[[Path], Engine]
) -> None:
    engine = open_engine(root)
    engine.update()
    root.rename(root.with_name("elsewhere"))
    with pytest.raises(RootError):
        engine.update()
    assert engine.status().files == 4


def test_queries_do_not_count_as_embedded_texts(root: Path, open_engine: Callable[[Path], Engine]) -> None:
    engine = open_engine(root)
    asked = threading.Event()

    def ask_once(stage: str, _done: int, _total: int) -> None:
        if stage == "embed" and not asked.is_set():
            asked.set()
            engine.search("retry when busy", 3)

    report = engine.update(ask_once)
    assert asked.is_set()
    assert report.embedded == len(set(_digests(engine)))


def test_closing_does_not_wait_for_a_host_that_starts(
    root: Path, use_tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect, deadline = encoder.connect, time.monotonic() + 60
    started, go_on = threading.Event(), threading.Event()
    clients: list[encoder.EncoderClient] = []

    def slow(*arguments: Any, **options: Any) -> encoder.EncoderClient:
        started.set()
        go_on.wait(5)
        clients.append(connect(*arguments, **options))
        return clients[-1]

    with monkeypatch.context() as patch:
        patch.setattr(encoder, "connect", slow)
        engine = Engine(root, load_settings(root))
        engine._encoder.warm_up()
        assert started.wait(30)
        engine.close()
        assert not clients
        go_on.set()
        while not clients:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    with pytest.raises(HostError, match="closed"):
        clients[0].status()


def test_a_root_that_does_not_exist_is_an_error(tmp_path: Path, use_tiny_model: Path) -> None:
    with pytest.raises(RootError, match="nowhere"):
        Engine(tmp_path / "nowhere", load_settings())


def test_an_exit_that_the_model_lacks_is_an_error(root: Path, use_tiny_model: Path) -> None:
    with pytest.raises(SettingsError, match="0, 1, 2"):
        Engine(root, load_settings(root, {"index_exit": 5}))


@pytest.mark.parametrize("wrong", [{"first_exit": 2, "index_exit": 1}, {"index_exit": 2, "rerank_exit": 1}])
def test_exits_come_in_order_and_what_is_not_given_yields(
    root: Path, use_tiny_model: Path, wrong: dict[str, int]
) -> None:
    with pytest.raises(SettingsError, match="deep"):
        Engine(root, load_settings(root, wrong))
    for exit in (0, 1, 2):
        exits = exits_in_use(load_settings(root, {"index_exit": exit}))
        assert (exits.first, exits.index, exits.rerank) == (0, exit, 2)
    shallow = replace(exits.model, first_exit=1, rerank_exit=1)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(encoder, "model_info", lambda _: shallow)
        found = [exits_in_use(load_settings(root, {"index_exit": exit})) for exit in (0, 2)]
    assert [(each.first, each.index, each.rerank) for each in found] == [(0, 0, 1), (1, 2, 2)]


def test_a_damaged_index_is_set_aside_and_built_again(
    root: Path, open_engine: Callable[[Path], Engine]
) -> None:
    engine = open_engine(root)
    before = engine.update()
    engine.close()
    for path in engine.index_dir.rglob("*.lance"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    again = open_engine(root)
    report = again.update()
    assert report.chunks == before.chunks
    assert report.embedded == 0, "vectors are kept when they read back"
    assert again.search("checksum", 1).hits


def test_damage_met_while_searching_is_repaired(root: Path, open_engine: Callable[[Path], Engine]) -> None:
    engine = open_engine(root)
    before = engine.update()
    for path in engine.index_dir.rglob("*.lance"):
        if path.is_file():
            path.write_bytes(b"")
    assert engine.search("checksum", 1).hits[0].chunk.symbol == "Checksum"
    assert engine.status().chunks == before.chunks


def test_maintenance_merges_and_changes_no_answer(root: Path, open_engine: Callable[[Path], Engine]) -> None:
    functions = [f"def f{number}(x):\n    y = x + {number}\n    return y * 2\n" for number in range(1200)]
    (root / "many.py").write_text("\n\n".join(functions))
    engine = open_engine(root)
    engine.update()
    before = engine.search("Checksum", 1).hits[0].chunk
    content = engine.store.stats().chunks
    assert engine.store.maintenance_due()
    engine.maintain(threading.Event())
    assert not engine.store.maintenance_due()
    assert engine.search("Checksum", 1).hits[0].chunk == before
    assert engine.store.stats().chunks == content


def test_the_index_of_another_version_is_left_alone_until_it_is_old(
    root: Path, open_engine: Callable[[Path], Engine]
) -> None:
    engine = open_engine(root)
    engine.update()
    recent, old, in_use = (engine.index_dir.parent / f"chunks0-terms{number}" for number in range(3))
    for folder in (recent, old):
        folder.mkdir()
        (folder / "data").write_text("x")
    home.open_store(root, in_use, home.vectors_dir(root)).close()
    for folder in (old, in_use):
        os.utime(folder, (0, 0))
    home.open_store(root, in_use, home.vectors_dir(root)).close()
    os.utime(engine.index_dir, (0, 0))
    engine.maintain()
    assert recent.exists()
    assert not old.exists()
    assert in_use.exists()
    assert time.time() - engine.index_dir.stat().st_mtime < 3600
    assert engine.index_dir.exists()


def _found(engine: Engine, query: str, **options: Any) -> list[tuple[str, str]]:
    return [(hit.path, hit.chunk.symbol) for hit in engine.search(query, 20, **options).hits]


def test_an_unsaved_buffer_replaces_what_is_stored(root: Path, open_engine: Callable[[Path], Engine]) -> None:
    engine = open_engine(root)
    engine.update()
    text = (root / "src/store.go").read_text()
    engine.show("src/store.go", text.replace("Checksum", "Fingerprint").replace("adds up", "mixes"))
    engine.embed_shown()
    assert _found(engine, "Fingerprint")[0] == ("src/store.go", "Fingerprint")
    assert ("src/store.go", "Checksum") not in _found(engine, "checksum adds up all bytes of the block")
    assert {hit.exit for hit in engine.search("Fingerprint", 1).hits} == {2}, "it has vectors like the rest"
    engine.hide("src/store.go")
    assert _found(engine, "Checksum")[0] == ("src/store.go", "Checksum")
    assert ("src/store.go", "Fingerprint") not in _found(engine, "Fingerprint")


def test_a_buffer_of_a_new_file_is_found_and_saving_embeds_nothing_more(
    root: Path, open_engine: Callable[[Path], Engine]
) -> None:
    engine = open_engine(root)
    engine.update()
    text = "def zigzag_encode(number):\n    doubled = number * 2\n    return doubled ^ (number >> 63)\n"
    engine.show("src/zigzag.py", text)
    engine.embed_shown()
    assert _found(engine, "zigzag_encode")[0] == ("src/zigzag.py", "zigzag_encode")
    (root / "src/zigzag.py").write_text(text)
    assert engine.update().embedded == 0
    assert engine.overlay.contents() == {}
    assert _found(engine, "zigzag_encode").count(("src/zigzag.py", "zigzag_encode")) == 1


def test_a_buffer_that_shows_what_is_saved_hides_nothing(
    root: Path, open_engine: Callable[[Path], Engine]
) -> None:
    engine = open_engine(root)
    engine.update()
    engine.show("src/store.go", (root / "src/store.go").read_text())
    assert engine.overlay.contents() == {}


def test_filters_hold_for_buffers_and_ignored_buffers_stay_out(
    root: Path, open_engine: Callable[[Path], Engine]
) -> None:
    (root / ".gitignore").write_text("secret/\n")
    engine = open_engine(root)
    engine.update()
    text = "def zigzag_encode(number):\n    doubled = number * 2\n    return doubled ^ (number >> 63)\n"
    engine.show("src/zigzag.py", text)
    engine.show("secret/zigzag.py", text)
    buffer = ("src/zigzag.py", "zigzag_encode")
    found = _found(engine, "zigzag_encode")
    assert found[0] == buffer
    assert "secret/zigzag.py" not in {path for path, _ in found}
    assert buffer not in _found(engine, "zigzag_encode", filters=Filters(languages=frozenset({"go"})))
    assert buffer not in _found(engine, "zigzag_encode", filters=Filters(path_globs=("!src/",)))
    assert buffer in _found(engine, "zigzag_encode", filters=Filters(path_globs=("src/*.py",)))


def test_a_buffer_is_found_by_its_words_when_there_is_no_encoder(
    root: Path, open_engine: Callable[[Path], Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = root.parent / "blocked"
    blocked.write_text("a file where the runtime folder should be")
    monkeypatch.setenv("MOSEARCH_RUNTIME_DIR", str(blocked))
    engine = open_engine(root)
    engine.update()
    engine.show("src/zigzag.py", "def zigzag_encode(number):\n    doubled = number\n    return doubled\n")
    with pytest.raises(EncoderError):
        engine.embed_shown()
    assert _found(engine, "zigzag_encode")[0] == ("src/zigzag.py", "zigzag_encode")


def _digests(engine: Engine) -> list[str]:
    return [item.chunk.digest for path in engine.store.files() for item in engine.store.chunks_of(path)]


def test_an_early_answer_comes_before_re_ranking(root: Path, open_engine: Callable[[Path], Engine]) -> None:
    engine = open_engine(root)
    engine.update()
    early: list[SearchResult] = []
    answer = engine.search("retry while busy", 5, early=early.append)
    (first,) = early
    assert {hit.exit for hit in first.hits} == {engine.index_exit}
    assert {hit.exit for hit in answer.hits} == {engine.rerank_exit}
    place = engine.place("src/store.go", 4)
    engine.similar(place, True, 5, early=early.append)
    assert len(early) == 2
    engine.search("retry while busy", 5, rerank=False, early=early.append)
    assert len(early) == 2, "there is nothing to be early for"


def test_a_question_that_is_cancelled_ends(root: Path, open_engine: Callable[[Path], Engine]) -> None:
    engine = open_engine(root)
    engine.update()
    cancel = threading.Event()
    with pytest.raises(CancelledError):
        engine.search("retry", 5, early=lambda _: cancel.set(), cancel=cancel)
    cancel.set()
    with pytest.raises(CancelledError):
        engine.search("retry", 5, cancel=cancel)
