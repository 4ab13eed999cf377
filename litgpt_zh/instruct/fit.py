"""What SFT learns: the next token of every answer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F

from litgpt_zh.finetune import run
from litgpt_zh.finetune.loop import learning_rate as learning_rate
from litgpt_zh.finetune.objective import Metrics


def train_with(data: Any, module: ModuleType, main: Callable[..., Any], arguments: dict[str, Any]) -> None:
    """Run litgpt's finetune ``main`` over ``data`` (an ``Instructions``); see ``finetune.run.train_with``."""
    run.train_with(data, Supervised(data), module, main, arguments)


def token_losses(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Summed cross entropy of the next token, nats, over targets that are not -100. Shapes (B, T, V) and (B, T)."""
    return F.cross_entropy(
        logits[:, :-1].flatten(0, 1).float(), labels[:, 1:].flatten(), ignore_index=-100, reduction="sum"
    )


def targets(labels: torch.Tensor) -> int:
    """How many tokens of a micro batch (B, T) are learnt."""
    return int((labels[:, 1:] != -100).sum())


class Supervised:
    """The ``Objective`` of SFT: mean cross entropy over all answer tokens of a global batch."""

    stage, guarded = "sft", False

    def __init__(self, data: Any) -> None:
        self.records = Path(data.data_dir)
        self.settings = {name: getattr(data, name) for name in ("seed", "bucket", "max_norm", "min_lr")}

    def prepare(self, run: Any, fabric: Any, model: Any, call: dict[str, Any]) -> None:
        """Nothing to prepare."""

    def count(self, micros: list[dict[str, Any]]) -> int:
        """Target tokens."""
        return sum(targets(micro["labels"]) for micro in micros)

    def loss(self, model: Any, micro: dict[str, Any]) -> tuple[torch.Tensor, Metrics]:
        """Nats, summed over the micro batch."""
        return token_losses(model(micro["input_ids"]), micro["labels"]), {}

    def validate(self, fabric: Any, model: Any, loader: Any, max_iters: int) -> Metrics:
        """Loss over the validation set in nats per target token: every token counts once, whatever the batches."""
        total, count = torch.zeros((), device=fabric.device, dtype=torch.float64), 0
        for number, batch in enumerate(loader):
            if number >= max_iters:
                break
            total += token_losses(model(batch["input_ids"]), batch["labels"])
            count += targets(batch["labels"])
        return {"val_loss": (total / max(count, 1)).float()}

    def objection(self, found: Metrics) -> str | None:
        """None: nothing is guarded."""
        return None
