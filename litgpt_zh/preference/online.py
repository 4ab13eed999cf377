"""Rounds of preference optimisation on a model's own samples: sample, score, pair, train, and a gate behind each.

Every round asks new requests and learns from samples of the model as it is then; the reference is the model the round
started from. What a round trains is accepted only if the gate holds (``gate``); ``final/`` is the last accepted model. A
round is a walk of stages anyone can type, with its recipes in its folder: ``sample_pairs``, ``finetune_full`` (or
``finetune_lora``), ``evaluate_stories``.
"""

from __future__ import annotations

import inspect
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from litgpt_zh import recipes
from litgpt_zh.evaluate.wording import FIGURES
from litgpt_zh.journey import Step, walk
from litgpt_zh.language import say
from litgpt_zh.preference.gate import Gate, judge, too_far, verdict
from litgpt_zh.stage import Manifest, UserError, discard, exclusive, is_made, write_text

GIVEN = ("checkpoint_dir", "out_dir", "skip", "seed", "overwrite")
"""Settings of ``sample_pairs`` that every round gets from us."""
STATES = ("step-*", "guard.ckpt", "reference.npz")
"""What a finished training needs no more."""
NO_LIMITS = dict.fromkeys(("max_nll_rise", "max_repetition_rise", "max_end_drop", "max_length_change"))
"""The guards of a round's training watch, but stop nothing: behind it the gate asks more requests, of a model whose learning
rate is down, and what went too far can be averaged with SFT. A guard at full rate threw whole rounds away (docs/LOG.md)."""
STANDARD = Gate()


def online(
    checkpoint_dir: Path,
    train: Path | dict = Path("recipes/dpo.yaml"),  # of dict[str, Any] jsonargparse would make objects
    out_dir: Path = Path("out/online"),
    pairs: dict[str, Any] | None = None,
    gate: Gate = STANDARD,
    rounds: int = 3,
    average: float | None = 0.8,
    after_refusal: Literal["stop", "continue"] = "stop",
    keep_states: bool = False,
    seed: int = 0,
) -> Path:
    """Preference optimisation in rounds, on samples of the model as it is in each.

    Stop it anywhere: the same command goes on. With other settings it does again what they change, and moves aside what
    was there.

    Args:
        checkpoint_dir: the instruction-tuned model to start from (a run's ``final/``).
        train: a recipe of ``litgpt finetune_full`` or ``finetune_lora`` with preference data, or the same settings here;
            checkpoint_dir, out_dir and pairs_dir are put in, and the seeds where it names none. Its guards stop it only at
            limits that it names itself (``data.init_args.max_nll_rise`` ...): the gate decides.
        out_dir: a folder a round (recipes, pairs, train, score, gate.json), and ``final/``, the last accepted model.
        pairs: settings of ``litgpt-zh sample_pairs``; ``count`` is the requests of one round, and each round goes on behind
            the requests of the one before.
        gate: what is asked after a round, and what a round is accepted for.
        rounds: how many.
        average: a round that is better, but too far from the SFT model, is asked once more as the average of its model (this
            share) and the SFT model (``litgpt-zh average``); null: it is refused at once.
        after_refusal: stop, or continue from the last accepted model with new requests.
        keep_states: keep what only a stopped training needs (optimizer states, reference log-probabilities).
        seed: round r samples, splits and trains with 1000 x seed + r.

    Returns:
        ``final/``.

    Raises:
        UserError: settings that cannot be honoured, before any work; a stage that stopped.
    """
    recipe, asking = recipe_of(train), pairs or {}
    _check(asking, gate, rounds, average)
    _check_loss(recipe, asking)
    settings = {
        "train": recipe, "pairs": asking, "gate": vars(gate), "rounds": rounds, "average": average,
        "after_refusal": after_refusal, "seed": seed,
    }  # fmt: skip
    from litgpt_zh import checkpoints

    checkpoint_dir, out_dir = Path(checkpoint_dir), Path(out_dir)
    checkpoints.require_checkpoint(checkpoint_dir)
    plan = checkpoints.plan_of("online", {"sft": checkpoint_dir}, settings)
    final = out_dir / "final"
    with exclusive(out_dir):
        if is_made(final, plan):
            print(checkpoints.finished_told(final))
        else:
            recipes.check(recipe | {"checkpoint_dir": checkpoint_dir}, "train.")
            run = Run(checkpoint_dir, out_dir, recipe, asking, gate, rounds, average, after_refusal, keep_states, seed)
            run.go()
            _seal(run.accepted, final, plan, run.results, run.seconds)
    print(table(Manifest.read(final).counts["rounds"], gate))
    return final


