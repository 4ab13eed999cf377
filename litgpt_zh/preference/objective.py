"""What preference optimisation learns: the mean loss over the pairs of a global batch."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

from litgpt_zh import checkpoints
from litgpt_zh.finetune import run
from litgpt_zh.finetune.objective import Metrics, Objective
from litgpt_zh.language import say
from litgpt_zh.preference import guards, held_out
from litgpt_zh.preference.logps import completion_logps
from litgpt_zh.preference.losses import LOSSES, Pairs, metrics
from litgpt_zh.preference.ready import require_ready
from litgpt_zh.preference.reference import FILE, as_reference, key_of, reference
from litgpt_zh.sampling import unwrap
from litgpt_zh.stage import UserError, write_text

GUARD = "guard.json"
"""What the model did with held-out requests before training, in the run's folder."""
START = {"32-true": 1e-3}
"""How far the policy may seem to be from the reference before the first step, in nats; 0.1 in lower precision."""


def train_with(data: Any, module: ModuleType, main: Callable[..., Any], arguments: dict[str, Any]) -> None:
    """Run litgpt's finetune ``main`` over ``data`` (a ``Preference``); see ``finetune.run.train_with``."""
    from litgpt_zh.preference.graded import Graded
    from litgpt_zh.preference.kto import Labelled

    kind = LOSSES[data.loss]
    objective = Labelled(data) if kind.labels else Graded(data) if kind.graded else Preferred(data)
    run.train_with(data, objective, module, main, arguments)


