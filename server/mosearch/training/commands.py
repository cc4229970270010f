"""The pipeline's steps as commands: harvest, extract, (solutions, histories,) pack, (teach,) train,
(average,) export.

All data lies in one work folder: `raw/` (archives, their manifest), `functions/`, `solutions/`, `histories/`,
`pairs.safetensors` and `texts.jsonl.gz` (what is trained on), `heldout.jsonl`, `corpus.json` (counts,
licences), `run/`, `export/`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from importlib.metadata import distributions
from itertools import islice
from pathlib import Path
from random import Random

import click

from mosearch.encoder.models import find_model, load_config
from mosearch.encoder.tokens import TextTokenizer
from mosearch.mose import load_model
from mosearch.training import corpus as corpora
from mosearch.training import functions, histories, leaks, questions, records, solutions
from mosearch.training.clones import extract
from mosearch.training.corpus import Corpus
from mosearch.training.export import export
from mosearch.training.harvest import harvest, read_manifest, read_sources
from mosearch.training.histories import Commit
from mosearch.training.model import averaged, save_snapshot
from mosearch.training.packing import pack, read_pack, write_pack
from mosearch.training.pairs import KINDS, Pair, cross_pairs, make_pair
from mosearch.training.questions import Question
from mosearch.training.recipe import Recipe, read_recipe, read_toml
from mosearch.training.solutions import Solution
from mosearch.training.teachers import teach
from mosearch.training.train import FINAL, train
from mosearch.training.triplets import triplet_pairs

PACKAGE_LIST = Path(__file__).with_name("packages.toml")
RECIPE = Path(__file__).with_name("recipe.toml")
PAIRS_FILE = "pairs.safetensors"
HELD_OUT_FILE = "heldout.jsonl"
CORPUS_FILE = "corpus.json"
SOLUTIONS = "solutions"
HISTORIES = "histories"
TEXTS_FILE = "texts.jsonl.gz"
TEACHER_FILE = "teacher.safetensors"

_FOLDER = click.Path(path_type=Path, file_okay=False)
_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_work = click.option("--work", type=_FOLDER, required=True, help="Folder of all the pipeline's data.")
_recipe = click.option(
    "--recipe", "recipe_file", type=_FILE, default=RECIPE, show_default="the bundled model's"
)
_packages = click.option("--packages", type=_FILE, default=PACKAGE_LIST, show_default="the bundled model's")
_clones = click.option(
    "--clones", type=_FOLDER, required=True, help="Folder of local clones, each called OWNER+NAME."
)


@click.group("training")
def training_group() -> None:
    """Make a multi-exit model: harvest, extract, pack, train, export."""


@training_group.command("harvest")
@_work
@_packages
@click.option("--limit", type=click.IntRange(1), help="Ask for at most so many packages this time.")
def harvest_command(work: Path, packages: Path, limit: int | None) -> None:
    """Download packages through pip, npm and apt-get.  Repeat to go on."""
    sources, exclude = read_sources(read_toml(packages))
    for package in islice(harvest(sources, exclude, work / "raw"), limit):
        click.echo(f"{package.manager} {package.name} {package.version or package.error}")


@training_group.command("extract")
@_work
@click.option("--installed", is_flag=True, help="Take this environment's own packages: needs no harvest.")
@click.option("--limit", type=click.IntRange(1), help="Parse at most so many packages this time.")
def extract_command(work: Path, installed: bool, limit: int | None) -> None:
    """Parse the downloaded packages into functions.  Repeat to go on."""
    if installed:
        in_order = sorted(distributions(), key=lambda found: found.name.lower())
        found = functions.extract_installed(in_order, work / "functions")
    else:
        manifest = read_manifest(work / "raw" / "manifest.jsonl")
        found = functions.extract(manifest, work / "raw", work / "functions")
    for header in islice(found, limit):
        click.echo(f"{header.manager} {header.package}: {header.functions} functions")


@training_group.command("solutions")
@_work
@_packages
@_clones
def solutions_command(work: Path, packages: Path, clones: Path) -> None:
    """Read repositories that solve the same tasks in many languages.  Repeat to go on."""
    sources = solutions.read_sources(read_toml(packages))
    for name, count in extract(sources, clones, work / SOLUTIONS, solutions.solutions):
        click.echo(f"{name}: {count} solutions")


@training_group.command("histories")
@_work
@_packages
@_clones
def histories_command(work: Path, packages: Path, clones: Path) -> None:
    """Read what commits say, and which functions they change.  Repeat to go on."""
    sources = histories.read_sources(read_toml(packages))
    for name, count in extract(sources, clones, work / HISTORIES, histories.commits):
        click.echo(f"{name}: {count} commits")


@training_group.command("pack")
@_work
@_recipe
@click.option(
    "--data", type=_FOLDER, envvar="MOSEARCH_EVAL_DATA", help="Folder of the development sets, to keep out."
)
@click.option("--no-data", is_flag=True, help="There are none: for trying the pipeline only.")
@_packages
@click.option("--clones", type=_FOLDER, help="Folder of local clones, for questions with their answers.")
@click.option("--triplets", type=_FILE, help="JSON lines of a text and two codes, to train on as well.")
def pack_command(
    work: Path,
    recipe_file: Path,
    data: Path | None,
    no_data: bool,
    packages: Path,
    clones: Path | None,
    triplets: Path | None,
) -> None:
    """Choose functions, make pairs, and write the token file and the held-out test."""
    recipe = read_recipe(recipe_file)
    if not no_data and not (data and data.is_dir()):
        raise click.UsageError("give the folder of the development sets with --data, or else --no-data")
    kept_out = data if not no_data else None
    forbidden = leaks.forbidden_keys(kept_out) if kept_out else set()
    forbidden_texts = leaks.forbidden_texts(kept_out) if kept_out else set()
    files = sorted((work / "functions").glob("*.gz"))
    chosen = corpora.choose(corpora.read_all(files), forbidden, recipe.limits, recipe.seed)
    pairs = make_pairs(chosen, recipe)
    solved = list(solutions.read(sorted((work / SOLUTIONS).glob("*.gz"))))
    per_task = (recipe.pack.task_texts, recipe.pack.task_crosses)
    pairs += solutions.pairs(solved, forbidden, per_task, recipe.seed)
    changed = histories.read(sorted((work / HISTORIES).glob("*.gz")))
    told = list(histories.fresh(changed, forbidden | corpora.held_out_keys(chosen)))
    pairs += histories.pairs(told, recipe.seed)
    asked = []
    if clones:
        found = questions.read(questions.read_sources(read_toml(packages)), clones)
        asked = list(questions.fresh(found, forbidden, forbidden_texts))
        pairs += questions.pairs(asked, recipe.pack.question_copies, recipe.seed)
    if triplets:
        pairs += triplet_pairs(triplets, forbidden)
    Random(recipe.seed).shuffle(pairs)
    packed = pack(pairs, tokenizer_of(recipe), recipe.pack.text_tokens, recipe.pack.code_tokens)
    write_pack(packed, work / PAIRS_FILE, {"seed": recipe.seed})
    records.write(work / TEXTS_FILE, (text for pair in pairs for text in (pair.left, pair.right)))
    write_held_out(chosen, recipe.limits.held_out_queries, work / HELD_OUT_FILE)
    notes = corpus_notes(chosen, pairs, solved, asked, told)
    (work / CORPUS_FILE).write_text(json.dumps(notes, indent=1), encoding="utf-8")
    click.echo(json.dumps({key: value for key, value in notes.items() if key != "packages"}, indent=1))


@training_group.command("teach")
@_work
@click.option("--model", type=_FOLDER, required=True, help="Folder of a sentence-transformers model.")
@click.option("--max-tokens", type=click.IntRange(8), default=128, show_default=True)
def teach_command(work: Path, model: Path, max_tokens: int) -> None:
    """Embed all texts with a larger teacher.  Repeat to go on.  Name the file in the recipe to use it."""
    teach(model, list(records.read(work / TEXTS_FILE)), work / TEACHER_FILE, max_tokens, click.echo)


@training_group.command("train")
@_work
@_recipe
def train_command(work: Path, recipe_file: Path) -> None:
    """Train on the token file.  Repeat to go on from the last checkpoint."""
    packed, _ = read_pack(work / PAIRS_FILE)
    train(packed, read_recipe(recipe_file), work / "run", click.echo)


@training_group.command("ablate")
@_work
@_recipe
@click.option("--pairs", type=click.IntRange(1), default=20_000, show_default=True, help="Of each run.")
def ablate_command(work: Path, recipe_file: Path, pairs: int) -> None:
    """Train all exits together, and each alone, alike; compare them with `mosearch eval model`."""
    packed, _ = read_pack(work / PAIRS_FILE)
    for name, recipe in read_recipe(recipe_file).ablation(pairs / len(packed)).items():
        click.echo(str(train(packed, recipe, work / "ablation" / name, click.echo)))


@training_group.command("average")
@click.option(
    "--weights",
    multiple=True,
    required=True,
    type=(_FOLDER, click.FloatRange(0, min_open=True)),
    metavar="FOLDER SHARE",
    help="Folder of trained weights, and its share; repeat for each.",
)
@click.option("--to", "target", type=_FOLDER, required=True, help="Where to write the model folder.")
def average_command(weights: Sequence[tuple[Path, float]], target: Path) -> None:
    """Average runs that began alike, as on several machines, or a run with its start (run/at-000)."""
    folders, shares = zip(*weights, strict=True)
    save_snapshot(averaged([load_model(folder) for folder in folders], shares), str(folders[0]), target)


@training_group.command("export")
@_work
@click.option("--weights", type=_FOLDER, help="Folder of trained weights.  Default: the end of the run.")
@click.option("--figures", type=_FILE, help="What `mosearch eval model --json` wrote, for the model card.")
@click.option("--to", "target", type=_FOLDER, help="Where to write the model folder.  Default: export/.")
@click.option("--int8", is_flag=True, help="Store matrices in eight bits: half the size.")
def export_command(
    work: Path, weights: Path | None, figures: Path | None, target: Path | None, int8: bool
) -> None:
    """Write a model folder that the product can load, with its card."""
    source = weights or work / "run" / FINAL
    size = export(source, target or work / "export", work / CORPUS_FILE, figures, int8)
    click.echo(f"{size / 1e6:.1f} MB of weights")


def make_pairs(corpus: Corpus, recipe: Recipe) -> list[Pair]:
    """All pairs of a corpus, in drawn order, at most as many as the recipe allows."""
    found = list(cross_pairs(corpus.train, recipe.pack.cross_pairs, recipe.seed))
    made = (make_pair(function, recipe.mix, recipe.seed) for function in corpus.train)
    found += islice(filter(None, made), max(0, recipe.pack.pairs - len(found)))
    Random(recipe.seed).shuffle(found)
    return found


def tokenizer_of(recipe: Recipe) -> TextTokenizer:
    """The base model's vocabulary, with identifiers split, as the student will read texts."""
    folder = find_model(recipe.model.base)
    config = load_config(folder)
    return TextTokenizer(folder, replace(config, split_identifiers=True))


