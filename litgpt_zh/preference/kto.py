"""KTO: single answers, wanted or not, each against z, how far the policy has moved from the reference at large.

z is the mean log-ratio of mismatched answers: in a global batch every prompt is followed by the answers of the record
before it (the first by those of the last), as in TRL, which rotates within each device's micro batch. Here z is that of
the GLOBAL batch, from one more forward pass without gradients before its losses, so that a step does not depend on how it
is split. The reference's log-probabilities of these answers are known beforehand, as the batches of every epoch are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from litgpt_zh.finetune.objective import Metrics
from litgpt_zh.preference.logps import completion_logps
from litgpt_zh.preference.losses import kto, kto_kl
from litgpt_zh.preference.objective import Preferred
from litgpt_zh.preference.reference import logps

Batches = list[list[list[int]]]


def before(batches: Batches) -> np.ndarray:
    """Whose answers stand behind each record's prompt: the record before it in its global batch, round in a circle.

    Args:
        batches: global batches of micro batches of record numbers, every record once.

    Returns:
        int64 (records,). A record alone in its batch gets the last one of the batch before.
    """
    flat = [[number for micro in batch for number in micro] for batch in batches]
    found = np.empty(sum(map(len, flat)), dtype=np.int64)
    last = flat[-1][-1]
    for numbers in flat:
        found[numbers] = np.roll(numbers, 1) if len(numbers) > 1 else last
        last = numbers[-1]
    return found


class Labelled(Preferred):
    """KTO, on single answers with labels, or on pairs: each is a wanted and an unwanted answer."""

    def prepare(self, run: Any, fabric: Any, model: Any, call: dict[str, Any]) -> None:
        """As for pairs, and which answers are mismatched in each epoch."""
        self.fabric = fabric
        self.kl = torch.zeros((), device=fabric.device)
        super().prepare(run, fabric, model, call)
        if (advice := self._advice()) and run.step == 0:
            fabric.print(advice)

    def others(self, run: Any, call: dict[str, Any]) -> dict[str, np.ndarray]:
        """``train`` for each epoch the run reaches, and ``val``."""
        plans: list[Batches] = []
        steps = 0
        while steps < run.steps:
            plans.append(self.data.batches(len(plans)))
            steps += len(plans[-1])
        loader = getattr(call["val_dataloader"], "_dataloader", call["val_dataloader"])
        self.partners = {"train": np.stack([before(plan) for plan in plans]), "val": before(loader.batches(0))[None]}
        return self.partners

    def _advice(self) -> str:
        """arXiv 2402.01306, eq. 8: wanted and unwanted answers should weigh as 1 .. 4/3 to 1."""
        records, settings = self.data.train_dataset, self.data.loss_settings
        wanted = sum(sum(records.wanted(n)) for n in range(len(records)))
        unwanted = len(records) * records.sides - wanted
        weight = wanted * settings["desirable_weight"] / max(unwanted * settings["undesirable_weight"], 1e-9)
        if 0.99 <= weight <= 4 / 3 + 0.01:
            return ""
        fit = settings["undesirable_weight"] * unwanted / max(wanted, 1)
        return (
            f"warning: {wanted:,} wanted and {unwanted:,} unwanted answers weigh {weight:.2f} to 1, the paper advises 1 to "
            f"1.33: data.desirable_weight {fit:.2g} to {fit * 4 / 3:.2g}"
        )

    @torch.no_grad()
    def begin_step(self, model: Any, micros: list[dict[str, Any]]) -> None:
        """z of the global batch."""
        groups = [micro["index"].tolist() for micro in micros]
        model.eval()  # no dropout, so nothing is drawn
        self.kl = self._kl(model, "train", groups, self.run.epoch)
        model.train()

    def _kl(self, model: Any, side: str, groups: list[list[int]], epoch: int = 0) -> torch.Tensor:
        assert self.reference is not None
        collate = self.data.collator(self.data.train_dataset if side == "train" else self.data.test_dataset)
        policy = logps(self.fabric, model, collate, groups, self.partners[side][epoch])
        numbers = torch.tensor([number for group in groups for number in group], device=self.kl.device)
        known = self.reference[f"{side}_kl"][epoch, numbers]
        return kto_kl(torch.from_numpy(policy).to(known.device), known)

    def count(self, micros: list[dict[str, Any]]) -> int:
        """Answers."""
        return sum(len(micro["wanted"]) for micro in micros)

    def loss(self, model: Any, micro: dict[str, Any]) -> tuple[torch.Tensor, Metrics]:
        """Between 0 and the answers' weights, summed over the answers of the micro batch."""
        sums, _ = completion_logps(model, micro["input_ids"], micro["labels"])
        known = self.known("train", micro)
        self.require_start(sums - known)
        return self._summed_answers(sums, known, micro["wanted"], self.kl)

    def _summed_answers(
        self, policy: torch.Tensor, known: torch.Tensor, wanted: torch.Tensor, kl: torch.Tensor
    ) -> tuple[torch.Tensor, Metrics]:
        settings = self.data.loss_settings
        weights = settings["desirable_weight"], settings["undesirable_weight"]
        losses = kto(policy, known, wanted, kl, settings["beta"], weights)
        logp = policy.detach()
        reward, sums = settings["beta"] * (logp - known), {"wanted": wanted.sum(), "kl": kl * len(wanted)}
        for side, own in (("chosen", wanted), ("rejected", ~wanted)):
            sums |= {f"rewards/{side}": reward[own].sum(), f"logps/{side}": logp[own].sum()}
        return losses.sum(), sums

    def means(self, sums: Metrics, count: float) -> Metrics:
        """Under TRL's names; those of a side without an answer are NaN."""
        found = {"kl": sums["kl"] / count}
        for side, number in (("chosen", sums["wanted"]), ("rejected", count - sums["wanted"])):
            found |= {name: sums[name] / number for name in (f"rewards/{side}", f"logps/{side}")}
        return {**found, "rewards/margins": found["rewards/chosen"] - found["rewards/rejected"]}

    def validate(self, fabric: Any, model: Any, loader: Any, max_iters: int) -> Metrics:
        """As in training, z and the means over all the validation answers that ``max_iters`` allows."""
        seen: list[tuple[torch.Tensor, ...]] = []
        groups: list[list[int]] = []
        for number, batch in enumerate(loader):
            if number >= max_iters:
                break
            policy, _ = completion_logps(model, batch["input_ids"], batch["labels"])
            seen.append((policy, self.known("val", batch), batch["wanted"]))
            groups.append(batch["index"].tolist())
        kl = self._kl(model, "val", groups)
        policy, known, wanted = (torch.cat(parts) for parts in zip(*seen, strict=True))
        loss, sums = self._summed_answers(policy, known, wanted, kl)
        means = {"loss": loss / len(wanted), **self.means(sums, len(wanted))}
        return {f"val_{name}": value for name, value in means.items()}
