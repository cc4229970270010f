"""The model card, written from what the pipeline recorded: nothing in it is typed by hand twice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from statistics import fmean
from typing import Any

from mosearch.encoder.config import ModelConfig

_INTRODUCTION = """\
A multi-exit encoder for code search: one forward pass gives an embedding at each of its exits
({exits}). Shallow exits are cheap enough to embed every edit; deeper ones re-rank. Exit 0 is a weighted
mean over a table of token vectors and runs no layer at all: a token that a text has n times counts as much
as the square root of n, and late ones for less. The heads of all other exits read what the
shallower exits pooled as well.

- Architecture: BERT, {layers} layers of {hidden_size}; vocabulary of {vocab_size}; exit 0's table is
  {table_dim} wide; identifiers are split at case changes and underscores before the tokeniser sees them.
- Embeddings: {dim} numbers, L2-normalised; compare by inner product. At most {max_tokens} tokens a text.
- Indexes by default: exit {index_exit}. Re-ranks by default: exit {rerank_exit}.
- Licence: {licence}.
"""

_RECIPE = """\
The method follows MoSE (arXiv 2503.03008, "MoSE: Hierarchical Self-Distillation Enhances Early Layer
Embeddings"): every exit has its own projection head and its own contrastive loss, all in one sum, so that
deeper layers teach shallower ones. Added to it: the distribution of similarities within a batch is
distilled from a frozen teacher into every exit, and from the deepest exit into the others; the
shallower exits also learn the teacher's embeddings themselves in the first two thirds.

Six recipes on one or two CPU cores made it, each of which goes on from the one before:

1. `recipe-first.toml`: all exits over the layers of all-MiniLM-L6-v2 (Apache-2.0), which was the teacher, on
   57,837 pairs.
2. `recipe-second.toml`: exit 0 alone, whose table starts from the principal components of the first
   result's embeddings of single tokens (as in Model2Vec), on four passes over 161 thousand pairs; then all
   exits but 0 on 141 thousand pairs, with the first result as teacher, every second step for exits 1 and 2
   only. What the deepest exit alone reads was averaged with the first result (60 % trained), and some of exit
   0's embedding was added to those of exits 1 to 3 (0.8, 0.3 and 0.3 of their own length).
3. `recipe-third.toml`: exit 0 again, on a million pairs (its table: 40 % trained); all layers averaged with
   all-MiniLM-L6-v2 (75 % trained), the deepest exit's head made to read the shallower ones too, and all exits
   but 0 on 69 thousand pairs, where the similarities of both models together were the teacher on text;
   then the whole was averaged with the run's start (half each), and a tenth of exit 0's embedding was added
   to that of exit 6.
4. `recipe-fourth.toml`: exit 0 alone, with a mean that weighs repeated and late tokens less, on three
   passes over 161 thousand pairs of which a fifth are questions that people typed, without a teacher. The
   layers stayed as they are; of exit 0's new embedding 0.8, 0.8 and 0.5 of their own length was added to
   those of exits 1 to 3, which read its pooled state besides, as exit 6 does.
5. `recipe-fifth.toml` and `recipe-fifth-drawn.toml`: exit 0 on three passes over 235 thousand pairs of a
   new harvest; then two runs over the layers with the fourth's result as frozen teacher: one on 73
   thousand pairs in batches of what exit 0 finds alike, one on 75 thousand of which a quarter are
   questions that people typed. Both results and their start were averaged, a third each.
6. `recipe.toml`: exit 0 on three passes over the data described below: those of the fifth, documented
   types, and commits with the functions that they change. Then two runs over the layers on 70 thousand of
   these pairs (three in ten commits, a quarter types), with the fifth's result as frozen teacher: one in
   batches of what is alike, one in drawn batches (`frozen_text = 1.0`, seed 32). Both results and their
   start were averaged, a third each.

Shares and averages were chosen on the development sets that the figures below are of, from two to six
candidates each, and how exit 0's mean weighs tokens from about 25: the figures flatter a little. The
pairs of the fourth and the sixth recipe were drawn with other seeds than the files name, and the sixth's
types and commits by scripts that came before the pipeline's own commands for them: the recipes give the
method, not the same file.
"""

_LIMITS = """\
- Trained on texts of at most about a hundred tokens of code and English documentation; what stands late in a
  long function, and queries in other languages, are served less well.
- The queries that it learned from are documentation, names, statements of programming tasks and what
  commits say, some of them reworded as for a web search by rule; questions that people typed are a tenth
  of them.
- Similarity is no proof: two functions can look alike and do different things.
- The training code is public and free, but it is not free of mistakes or of its authors' bias.
"""


def model_card(config: ModelConfig, corpus: Mapping[str, Any], figures: Mapping[str, Any]) -> str:
    """Markdown.  `corpus` is the pipeline's `corpus.json`, `figures` that of `mosearch eval model --json`."""
    exits = ", ".join(map(str, config.exit_layers))
    fields = {name: getattr(config, name) for name in config.__dataclass_fields__}
    parts = [f"# {config.name}\n", _INTRODUCTION.format(**{**fields, "exits": exits})]
    parts += ["## Recipe\n", _RECIPE, "## Training data\n", _corpus(corpus)]
    parts += ["## Figures\n", _figures(figures), "## Limits\n", _LIMITS]
    return "\n".join(parts)


def _corpus(corpus: Mapping[str, Any]) -> str:
    if not corpus:
        return "Not recorded.\n"
    counts = corpus["functions"]
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in corpus["kinds"].items())
    seen = counts.get("seen", 0)
    copies, leaks = counts.get("near duplicate", 0), counts.get("in a development set", 0)
    return "\n".join(
        (
            f"{corpus['pairs']:,} pairs ({kinds}) from {len(corpus['packages']):,} packages of public",
            f"registries, chosen from {seen:,} functions and types. Dropped: {copies:,} near-duplicates and",
            f"{leaks:,} functions whose normalised text is in a development set.",
            "A share of the packages, drawn by name, was kept out for testing.\n",
            _table(("language", "pairs"), corpus["languages"].items()),
            "Licences of the packages, as they declare them (the most common ones):\n",
            _table(("licence", "packages"), list(corpus["licences"].items())[:20]),
            *_counted("Repositories that solve the same tasks in several languages", "solutions", corpus),
            *_counted("Questions that people typed, with code that answers them", "questions", corpus),
            *_counted("Commits, with functions that they change", "commits", corpus),
        )
    )


