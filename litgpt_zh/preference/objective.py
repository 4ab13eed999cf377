"""What preference optimisation learns: the mean loss over the pairs of a global batch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from litgpt_zh.finetune import run
from litgpt_zh.finetune.objective import Metrics
from litgpt_zh.preference.logps import completion_logps
from litgpt_zh.preference.losses import LOSSES, Pairs, metrics
from litgpt_zh.preference.reference import FILE, reference
from litgpt_zh.stage import UserError

START = {"32-true": 1e-3}
"""How far the policy may seem to be from the reference before the first step, in nats; 0.1 in lower precision."""


def train_with(data: Any, module: ModuleType, main: Callable[..., Any], arguments: dict[str, Any]) -> None:
    """Run litgpt's finetune ``main`` over ``data`` (a ``Preference``); see ``finetune.run.train_with``."""
    run.train_with(data, Preferred(data), module, main, arguments)


class Preferred:
    """The ``Objective`` of preference optimisation."""

    stage = "dpo"

    def __init__(self, data: Any) -> None:
        self.data, self.kind = data, LOSSES[data.loss]
        self.records = Path(data.pairs_dir)
        names = ("seed", "bucket", "max_norm", "min_lr", "loss", "max_nll_rise")
        self.settings = {name: getattr(data, name) for name in names} | data.loss_settings
        self.reference: dict[str, torch.Tensor] | None = None

    @property
    def guarded(self) -> bool:
        return self.data.max_nll_rise is not None

    def prepare(self, run: Any, fabric: Any, model: Any, call: dict[str, Any]) -> None:
        """The reference's log-probabilities; then, before the first step, that the policy is the reference.

        Raises:
            UserError: it is not.
        """
        precision = str(fabric.strategy.precision.precision)
        if precision in ("bf16-true", "16-true"):
            fabric.print(
                f"warning: --precision {precision} rounds most updates of a small learning rate away "
                "(0.02 + 0.00003 is 0.02); use bf16-mixed or 32-true"
            )
        if self.kind.reference or self.guarded:
            self.reference = reference(run, fabric, model, call)
        if self.kind.reference and run.step == 0:
            self._check_start(fabric, model, Path(call["out_dir"]), START.get(precision, 0.1))

    @torch.no_grad()
    def _check_start(self, fabric: Any, model: Any, out_dir: Path, most: float) -> None:
        model.eval()
        for numbers in self.data.batches(0)[0]:
            pairs = self.pairs(model, fabric.to_device(self.data.collate(numbers)), "train")
            if not (found := pairs.difference.abs().max().item()) <= most:
                raise UserError(
                    f"{out_dir / FILE}: before the first step the policy is the reference, but a pair's margin is "
                    f"{found:.3g} nats (at most {most}); delete the file and run again, or use --precision 32-true"
                )
        model.train()

    def pairs(self, model: Any, micro: dict[str, Any], side: str) -> Pairs:
        """Log-probabilities of a micro batch of ``side``."""
        sums, tokens = completion_logps(model, micro["input_ids"], micro["labels"])
        chosen, rejected = sums.chunk(2)
        chosen_tokens, rejected_tokens = tokens.chunk(2)
        known = self.reference[side][micro["index"]].unbind(1) if self.reference is not None else (None, None)
        return Pairs(chosen, rejected, chosen_tokens, rejected_tokens, *known)

    def count(self, micros: list[dict[str, Any]]) -> int:
        """Pairs."""
        return sum(len(micro["index"]) for micro in micros)

    def loss(self, model: Any, micro: dict[str, Any]) -> tuple[torch.Tensor, Metrics]:
        """Nats (IPO: squared nats a token), summed over the pairs of the micro batch."""
        return self._summed(self.pairs(model, micro, "train"))

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

    def objection(self, found: Metrics) -> str | None:
        """Why a run with these validation figures should stop."""
        most, rise = self.data.max_nll_rise, found["val_nll_rise"].item()
        if most is None or rise <= most:
            return None
        return f"the chosen side of validation is {rise:.4f} nats a token less likely than before (max_nll_rise {most})"
