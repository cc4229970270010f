"""The training loop: one token file and one recipe in, a model folder out.

It runs the same on a CPU and on a GPU, in bfloat16 where the machine computes with it.  A run that is
stopped goes on from its last checkpoint when the same command is given again.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file
from torch import Tensor, nn

from mosearch import memory
from mosearch.encoder.models import find_model, load_config
from mosearch.errors import UsageError
from mosearch.mose import MultiExitEncoder, load_model
from mosearch.training.batching import batches, meanings
from mosearch.training.losses import total_loss
from mosearch.training.model import (
    average,
    averaged,
    blend,
    fit_heads,
    lean,
    new_student,
    save_snapshot,
    set_table,
    set_token_weights,
    stored_or_none,
)
from mosearch.training.packing import Pack, parts_of_like_length
from mosearch.training.recipe import Recipe, TrainSettings

CHECKPOINT = "checkpoint.pt"
FINAL = "final"
START = "at-000"
TABLE = "table"
"""Folder of the run that trains exit 0 alone, inside that of the main run."""
LOG = "log.jsonl"
LOG_STEPS = 10
_PARTS = 4
"""A batch's texts of one side are embedded in at most so many parts."""
LONGEST_STEP = 30.0
"""Seconds that a step counts at most: in a longer one the process was stopped, and a run is as long as it
computes."""

Teacher = Callable[[list[int], Tensor, Tensor], Tensor | None]
"""(rows of texts, token ids, mask) → L2-normalised float32 [n, dim], or None where it says nothing."""


@dataclass(slots=True)
class Progress:
    """Where a run is; kept in its checkpoint."""

    step: int = 0
    seconds: float = 0.0
    loss: float = math.nan
    """Moving average."""


