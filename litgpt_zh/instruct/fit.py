"""What SFT learns: the next token of every answer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from litgpt_zh.finetune import run
from litgpt_zh.finetune.head import token_nll
from litgpt_zh.finetune.objective import Metrics, Objective
from litgpt_zh.instruct.dataset import IGNORE


def train_with(data: Any, module: ModuleType, main: Callable[..., Any], arguments: dict[str, Any]) -> None:
    """Run litgpt's finetune ``main`` over ``data`` (an ``Instructions``); see ``finetune.run.train_with``."""
    run.train_with(data, Supervised(data), module, main, arguments)


def weights(micro: dict[str, Any], word_weight: float) -> torch.Tensor:
    """What each learnt token counts, float32 (N,): ``word_weight`` in the words its request asks for, 1 elsewhere."""
    learnt = micro["labels"][:, 1:] != IGNORE  # (B, T - 1)
    return torch.where(micro["asked"][:, 1:][learnt], word_weight, 1.0)


class Supervised(Objective):
    """SFT: (weighted) mean cross entropy over all answer tokens of a global batch."""

    stage = "sft"

    def __init__(self, data: Any) -> None:
        self.records, self.word_weight = Path(data.data_dir), data.word_weight
        names = ("seed", "bucket", "max_norm", "min_lr", "word_weight")
        self.settings = {name: getattr(data, name) for name in names}

    def count(self, micros: list[dict[str, Any]]) -> float:
        """Target tokens, each as often as it counts."""
        return sum(weights(micro, self.word_weight).sum().item() for micro in micros)

    def loss(self, model: Any, micro: dict[str, Any]) -> tuple[torch.Tensor, Metrics]:
        """Weighted nats, summed over the micro batch."""
        nll, _ = token_nll(model, micro["input_ids"], micro["labels"])
        return (nll * weights(micro, self.word_weight)).sum(), {}

    def validate(self, fabric: Any, model: Any, loader: Any, max_iters: int) -> Metrics:
        """Loss over the validation set in nats per target token: every token counts once, whatever the batches."""
        total, count = torch.zeros((), device=fabric.device, dtype=torch.float64), 0
        for number, batch in enumerate(loader):
            if number >= max_iters:
                break
            nll, _ = token_nll(model, batch["input_ids"], batch["labels"])
            total, count = total + nll.sum(), count + len(nll)
        return {"val_loss": (total / max(count, 1)).float()}