def recipe_of(train: Path | str | dict[str, Any]) -> dict[str, Any]:
    """The settings of the training.

    Raises:
        UserError: no such file, or not the settings of a preference training.
    """
    recipe = dict(train) if isinstance(train, dict) else recipes.read(train, such_as="recipes/dpo.yaml")
    data = recipe.get("data")
    if not isinstance(data, dict) or not str(data.get("class_path")).startswith("litgpt_zh.preference."):
        raise UserError("train: data.class_path is no preference data; take recipes/dpo.yaml as an example")
    return recipe


def _check(pairs: dict[str, Any], gate: Gate, rounds: int, average: float | None) -> None:
    """Refuse what would fail after hours.

    Raises:
        UserError: names the setting.
    """
    from litgpt_zh.preference.sample import sample_pairs

    known = inspect.signature(sample_pairs).parameters
    for name in pairs:
        if name in GIVEN:
            raise UserError(f"pairs.{name}: every round gets its own; leave it out")
        if name not in known:
            raise UserError(f"pairs.{name}: sample_pairs has no such setting; see `litgpt-zh sample_pairs --help`")
    if rounds < 1:
        raise UserError(f"rounds: {rounds}; use 1 or more")
    if average is not None and not 0 < average < 1:
        raise UserError(f"average: {average} is out of range, use more than 0 and less than 1, or null")
    source, world_seed = pairs.get("source"), pairs.get("world_seed", known["world_seed"].default)
    if source is None and gate.corpus_dir is None and world_seed == gate.seed:
        raise UserError(f"gate.seed: {gate.seed} is the world_seed of the pairs; held-out requests need another one")
    if source is not None and Path(source).is_file() and gate.corpus_dir == Path(source):
        raise UserError(f"gate.corpus_dir: {source} is the source of the pairs; held-out requests need another file")


def _check_loss(recipe: dict[str, Any], pairs: dict[str, Any]) -> None:
    """Refuse samples that the loss does not learn from.

    Raises:
        UserError: says which kind it needs.
    """
    loss, kind = (recipe["data"].get("init_args") or {}).get("loss"), pairs.get("kind", "best-worst")
    if (loss == "grpo") != (kind == "graded"):
        raise UserError(
            f"pairs.kind: {kind} does not suit loss {loss or 'dpo'}; grpo goes with graded, the others without"
        )