def _counted(what: str, key: str, corpus: Mapping[str, Any]) -> Iterable[str]:
    """A heading and a table of what `corpus` counts under `key` by repository; nothing if it has none."""
    if corpus.get(key):
        yield f"{what}, with their licences:\n"
        yield _table(("repository", key), corpus[key].items())


def _figures(figures: Mapping[str, Any]) -> str:
    """Mean reciprocal rank by kind of task, and the cost of each exit."""
    if not figures:
        return "Not measured.\n"
    groups: dict[tuple[str, Any], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in figures["results"]:
        groups[row["model"], row["exit"]][row["group"]].append(row["quality"]["mrr"])
    names = list(dict.fromkeys(row["group"] for row in figures["results"]))
    quality = [
        (model, "" if exit_ is None else exit_, *(_mean(found.get(name)) for name in names))
        for (model, exit_), found in groups.items()
    ]
    cost = [
        (model, exit_, f"{one['parameters'] / 1e6:.1f} M", f"{one['flops_per_token'] / 1e6:.1f} M")
        for model, exits in figures["costs"].items()
        for exit_, one in exits.items()
    ]
    return "\n".join(
        (
            "Mean reciprocal rank over the full corpus, averaged over the tasks of a kind:\n",
            _table(("model", "exit", *names), quality),
            _table(("model", "exit", "parameters", "operations per token"), cost),
        )
    )


def _mean(values: list[float] | None) -> str:
    return f"{fmean(values):.3f}" if values else ""


def _table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    head = tuple(head)
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    return "\n".join(lines) + "\n"
