"""GRPO: what the training learns from all samples of a request, each with its advantage over the others."""

from __future__ import annotations

from typing import Any

import torch

from litgpt_zh.finetune.objective import Metrics
from litgpt_zh.preference.logps import completion_logps
from litgpt_zh.preference.losses import grpo
from litgpt_zh.preference.objective import Preferred


class Graded(Preferred):
    """Single answers with advantages; see ``losses.grpo``."""

    def loss(self, model: Any, micro: dict[str, Any]) -> tuple[torch.Tensor, Metrics]:
        """Summed over the answers of the micro batch; no unit."""
        sums, tokens = completion_logps(model, micro["input_ids"], micro["labels"])
        known = self.known("train", micro)
        self.require_start(sums - known)
        return self._summed_answers(sums, known, tokens, self._advantages("train", micro))

    def _advantages(self, side: str, micro: dict[str, Any]) -> torch.Tensor:
        records = self.data.train_dataset if side == "train" else self.data.test_dataset
        return torch.from_numpy(records.labels)[micro["index"].cpu()].to(micro["input_ids"].device)

    def _summed_answers(
        self, policy: torch.Tensor, known: torch.Tensor, tokens: torch.Tensor, advantages: torch.Tensor
    ) -> tuple[torch.Tensor, Metrics]:
        epsilon = self.data.loss_settings["epsilon"]
        losses = grpo(policy, known, tokens, advantages, epsilon)
        moved = ((policy - known) / tokens).detach()
        over = torch.where(advantages > 0, moved.exp() > 1 + epsilon, moved.exp() < 1 - epsilon)
        return losses.sum(), {
            "clip_ratio": over.float().sum(),
            "logps/better_per_token": (moved * (advantages > 0)).sum(),
            "logps/worse_per_token": (moved * (advantages < 0)).sum(),
        }

    def validate(self, fabric: Any, model: Any, loader: Any, max_iters: int) -> Metrics:
        """Means over the validation answers, as in training."""
        totals: Metrics = {}
        count = 0
        for number, batch in enumerate(loader):
            if number >= max_iters:
                break
            sums, tokens = completion_logps(model, batch["input_ids"], batch["labels"])
            loss, found = self._summed_answers(sums, self.known("val", batch), tokens, self._advantages("val", batch))
            totals = {k: v.double() + totals.get(k, 0.0) for k, v in {"loss": loss, **found}.items()}
            count += len(batch["index"])
        return {f"val_{name}": (value / max(count, 1)).float() for name, value in totals.items()}
