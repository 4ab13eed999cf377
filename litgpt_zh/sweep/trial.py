"""One trial: the recipe made short, run as its own process, watched, and what it has recorded."""

from __future__ import annotations

import contextlib
import math
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import xxhash

from litgpt_zh import recipes, runlog
from litgpt_zh.language import say
from litgpt_zh.recipes import Recipe
from litgpt_zh.stage import Manifest, UserError

RATE = "optimizer.init_args.lr"
LENGTHS = ("train.epochs", "train.max_steps", "train.max_tokens")
"""Keys that set how long a trial is."""
NEVER = 10**9
"""Steps between validations: there is one, at the end."""
POLL = 1.0
"""Seconds between two looks at a running trial."""
PATIENCE = 30.0
"""Seconds a trial that is to end is given."""
CLIMB = 1.5
"""How far above others a loss is suspicious."""


def short(recipe: Recipe, steps: int | None) -> dict[str, Any]:
    """What to change in a recipe so that its schedule is over after ``steps``: warm-up, decay and all.

    The rate decays over exactly these steps. The warm-up is the recipe's, but at most a tenth of the trial. One validation,
    at the end; nothing is saved in between.

    Raises:
        UserError: pretraining data whose block size is not known.
    """
    pretraining = recipes.command_of(recipe) == "pretrain"
    changes = {
        "train.save_interval": None, "eval.interval": NEVER, "eval.initial_validation": False,
        "eval.final_validation": pretraining,  # our finetuning loop has its own
    }  # fmt: skip
    if steps is None:
        return changes
    given = recipe.get("train") or {}
    tenth = max(1, steps // 10)
    changes["train.lr_warmup_steps"] = min(given.get("lr_warmup_steps") or tenth, tenth)
    if "lr_warmup_fraction" in given:
        changes["train.lr_warmup_fraction"] = None
    changes["train.log_interval"] = max(1, min(given.get("log_interval") or 1, steps // 20))
    if not pretraining:
        return changes | {"train.max_steps": steps}
    block = Manifest.read(recipes.at(recipe, "data.init_args.tokens_dir") or "data/tokens").settings["block_size"]
    return changes | {"train.max_tokens": steps * int(recipes.default(recipe, "train.global_batch_size")) * block}


def with_floor(recipe: Recipe, values: Mapping[str, Any]) -> dict[str, Any]:
    """``values``, and where they change the learning rate, its floor changed by the same factor."""
    own, new = recipes.at(recipe, RATE), values.get(RATE)
    pretraining = recipes.command_of(recipe) == "pretrain"
    where = "train.min_lr" if pretraining else "data.init_args.min_lr"
    floor = recipes.default(recipe, where) if pretraining else recipes.at(recipe, where)
    if new is None or not own or not floor or where in values:
        return dict(values)
    return {**values, where: float(f"{float(floor) * new / float(own):.3g}")}


def reseeded(recipe: Recipe, number: int) -> dict[str, Any]:
    """Other initial weights, dropout and order of the data; nothing for number 0."""
    if not number:
        return {}
    import inspect

    own = recipe.get("seed", inspect.signature(recipes.setup_of(recipe)).parameters["seed"].default)
    order = "data.init_args.seed"
    return {"seed": own + number, order: (recipes.at(recipe, order) or 42) + number}


def name_of(values: Mapping[str, Any], number: int = 0) -> str:
    """A file name: ``lr-0.001``, ``lr-0.001,precision-32-true``, ``lr-0.001-seed-1``."""
    parts = [f"{key.rpartition('.')[2]}-{_shown(value)}" for key, value in values.items()]
    return ",".join(parts) + (f"-seed-{number}" if number else "")


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    plain = str(value)
    word = re.sub(r"[^\w.+-]+", "_", plain).strip("_.")[:40]
    return word if word == plain else f"{word[:24]}-{xxhash.xxh3_64_hexdigest(plain.encode())[:6]}"


# what a trial has recorded --------------------------------------------------------------------------------------------


@dataclass
class Trial:
    """``state``: ``finished``; ``diverged`` (no number, or climbed); ``stopped`` by the data's own guards."""

    name: str
    values: dict[str, Any]
    number: int
    folder: Path
    state: str = "running"
    reason: str = ""
    seconds: float = 0.0

    @property
    def metrics(self) -> list[dict[str, Any]]:
        return runlog.read(self.folder / "metrics.jsonl")

    def figure(self, metric: str) -> float | None:
        """The last value of a metric; None where it is not logged, no finite number, or the trial is out of the race."""
        found = [line[metric] for line in self.metrics if metric in line]
        return found[-1] if found and self.state == "finished" and math.isfinite(found[-1]) else None

    @property
    def losses(self) -> list[tuple[int, float]]:
        """Training loss, (optimizer step, loss)."""
        return [(line["step"], line["loss"]) for line in self.metrics if "loss" in line]


def objection(metrics: Sequence[Mapping[str, Any]], best: Mapping[int, float], warmup: int) -> str:
    """Why a trial with these lines of ``metrics.jsonl`` has diverged; empty where it has not.

    Either a loss or gradient is no finite number, or, after the warm-up, the mean of the last three logged losses
    has climbed: by half over its own lowest (a rate that is too small never climbs), by a quarter of the first loss (a loss
    near 0 may double and mean nothing), and to half above the best finished trial at that step (the data, which come in the
    same order, are not to blame). It holds at any step: a run that recovers from such a spike is not to be recommended, and
    the verdict must not depend on when somebody looked.

    Args:
        metrics: in the order of the log.
        best: step -> lowest mean of the last three logged losses among the finished trials.
        warmup: optimizer steps.
    """
    for line in metrics:
        if "diverged" in line or not all(math.isfinite(line.get(name, 0.0)) for name in ("loss", "val_loss")):
            return f"step {line.get('step', '?')}: the loss or its gradient is not a finite number"
    losses = [(line["step"], line["loss"]) for line in metrics if "loss" in line]
    lowest = math.inf
    for step, mean in means_of_three(losses):
        bound = max(CLIMB * lowest, lowest + losses[0][1] / 4, CLIMB * best.get(step, 0.0))
        if step > warmup and mean > bound:
            return f"step {step}: the loss has climbed to {mean:.3g} from {lowest:.3g}"
        lowest = min(lowest, mean)
    return ""


def means_of_three(losses: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """(step, mean of the loss logged there and the two before)."""
    return [(losses[i][0], sum(loss for _, loss in losses[i - 2 : i + 1]) / 3) for i in range(2, len(losses))]


# running one ----------------------------------------------------------------------------------------------------------


@dataclass
class Watch:
    """Takes the place of a plain call in ``journey.walk``: looks at the trial's record and ends it when it has diverged.

    ``lock`` is the descriptor of the sweep's lock: the trial holds it too, so that a second sweep waits for a trial whose
    sweep was killed.
    """

    folder: Path
    best: Mapping[int, float]
    warmup: int
    lock: int
    reason: str = field(default="", init=False)

    def call(self, argv: list[str], environment: dict[str, str]) -> int:
        """The exit status of the command, ended or not."""
        with _process(argv, environment, self.lock) as process:
            while True:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    return process.wait(POLL)
                if self.look():
                    print(
                        say(f"{self.folder.name}：停下；{self.reason}", f"{self.folder.name}: stopped; {self.reason}"),
                        flush=True,
                    )
                    return _end(process)

    def look(self) -> str:
        self.reason = objection(runlog.read(self.folder / "metrics.jsonl"), self.best, self.warmup)
        return self.reason


@contextlib.contextmanager
def _process(argv: list[str], environment: dict[str, str], lock: int) -> Iterator[subprocess.Popen[bytes]]:
    """A child that does not outlive the block."""
    process = subprocess.Popen(argv, env=environment, pass_fds=(lock,))
    try:
        yield process
    finally:
        if process.poll() is None:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> int:
    """Ask it to end, and see to it that it does."""
    process.terminate()
    try:
        return process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def require_ours(recipe: Recipe) -> None:
    """Refuse a recipe whose training leaves no ``metrics.jsonl``.

    Raises:
        UserError: the data class is not one of ours.
    """
    name = str(recipes.at(recipe, "data.class_path"))
    if not name.startswith("litgpt_zh."):
        raise UserError(f"data.class_path: {name}; a sweep reads metrics.jsonl, which litgpt_zh's data classes write")
