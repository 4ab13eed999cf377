"""The command ``sweep``: any of our trainings over a grid of its learning rate, or of any other setting.

Every trial is a complete short training with the recipe's own seed and order of the data, as its own process, by the stock
command on a recipe that lies in ``trials/recipes/``: anyone can type it. What is measured is kept, weights are not.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, Literal

from litgpt_zh import journey, recipes
from litgpt_zh.language import Language, say
from litgpt_zh.recipes import Recipe
from litgpt_zh.stage import (
    Manifest,
    UserError,
    discard,
    exclusive,
    fingerprint,
    is_made,
    set_aside,
    versions,
    write_text,
)  # fmt: skip
from litgpt_zh.sweep import grid, page
from litgpt_zh.sweep.trial import (
    LENGTHS,
    RATE,
    Trial,
    Watch,
    means_of_three,
    name_of,
    objection,
    require_ours,
    reseeded,
    short,
    with_floor,
)

WEIGHTS = ("final", "step-*", "guard.ckpt", "best.ckpt", "reference.npz")
"""What a trial leaves that nobody needs to compare it."""
STANDARD = "val_loss"


def sweep(
    recipe: Path,
    out_dir: Path = Path("out/sweep"),
    steps: int | None = 100,
    key: str = RATE,
    values: list[Any] | None = None,
    also: dict[str, list[Any]] | None = None,
    metric: str = STANDARD,
    direction: Literal["min", "max"] = "min",
    extend: int = 2,
    seeds: int = 1,
    keep_weights: bool = False,
    language: Language = "auto",
) -> Path:
    """Short complete trainings over a grid of one setting: a table, a page, and the winner as a recipe to lay over yours.

    Stop it anywhere: the same command goes on with the trial it was at. Other settings do again what they change.

    Args:
        recipe: of ``litgpt pretrain``, ``finetune_full`` or ``finetune_lora`` with our data (SFT, LoRA, preference).
        out_dir: trials/, sweep.json, sweep.html, override.yaml.
        steps: optimizer steps of a trial, over which the rate warms up and decays; null is the recipe's own length, and so
            is a key that sets the length itself (train.epochs).
        key: the setting, dotted as on the command line.
        values: its values; for the learning rate by default half decades around the recipe's own, from a tenth to ten times.
        also: a second setting and its values; every combination is tried.
        metric: what is compared, the last logged one of a trial; see metrics.jsonl (val_rewards/accuracies).
        direction: whether less of it is better, or more.
        extend: for the learning rate, how many values to try beyond the grid while the best stands at its end.
        seeds: of the two best; more than one tells whether they differ at all.
        keep_weights: do not delete final/ of each trial.
        language: of the page: zh, en, or auto.

    Returns:
        ``override.yaml``.

    Raises:
        UserError: settings that cannot be honoured, before any work; a trial that failed; every trial diverged.
    """
    recipe, out_dir = Path(recipe), Path(out_dir)
    settings = _with_optimizer(recipes.read(recipe, such_as="recipes/pretrain.yaml"))
    require_ours(settings)
    chosen = _values(settings, key, values, seeds, extend)
    run = Sweep(
        settings, out_dir, None if {key, *(also or ())} & set(LENGTHS) else steps, key, chosen, also or {}, metric,
        1 if direction == "min" else -1, extend if key.endswith(".lr") else 0, seeds, keep_weights,
    )  # fmt: skip
    run.check()
    plan = _plan(run)
    with exclusive(out_dir) as lock:
        if is_made(out_dir, plan):
            print(say(f"{out_dir}：同样的设置已经做完", f"{out_dir}: finished with these settings; nothing to do"))
        else:
            run.go(lock)
            _finish(run, recipe, plan, language)
    print(page.table(json.loads((out_dir / "sweep.json").read_text(encoding="utf-8"))))
    return out_dir / "override.yaml"


def _with_optimizer(recipe: Recipe) -> Recipe:
    """The optimizer in its long form, where a learning rate can be named."""
    optimizer = recipe.get("optimizer", "AdamW")
    if isinstance(optimizer, dict):
        return recipe
    return {**recipe, "optimizer": {"class_path": f"torch.optim.{optimizer}", "init_args": {}}}


def _values(recipe: Recipe, key: str, values: Sequence[Any] | None, seeds: int, extend: int) -> list[Any]:
    """The grid of ``key``.

    Raises:
        UserError: names the setting.
    """
    if seeds < 1 or extend < 0:
        raise UserError(f"seeds: {seeds}, extend: {extend}; use 1 or more, and 0 or more")
    recipes.require_key(recipe, key)
    rate = key.endswith(".lr")
    if values is None:
        own = recipes.at(recipe, key)
        if not rate or own is None:
            raise UserError(f"values: which of {key}? give at least two, as in --values '[a, b]'")
        return grid.half_decades(float(own))
    if len(values) < 2:
        raise UserError(f"values: {values}; give at least two")
    try:
        found = [float(value) for value in values] if rate else list(values)
    except (TypeError, ValueError):
        found = []
    if rate and not (found and grid.is_scale(found)):
        raise UserError(f"values: {values}; a learning rate is a number above 0")
    return found


def _plan(run: Sweep) -> Manifest:
    """What the sweep depends on.

    Raises:
        UserError: a folder the recipe reads is missing.
    """
    settings = {
        "recipe": run.recipe, "steps": run.steps, "key": run.key, "values": run.values, "also": run.also,
        "metric": run.metric, "sign": run.sign, "extend": run.extend, "seeds": run.seeds,
    }  # fmt: skip
    read = set().union(*(journey.folders_of(run.recipe_of(values)) for values in run.combinations()))
    for folder in sorted(read):
        if not folder.exists():
            raise UserError(f"{folder}: no such folder; run the stage that makes it")
    inputs = {str(folder): fingerprint(folder) for folder in sorted(read) if journey.is_finished(folder)}
    return Manifest("sweep", json.loads(json.dumps(settings, default=str)), inputs, versions=versions())


@dataclass
class Sweep:
    """The trials of one call. ``sign`` is -1 where more of the metric is better."""

    recipe: Recipe
    out_dir: Path
    steps: int | None
    key: str
    values: list[Any]
    also: dict[str, list[Any]]
    metric: str
    sign: int
    extend: int
    seeds: int
    keep_weights: bool
    trials: list[Trial] = field(default_factory=list, init=False)

    def combinations(self) -> list[dict[str, Any]]:
        """Every combination of values, the soundest first."""
        own = recipes.at(self.recipe, self.key) if grid.is_scale(self.values) else None
        first = grid.outward(self.values, float(own) if isinstance(own, (int, float, str)) else None)
        return [dict(zip((self.key, *self.also), c, strict=True)) for c in product(first, *self.also.values())]

    def recipe_of(self, values: dict[str, Any], number: int = 0) -> Recipe:
        """The recipe of a trial."""
        changes = short(recipes.changed(self.recipe, values), self.steps)
        changes |= with_floor(self.recipe, values) | reseeded(self.recipe, number)
        own = {"out_dir": str(self.out_dir / "trials" / name_of(values, number))}
        return recipes.changed(self.recipe, changes | own)

    def check(self) -> None:
        """Refuse what no trial could run.

        Raises:
            UserError: names the setting.
        """
        for name, given in self.also.items():
            recipes.require_key(self.recipe, name)
            if name == self.key or not isinstance(given, list) or not given:
                raise UserError(f"also.{name}: give a list of values of another setting than {self.key}")
        if self.steps is not None and self.steps < 10:
            raise UserError(f"steps: {self.steps}; a schedule needs 10 or more")
        names = [name_of(values) for values in self.combinations()]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise UserError(f"values: {twice} is asked for twice")
        for values in self.combinations():
            recipes.check(self.recipe_of(values), f"{name_of(values)}: ")

    def go(self, lock: int) -> None:
        """Run the grid, then beyond its end while the best stands there, then the two best with other seeds."""
        if self.steps is None:
            print(say("每次试验都走完配方里的全程", "every trial runs in full, as long as its recipe says"), flush=True)
        for values in self.combinations():
            self.run(values, lock)
        for _ in range(self.extend):
            side = self.edge()
            if side is None:
                break
            others = self.best().values if self.ranked() else self.combinations()[0]
            new = grid.beyond([values[self.key] for values in self.settings()], side)
            told = say("最好的在格子的一端；再试", "the best stands at the end of the grid; trying")
            print(f"{told} {self.key} {new:g}", flush=True)
            self.run({**others, self.key: new}, lock)
        for number in range(1, self.seeds):
            for values in [trial.values for trial in self.ranked()[:2]] if number == 1 else self.repeated():
                self.run(values, lock, number)

    def run(self, values: dict[str, Any], lock: int, number: int = 0) -> None:
        """One trial, unless it has been done."""
        name = name_of(values, number)
        root = self.out_dir / "trials"
        trial = Trial(name, values, number, root / name)
        (root / "recipes").mkdir(parents=True, exist_ok=True)
        file = root / "recipes" / f"{name}.yaml"
        write_text(file, recipes.text(self.recipe_of(values, number)))
        key, record = journey.key_of(file), trial.folder / "trial.json"
        found = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}
        if found and found["key"] != key:
            aside = set_aside(trial.folder).name
            print(
                say(
                    f"{trial.folder}：是用别的设置做的，挪到一旁：{aside}",
                    f"{trial.folder}: made with other settings; moved aside: {aside}",
                )
            )
            found = {}
        if found.get("state", "running") == "running":
            trial.folder.mkdir(parents=True, exist_ok=True)
            write_text(record, json.dumps({"key": key, "state": "running"}))
            self._train(trial, lock)
            found = {"key": key, "state": trial.state, "reason": trial.reason, "seconds": trial.seconds}
            write_text(record, json.dumps(found, ensure_ascii=False))
        if not self.keep_weights:
            discard(trial.folder, WEIGHTS)
        trial.state, trial.reason, trial.seconds = found["state"], found["reason"], found["seconds"]
        self.trials.append(trial)
        self._require_metric(trial)

    def _train(self, trial: Trial, lock: int) -> None:
        """
        Raises:
            UserError: the trial failed, and not because it diverged.
        """
        root, started = self.out_dir / "trials", time.perf_counter()
        warmup = recipes.at(self.recipe_of(trial.values, trial.number), "train.lr_warmup_steps") or 0
        watch = Watch(trial.folder, self._best_losses(), warmup, lock)
        step = journey.Step(trial.name, recipes.command_of(self.recipe))
        try:
            journey.walk((step,), root / "recipes", root, title=f"sweep: {self.key}", call=watch.call)
            trial.state = "finished"
        except UserError:
            if not watch.look():
                raise
        trial.seconds = round(time.perf_counter() - started, 1)
        if trial.state == "finished" and (stopped := Manifest.read(trial.folder / "final").counts.get("stopped")):
            trial.state, trial.reason = "stopped", stopped
        elif reason := objection(trial.metrics, watch.best, warmup):
            trial.state, trial.reason = "diverged", reason

    def _best_losses(self) -> dict[int, float]:
        """Step -> lowest mean of three losses among the finished trials."""
        best: dict[int, float] = {}
        for trial in self.trials:
            for step, mean in means_of_three(trial.losses) if trial.state == "finished" else ():
                best[step] = min(mean, best.get(step, mean))
        return best

    def _require_metric(self, trial: Trial) -> None:
        if trial.state == "finished" and trial.figure(self.metric) is None:
            known = sorted(
                {name for line in trial.metrics for name in line} - {"iter", "step", "epoch", "learning_rate"}
            )
            raise UserError(f"metric: {trial.name} has logged no {self.metric}; it has {', '.join(known)}")

    # what the trials say ----------------------------------------------------------------------------------------------

    def settings(self) -> list[dict[str, Any]]:
        """The combinations that were tried."""
        return [trial.values for trial in self.trials if not trial.number]

    def figures(self, values: dict[str, Any]) -> list[float]:
        """Of each seed; none where one of them is out of the race."""
        found = [trial.figure(self.metric) for trial in self.trials if trial.values == values]
        return [] if None in found else [figure for figure in found if figure is not None]

    def ranked(self) -> list[Trial]:
        """The first trial of each combination that has a figure, the best one first."""
        firsts = [trial for trial in self.trials if not trial.number and self.figures(trial.values)]
        return sorted(firsts, key=lambda trial: self.sign * self.mean(trial.values))

    def repeated(self) -> list[dict[str, Any]]:
        """The combinations that were tried with a second seed."""
        return [trial.values for trial in self.trials if trial.number == 1]

    def mean(self, values: dict[str, Any]) -> float:
        figures = self.figures(values)
        return sum(figures) / len(figures)

    def best(self) -> Trial:
        """
        Raises:
            UserError: no trial is left.
        """
        if not (ranked := self.ranked()):
            reason = self.trials[-1].reason
            raise UserError(
                f"{self.out_dir}: every trial has diverged or was stopped, {self.trials[-1].name}: {reason}"
            )
        return ranked[0]

    def edge(self) -> Literal["low", "high"] | None:
        """At which end of its grid the best stands; "low" where every trial is out of the race."""
        tried = [values[self.key] for values in self.settings()]
        if not self.ranked():
            return "low" if grid.is_scale(tried) else None
        return grid.edge(tried, self.best().values[self.key])

    def result(self) -> dict[str, Any]:
        """``sweep.json``."""
        best, ranked = self.best(), self.ranked()
        second = ranked[1] if len(ranked) > 1 else None
        alike = [trial for trial in ranked if all(trial.values[name] == best.values[name] for name in self.also)]
        points = [(trial.values[self.key], self.sign * self.mean(trial.values)) for trial in alike]
        near = grid.neighbours(points, best.values[self.key]) if grid.is_scale([x for x, _ in points]) else None
        rows = [
            {
                "name": trial.name, "values": trial.values, "seed": trial.number, "state": trial.state,
                "reason": trial.reason, "figure": trial.figure(self.metric), "seconds": trial.seconds,
                "steps": max((step for step, _ in trial.losses), default=0),
            }
            for trial in self.trials
        ]  # fmt: skip
        return {
            "command": recipes.command_of(self.recipe), "key": self.key, "also": list(self.also), "metric": self.metric,
            "direction": "min" if self.sign > 0 else "max", "steps": self.steps, "trials": rows,
            "best": {"name": best.name, "values": best.values, "figure": self.mean(best.values)},
            "second": second and {"name": second.name, "figure": self.mean(second.values)},
            "told_apart": second and grid.told_apart(self.figures(best.values), self.figures(second.values)),
            "edge": self.edge(), "vertex": near and grid.vertex(near),
        }  # fmt: skip


def _finish(run: Sweep, recipe: Path, plan: Manifest, language: str) -> None:
    """Write what the sweep has found; the manifest last."""
    result = {"recipe": str(recipe), **run.result(), "versions": plan.versions}
    write_text(run.out_dir / "sweep.json", json.dumps(result, ensure_ascii=False, indent=1))
    changes = with_floor(run.recipe, run.best().values)
    command = f"litgpt {result['command']} --config {recipe} --config {run.out_dir / 'override.yaml'}"
    head = f"# Written by litgpt-zh sweep: {page.verdict(result, 'en')[0]}\n# Launch: {command}\n"
    write_text(run.out_dir / "override.yaml", head + recipes.text(recipes.override(run.recipe, changes)))
    losses = {trial.name: trial.losses for trial in run.trials}
    write_text(run.out_dir / "sweep.html", page.render(result, losses, language))
    plan.counts = {"trials": len(run.trials), "best": result["best"]}
    plan.seconds = round(sum(trial.seconds for trial in run.trials), 1)
    plan.write(run.out_dir)