def train(packed: Pack, recipe: Recipe, folder: Path, say: Callable[[str], None] = lambda _: None) -> Path:
    """Train to the end, or go on where `folder`'s checkpoint left off; returns the folder of the weights.

    Raises UsageError when the token file has less than one batch.
    """
    first = recipe.of_table()
    if first:
        recipe = recipe.after_table(train(packed, first, folder / TABLE, say))
    settings = recipe.train
    memory.keep_much()
    folder.mkdir(parents=True, exist_ok=True)
    if settings.threads:
        torch.set_num_threads(settings.threads)
    torch.manual_seed(recipe.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    student = _student(packed, recipe, folder, say).to(device)
    plan = _plan(packed, recipe, folder)
    if not plan and settings.epochs:
        raise UsageError(f"{len(packed)} pairs are less than one batch of {settings.batch}; harvest more")
    optimizer = torch.optim.AdamW(_groups(student, settings), betas=(0.9, 0.98), fused=True)
    progress = _resume(folder, student, optimizer)
    run = _Run(student, optimizer, frozen_teacher(recipe, device), packed, recipe, device)
    for _ in _steps(run, plan, progress, folder):
        if progress.step % LOG_STEPS == 0:
            say(_log(folder, progress, settings.batch))
    _checkpoint(folder, run, progress)
    student = _blended(student.cpu(), folder / START, settings)
    lean(student, packed, {int(layer): share for layer, share in recipe.model.lean.items()})
    save_snapshot(student, recipe.model.base, folder / FINAL)
    return folder / FINAL


def _blended(student: MultiExitEncoder, start: Path, settings: TrainSettings) -> MultiExitEncoder:
    """The student, averaged with what the run began with where the recipe asks for it."""
    if settings.blend >= 1:
        return student
    began = load_model(start)
    if settings.blend_whole:
        return averaged([student, began], (settings.blend, 1 - settings.blend))
    blend(student, began, settings.blend)
    return student


@dataclass(frozen=True, slots=True)
class _Run:
    """What every step needs and no step replaces."""

    student: MultiExitEncoder
    optimizer: torch.optim.Optimizer
    teacher: Teacher
    packed: Pack
    recipe: Recipe
    device: torch.device


def _steps(run: _Run, plan: list[NDArray[np.int64]], progress: Progress, folder: Path) -> Iterator[None]:
    """Take the steps that are left, with their checkpoints and snapshots; `progress` is kept up to date."""
    settings = run.recipe.train
    saved = progress.seconds
    pending = [share for share in settings.snapshots if share > _share(progress, len(plan), settings)]
    for chosen in plan[progress.step :]:
        done = _share(progress, len(plan), settings)
        if done >= 1:
            return
        began = time.monotonic()
        for group in run.optimizer.param_groups:
            group["lr"] = group["peak"] * _schedule(done, settings.warmup)
        loss = _step(run, chosen, _exits(progress.step, run.recipe))
        progress.step += 1
        progress.seconds += min(time.monotonic() - began, LONGEST_STEP)
        progress.loss = loss if math.isnan(progress.loss) else 0.95 * progress.loss + 0.05 * loss
        yield
        if progress.seconds - saved > 60 * settings.checkpoint_minutes:
            _checkpoint(folder, run, progress)
            saved = progress.seconds
        while pending and _share(progress, len(plan), settings) >= pending[0]:
            name = f"at-{round(100 * pending.pop(0)):03d}"
            save_snapshot(run.student, run.recipe.model.base, folder / name)


def _step(run: _Run, chosen: NDArray[np.int64], exits: Sequence[int]) -> float:
    """One batch, one step of the optimiser for some exits; returns the loss."""
    recipe, device = run.recipe, run.device
    is_code = bool(run.packed.is_code_pair()[chosen[0]])
    asked = recipe.weights.aligned or (recipe.weights.frozen_code if is_code else recipe.weights.frozen_text)
    with torch.autocast(device.type, torch.bfloat16, enabled=_computes_bf16(device)):
        left, left_taught = _embedded(run, run.packed.pairs[chosen, 0], exits, bool(asked))
        right, right_taught = _embedded(run, run.packed.pairs[chosen, 1], exits, bool(asked))
    teacher = None if left_taught is None or right_taught is None else (left_taught, right_taught)
    weights, scale = recipe.weights, recipe.train.scale
    loss = total_loss(left, right, teacher, recipe.exit_weights, weights, scale, is_code)
    run.optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(run.student.parameters(), recipe.train.clip)
    run.optimizer.step()
    return float(loss.detach())


def _embedded(
    run: _Run, rows: NDArray[np.int64], exits: Sequence[int], asked: bool
) -> tuple[dict[int, Tensor], Tensor | None]:
    """What the student makes of some texts at each exit, and the teacher, if `asked`; [n, dim] each.

    They go through the layers in a few parts of like length, so that little is padded.
    """
    mine: list[dict[int, Tensor]] = []
    taught: list[Tensor | None] = []
    order: list[int] = []
    for places, *part in parts_of_like_length(run.packed, rows, -(-len(rows) // _PARTS)):
        ids, mask = (torch.from_numpy(found).to(run.device) for found in part)
        mine.append(run.student(ids, mask, exits))
        taught.append(run.teacher(rows[places].tolist(), ids, mask) if asked else None)
        order += places.tolist()
    back = torch.tensor(order, device=run.device).argsort()
    said = [vectors for vectors in taught if vectors is not None]
    together = {layer: torch.cat([found[layer] for found in mine])[back] for layer in mine[0]}
    return together, torch.cat(said)[back] if len(said) == len(taught) else None


def _exits(step: int, recipe: Recipe) -> tuple[int, ...]:
    """The exits that a step trains, by its number."""
    settings = recipe.train
    every = tuple(sorted(recipe.exit_weights))
    if settings.deep_every and step % settings.deep_every == 0:
        return every
    return tuple(layer for layer in every if layer <= settings.shallow)


def _student(packed: Pack, recipe: Recipe, folder: Path, say: Callable[[str], None]) -> MultiExitEncoder:
    model = recipe.model
    student = new_student(model)
    base = load_config(find_model(model.base))
    if not (folder / CHECKPOINT).exists():
        if model.average_with:
            average(student, load_model(find_model(model.average_with)), model.average_share)
        if len(base.exits) == 1:
            set_token_weights(student, packed)
        teacher = load_model(find_model(model.teacher))
        if student.table is not None and not base.table_dim:
            set_table(student, teacher)
        count = min(recipe.train.fit_texts, len(packed.lengths))
        if count:
            say(f"fitting the shallow heads on {count} texts")
            rows = np.random.default_rng(recipe.seed).choice(len(packed.lengths), count, replace=False)
            fit_heads(student, teacher, packed, rows.tolist(), model.fit)
        save_snapshot(student, model.base, folder / START)
    for name, parameter in student.named_parameters():
        if name.startswith(recipe.train.frozen):
            parameter.requires_grad_(False)
    return student


def frozen_teacher(recipe: Recipe, device: torch.device) -> Teacher:
    """What the recipe's teachers say of texts; two of them side by side, as one vector of unit length."""
    stored = _stored_vectors(recipe)
    if stored is not None:
        return lambda rows, _ids, _mask: _to(stored_or_none(stored, rows), device)
    named = [(recipe.model.teacher, 1.0)]
    if recipe.model.second_teacher:
        named.append((recipe.model.second_teacher, 0.5))
    models = [(load_model(find_model(name)).to(device), weight) for name, weight in named]
    total = sum(weight for _, weight in models)

    @torch.no_grad()
    def teach(_rows: list[int], ids: Tensor, mask: Tensor) -> Tensor:
        # Side by side, their inner products are the weighted mean of the models' cosines.
        parts = []
        for model, weight in models:
            deepest = model.config.exit_layers[-1]
            parts.append(model(ids, mask, (deepest,))[deepest].float() * math.sqrt(weight / total))
        return torch.cat(parts, dim=1)

    return teach


def _stored_vectors(recipe: Recipe) -> NDArray[np.float16] | None:
    file = recipe.model.teacher_vectors
    return load_file(file)["vectors"] if file else None


def _to(vectors: Tensor | None, device: torch.device) -> Tensor | None:
    return None if vectors is None else vectors.to(device)


def _groups(student: MultiExitEncoder, settings: TrainSettings) -> list[dict[str, object]]:
    """Parameters by how fast they learn; only matrices decay."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in student.named_parameters():
        if not parameter.requires_grad:
            continue
        factor = _factor(name, settings)
        decay = settings.weight_decay if parameter.dim() == 2 and "token.weight" not in name else 0.0
        groups.setdefault((factor, decay), []).append(parameter)
    return [
        {"params": parameters, "peak": settings.learning_rate * factor, "weight_decay": decay}
        for (factor, decay), parameters in groups.items()
    ]


def _factor(name: str, settings: TrainSettings) -> float:
    """How much faster than the layers a parameter learns."""
    if "token_logit" in name:
        return settings.token_rate
    if name.startswith("table"):
        return settings.table_rate
    return settings.head_rate if "exits." in name else 1.0


def _plan(packed: Pack, recipe: Recipe, folder: Path) -> list[NDArray[np.int64]]:
    """The batches of the whole run, in order; the same for the same recipe, token file and start.

    A batch has stored teacher vectors for all its pairs or for none.
    """
    epochs = recipe.train.epochs
    stored = _stored_vectors(recipe)
    taught = None
    if stored is not None:
        said: NDArray[np.bool_] = (stored != 0).any(axis=1)
        taught = said[packed.pairs[:, 0]] & said[packed.pairs[:, 1]]
    alike = recipe.train.alike
    places = meanings(load_model(folder / START), packed) if alike and epochs else None
    found = [
        chosen
        for epoch in range(math.ceil(epochs))
        for chosen in batches(packed, recipe.train.batch, recipe.seed + epoch, taught, places, alike)
    ]
    return found[: max(1, round(len(found) * epochs / math.ceil(epochs)))] if epochs else []


def _share(progress: Progress, steps: int, settings: TrainSettings) -> float:
    """How much of the run is over, 0 to 1: by steps, or by the clock where that is further."""
    by_clock = progress.seconds / (60 * settings.minutes) if settings.minutes else 0.0
    return max(progress.step / steps, by_clock)


def _schedule(done: float, warmup: float) -> float:
    if done < warmup:
        return max(done / warmup, 0.02)
    return 0.05 + 0.95 * (1 + math.cos(math.pi * (done - warmup) / (1 - warmup))) / 2


def _computes_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    probe = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(probe and probe())


def _log(folder: Path, progress: Progress, batch: int) -> str:
    """Append a line to the run's log; returns it in words."""
    pairs = progress.step * batch
    line = {
        "step": progress.step,
        "pairs": pairs,
        "seconds": round(progress.seconds, 1),
        "loss": progress.loss,
    }
    with (folder / LOG).open("a", encoding="utf-8") as out:
        out.write(json.dumps(line) + "\n")
    rate = pairs / progress.seconds
    return f"step {progress.step}: loss {progress.loss:.3f}, {pairs} pairs, {rate:.1f} pairs/s"


def _checkpoint(folder: Path, run: _Run, progress: Progress) -> None:
    draft = folder / f"{CHECKPOINT}.part"
    state = {"model": run.student.state_dict(), "optimizer": run.optimizer.state_dict()}
    torch.save({**state, "progress": asdict(progress)}, draft)
    draft.replace(folder / CHECKPOINT)


def _resume(folder: Path, student: MultiExitEncoder, optimizer: torch.optim.Optimizer) -> Progress:
    file = folder / CHECKPOINT
    if not file.exists():
        return Progress()
    stored = torch.load(file, map_location="cpu", weights_only=True)
    student.load_state_dict(stored["model"])
    optimizer.load_state_dict(stored["optimizer"])
    return Progress(**stored["progress"])


def log_lines(folder: Path) -> Iterator[dict[str, float]]:
    """The run's log, for a learning curve."""
    for line in (folder / LOG).read_text(encoding="utf-8").splitlines():
        yield json.loads(line)