def corpus_notes(
    corpus: Corpus,
    pairs: list[Pair],
    solved: Sequence[Solution] = (),
    asked: Sequence[Question] = (),
    told: Sequence[Commit] = (),
) -> dict[str, object]:
    """Counts and licences, as the model card states them."""
    return {
        "functions": dict(corpus.counts),
        "pairs": len(pairs),
        "kinds": {kind: sum(pair.kind == kind for pair in pairs) for kind in KINDS},
        "languages": dict(Counter(pair.language for pair in pairs).most_common()),
        "held out": dict(Counter(function.language for function in corpus.held_out)),
        "licences": dict(
            Counter(header.licence or "not declared" for header in corpus.packages).most_common(40)
        ),
        "solutions": dict(Counter(f"{one.repository} ({one.licence})" for one in solved)),
        "questions": dict(Counter(f"{one.repository}, {one.language} ({one.licence})" for one in asked)),
        "commits": dict(Counter(f"{one.repository} ({one.licence})" for one in told)),
        "packages": [asdict(header) for header in corpus.packages],
    }


def write_held_out(corpus: Corpus, queries: int, file: Path) -> None:
    """JSON lines of language, summary, code, and whether the row is a query: the first of each language."""
    counts: Counter[str] = Counter()
    with file.open("w", encoding="utf-8", errors="replace") as out:
        for function in corpus.held_out:
            counts[function.language] += 1
            row = {
                "language": function.language,
                "summary": function.summary,
                "code": function.code,
                "query": counts[function.language] <= queries,
            }
            out.write(json.dumps(row) + "\n")