@dataclass
class Run:
    """The rounds of one call; ``accepted`` is the last accepted model, ``results`` the rounds so far."""

    sft: Path
    out_dir: Path
    recipe: dict[str, Any]
    pairs: dict[str, Any]
    gate: Gate
    rounds: int
    average: float | None
    after_refusal: str
    keep_states: bool
    seed: int
    results: list[dict[str, Any]] = field(default_factory=list, init=False)
    seconds: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self.accepted = self.sft

    def go(self) -> None:
        """Score the SFT model, then walk the rounds until the last one, or until one is refused."""
        start = self.out_dir / "start"
        self._walk(start, {"score": self._score(self.sft, start)})
        before = start
        for number in range(1, self.rounds + 1):
            folder = self.out_dir / f"round-{number}"
            try:
                result, model, scored = self._round(number, folder, before, start)
            except UserError as error:
                enough = f"; or let {number - 1} be enough: --rounds {number - 1}" if number > 1 else ""
                raise UserError(f"round {number}: {error}{enough}") from None
            self.results.append(result)
            told = say(*verdict(result, self.gate))
            print(say(f"第 {number} 轮：{told}", f"round {number}: {told}"), flush=True)
            if result["accepted"]:
                self.accepted, before = model, scored
            elif self.after_refusal == "stop":
                break

    def _round(self, number: int, folder: Path, before: Path, start: Path) -> tuple[dict[str, Any], Path, Path]:
        """What became of a round, its model, and the folder with that model's score card."""
        model, scored = folder / "train" / "final", folder
        walked = {
            "pairs": self._pairs(number, folder),
            "train": self._train(number, folder),
            "score": self._score(model, folder),
        }
        self._walk(folder, walked)
        made, stopped = Manifest.read(folder / "pairs").counts, Manifest.read(model).counts.get("stopped")
        counted = {"round": number, "pairs": made["kept"], "yield": made["yield"]}
        result = counted | self._judge(folder, before, start) | ({"stopped": stopped} if stopped else {})
        if self.average and too_far(result, self.gate):
            scored, far = folder / "average", model
            model = scored / "model"
            ways = {"checkpoint_dir": far, "toward_dir": self.sft, "out_dir": model, "share": self.average}
            self._walk(scored, {"average": ways, "score": self._score(model, scored)})
            alone = {
                "average": self.average,
                "alone": {name: result[name] for name in ("after", "nll_rise", "reasons")},
            }
            result |= self._judge(scored, before, start) | alone
        write_text(folder / "gate.json", json.dumps(result, ensure_ascii=False, indent=1))
        if not self.keep_states:
            discard(folder / "train", STATES)
        return result, model, scored

    def _judge(self, *folders: Path) -> dict[str, Any]:
        """The gate's word on a model, from the score cards of its folder, of the round's start and of the SFT model."""
        after, before, sft = (json.loads((f / "score" / "score.json").read_text("utf-8")) for f in folders)
        return judge(after, before, sft, self.gate)

    def _pairs(self, number: int, folder: Path) -> dict[str, Any]:
        from litgpt_zh.preference.sample import sample_pairs

        count = self.pairs.get("count", inspect.signature(sample_pairs).parameters["count"].default)
        own = {"skip": (number - 1) * count, "seed": 1000 * self.seed + number, "overwrite": True}
        return {"checkpoint_dir": self.accepted, "out_dir": folder / "pairs", **self.pairs, **own}

    def _train(self, number: int, folder: Path) -> dict[str, Any]:
        seed = 1000 * self.seed + number
        data = self.recipe["data"]
        later = {"check_sft": False} if number > 1 else {}  # few pairs then mean that little is left to learn
        own = {"seed": seed} | NO_LIMITS | later | (data.get("init_args") or {}) | {"pairs_dir": folder / "pairs"}
        given = {"checkpoint_dir": self.accepted, "out_dir": folder / "train", "data": {**data, "init_args": own}}
        return {"seed": seed} | self.recipe | given

    def _score(self, checkpoint_dir: Path, folder: Path) -> dict[str, Any]:
        return {"checkpoint_dir": checkpoint_dir, "out_dir": folder / "score", **self.gate.asking, "overwrite": True}

    def _walk(self, folder: Path, named: dict[str, dict[str, Any]]) -> None:
        """Write the recipes of a folder and run what they name, as far as it is not finished."""
        train = recipes.command_of(self.recipe)
        commands = {"pairs": "sample_pairs", "train": train, "average": "average", "score": "evaluate_stories"}
        (folder / "recipes").mkdir(parents=True, exist_ok=True)
        for name, recipe in named.items():
            write_text(folder / "recipes" / f"{name}.yaml", recipes.text(recipe))
        steps = tuple(Step(name, commands[name]) for name in named)
        walk(steps, folder / "recipes", folder, title=f"online: {folder.name}")
        record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        self.seconds += sum(stage["seconds"] for stage in record["stages"])


def _seal(source: Path, final: Path, plan: Manifest, results: list[dict[str, Any]], seconds: float) -> None:
    """``final/``: a checkpoint folder that stands alone, with the rounds in its manifest."""
    from litgpt import Config

    from litgpt_zh import checkpoints

    counts = {"rounds": results, "accepted": sum(result["accepted"] for result in results), "model": str(source)}
    with checkpoints.appearing(final) as pending:
        checkpoints.copy_model(source, pending)
        checkpoints.finish(pending, plan, Config.from_file(source / "model_config.yaml"), counts, seconds)


def table(results: list[dict[str, Any]], gate: Gate) -> str:
    """The rounds, a line each, and what the columns mean."""
    figure = results[0]["figure"]
    lines = [
        say(
            f"轮         对 成对率  {figure:<17} 变化 [95%]                 nll 变化  结论",  # a Hanzi is two columns wide
            f"round   pairs  yield  {figure:<17} gain [95%]                 nll rise  verdict",
        )
    ]
    for r in results:
        gain = f"{r['gain']['value']:+.1%} [{r['gain']['low']:+.1%}, {r['gain']['high']:+.1%}]"
        change = f"{r['before']:.1%} -> {r['after']:.1%}"
        lines.append(
            f"{r['round']:<6} {r['pairs']:>6} {r['yield']:>6.1%}  {change:<17} {gain:<26} {r['nll_rise']:>+8.4f}  "
            + say(*verdict(r, gate))
        )
    chinese, english = FIGURES[figure]
    lines.append(
        say(
            f"{figure}：{chinese}，一轮之前 -> 之后；成对率：给出偏好对的要求；nll：没见过的真故事每个词元的 nat，与 SFT 比",
            f"{figure}: {english}, before the round -> after it; yield: requests that gave a pair; nll: nats a token of held-out "
            "true stories, against SFT",
        )
    )
    return "\n".join(lines)