class Preferred(Objective):
    """Losses of pairs."""

    stage = "dpo"

    def __init__(self, data: Any) -> None:
        self.data, self.kind = data, LOSSES[data.loss]
        self.records = Path(data.pairs_dir)
        names = ("seed", "bucket", "max_norm", "min_lr", "loss")
        self.settings = {name: getattr(data, name) for name in names} | data.loss_settings
        self.settings["guard"] = {"stories": data.guard_stories, **vars(data.limits)} if data.guard else None
        self.guarded = data.guard
        self.reference: dict[str, torch.Tensor] | None = None

    def prepare(self, run: Any, fabric: Any, model: Any, call: dict[str, Any]) -> None:
        """What the model is before training: its figures on held-out requests, its log-probabilities of the records.

        Raises:
            UserError: SFT is not good enough.
        """
        self.run, self.file = run, Path(call["out_dir"]) / FILE
        self.precision = str(fabric.strategy.precision.precision)
        if self.precision in ("bf16-true", "16-true"):
            fabric.print(
                say(
                    f"警告：--precision {self.precision} 会把小学习率的更新大多舍掉（0.02 + 0.00003 还是 0.02）；用 bf16-mixed 或 "
                    "32-true",
                    f"warning: --precision {self.precision} rounds most updates of a small learning rate away "
                    "(0.02 + 0.00003 is 0.02); use bf16-mixed or 32-true",
                )
            )
        check = self.data.check_sft and run.step == 0
        if self.guarded or check:
            self._measure_before(run, fabric, model, call)
        if check:
            fabric.print(require_ready(self.data, call["checkpoint_dir"], self.before))
        if self.kind.reference:
            self.reference = reference(run, fabric, model, call, self.others(run, call))

    def _measure_before(self, run: Any, fabric: Any, model: Any, call: dict[str, Any]) -> None:
        """Figures on the held-out requests of the model before training, from the run's folder or measured."""
        records, file = self.data.test_dataset, Path(call["out_dir"]) / GUARD
        self.held = held_out.read(self.data.folder, records, unwrap(model).max_seq_length)
        samples = min(self.data.guard_stories, len(self.held))
        if self.guarded and samples < guards.FEWEST:
            fabric.print(
                say(
                    f"守卫：贪心写的故事只有 {samples} 篇，不到 {guards.FEWEST} 篇，不下判断，只记录",
                    f"guards: {samples} greedy stories are too few to judge (less than {guards.FEWEST}); only logged",
                )
            )
        key = key_of(run.inputs, self.precision, samples)
        known = json.loads(file.read_text("utf-8")) if file.is_file() else {}
        if known.get("key") == key:
            self.before = held_out.Figures.load(known["figures"])
            return
        with as_reference(model, call["checkpoint_dir"] / checkpoints.WEIGHTS, run.step):
            self.before = self._measure(fabric, model)
        if fabric.global_rank == 0:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_text(file, json.dumps({"key": key, "figures": self.before.dump()}))

    def _measure(self, fabric: Any, model: Any) -> held_out.Figures:
        collate = self.data.collator(self.data.test_dataset)
        return held_out.figures_of(fabric, model, collate, self.held, self.data.guard_stories)

    def others(self, run: Any, call: dict[str, Any]) -> dict[str, np.ndarray] | None:
        """See ``reference``."""
        return None

    def require_start(self, differences: torch.Tensor) -> None:
        """Before the first step the policy is the reference: what the loss sees of their difference, in nats, must be 0.

        Raises:
            UserError: it is not.
        """
        if self.run.step:
            return
        most = START.get(self.precision, 0.1)
        if not (found := differences.detach().abs().max().item()) <= most:
            raise UserError(
                f"{self.file}: before the first step the policy is the reference, but a pair's margin is {found:.3g} nats "
                f"(at most {most}); delete the file and run again, or use --precision 32-true"
            )

    def pairs(self, model: Any, micro: dict[str, Any], side: str) -> Pairs:
        """Log-probabilities of a micro batch of ``side``."""
        sums, tokens = completion_logps(model, micro["input_ids"], micro["labels"])
        chosen, rejected = sums.chunk(2)
        chosen_tokens, rejected_tokens = tokens.chunk(2)
        known = self.reference[side][micro["index"]].unbind(1) if self.reference is not None else (None, None)
        return Pairs(chosen, rejected, chosen_tokens, rejected_tokens, *known)

    def known(self, side: str, micro: dict[str, Any]) -> torch.Tensor:
        """The reference's log-probabilities of the answers of a micro batch, (sides * B,)."""
        assert self.reference is not None
        return self.reference[side][micro["index"]].T.reshape(-1)

    def count(self, micros: list[dict[str, Any]]) -> int:
        """Pairs."""
        return sum(len(micro["index"]) for micro in micros)

    def loss(self, model: Any, micro: dict[str, Any]) -> tuple[torch.Tensor, Metrics]:
        """Nats (IPO: squared nats a token), summed over the pairs of the micro batch."""
        pairs = self.pairs(model, micro, "train")
        if self.reference is not None:
            self.require_start(pairs.difference)
        return self._summed(pairs)

    def _summed(self, pairs: Pairs) -> tuple[torch.Tensor, Metrics]:
        settings = self.data.loss_settings
        losses = self.kind.function(pairs, **settings)
        return losses.sum(), {name: values.sum() for name, values in metrics(pairs, settings["beta"]).items()}

    def validate(self, fabric: Any, model: Any, loader: Any, max_iters: int) -> Metrics:
        """Means over the validation pairs, named as in training with ``val_`` before; every pair counts once.

        ``val_nll_rise``: nats a token by which the chosen side is less likely than under the reference.
        """
        totals: Metrics = {}
        count = 0
        for number, batch in enumerate(loader):
            if number >= max_iters:
                break
            pairs = self.pairs(model, batch, "val")
            loss, sums = self._summed(pairs)
            sums = {"loss": loss, **sums}
            if pairs.ref_chosen is not None:
                sums["nll_rise"] = ((pairs.ref_chosen - pairs.chosen) / pairs.chosen_tokens).sum()
            totals = {name: value.double() + totals.get(name, 0.0) for name, value in sums.items()}
            count += len(batch["index"])
        return {f"val_{name}": (value / max(count, 1)).float() for name, value in totals.items()}

    def watch(self, fabric: Any, model: Any) -> Metrics:
        """``val_guard_*``: the held-out requests once more."""
        if not self.guarded:
            return {}
        self.now = self._measure(fabric, model)
        return {f"val_guard_{name}": torch.tensor(v) for name, v in guards.metrics(self.before, self.now).items()}

    def objection(self) -> tuple[str, str] | None:
        """The limit that was passed, in Chinese and in English."""
        return guards.objection(self.before, self.now, self.data.limits)
