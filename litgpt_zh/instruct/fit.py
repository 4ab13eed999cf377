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
from litgpt_zh.instruct.forgetting import METRIC, Forgetting
from litgpt_zh.language import say


def train_with(data: Any, module: ModuleType, main: Callable[..., Any], arguments: dict[str, Any]) -> None:
    """Run litgpt's finetune ``main`` over ``data`` (an ``Instructions``); see ``finetune.run.train_with``."""
    run.train_with(data, Supervised(data), module, main, arguments)


def weights(micro: dict[str, Any], word_weight: float) -> torch.Tensor:
    """What each learnt token counts, float32 (N,): ``word_weight`` in the words its request asks for, 1 elsewhere."""
    learnt = micro["labels"][:, 1:] != IGNORE  # (B, T - 1)
    return torch.where(micro["asked"][:, 1:][learnt], word_weight, 1.0)


def usual_epochs(records: int) -> int:
    """How often published runs of this many records go over them, 1 to 15.

    15 (1000 / records)^0.4: through LIMA (1,000 records, 15 epochs, arXiv 2305.11206) and Alpaca (52,000, 3).
    """
    return max(1, min(15, round(15 * (1000 / max(records, 1)) ** 0.4)))


def epochs_advice(records: int, epochs: int) -> str:
    """One line where a run goes over its records less than half as often as is usual, or more than twice; else empty."""
    usual = usual_epochs(records)
    if usual / 2 <= epochs <= usual * 2:
        return ""
    return say(
        f"sft：{records:,} 条过 {epochs} 遍；通常约 {usual} 遍（docs/sft.md）；合不合适看 val_loss",
        f"sft: {epochs} epochs over {records:,} records; about {usual} are usual (docs/sft.md); val_loss will tell",
    )


class Supervised(Objective):
    """SFT: (weighted) mean cross entropy over all answer tokens of a global batch."""

    stage, in_parallel, compiled = "sft", True, True

    def __init__(self, data: Any) -> None:
        self.data, self.records, self.word_weight = data, Path(data.data_dir), data.word_weight
        names = ("seed", "bucket", "max_norm", "min_lr", "word_weight")
        self.settings = {name: getattr(data, name) for name in names}
        if data.mix or data.replay_share:  # older runs, without a mixture, are still known as the same
            self.settings |= {"mix": data.mix, "in_turn": data.in_turn, "replay_share": data.replay_share}
        if data.train_embeddings:
            self.settings["train_embeddings"] = True
        if not data.keep_best:
            self.settings["keep_best"] = False
        self.inputs = {f"mix {folder}": Path(folder) for folder in data.mix}
        if data.replay_share:
            self.inputs["replay"] = Path(data.pretrain_dir)
        self.keep_best, self.train_embeddings = data.keep_best, data.train_embeddings
        self.forgetting: Forgetting | None = None

    def prepare(self, run: Any, fabric: Any, model: Any, call: dict[str, Any]) -> None:
        """Says how many epochs are usual, and measures the model on pretraining text before it is tuned."""
        parts = self.data.parts
        records = self.data.first + sum(part.count for part in parts) if parts else len(self.data.train_dataset)
        if run.step == 0 and (advice := epochs_advice(records, call["train"].epochs)):
            fabric.print(advice)
        if self.data.pretrain_dir is not None:
            self.forgetting = Forgetting(Path(self.data.pretrain_dir), self.data.tokenizer.processor)
            self.forgetting.begin(fabric, model, call["out_dir"], run.step)

    def watch(self, fabric: Any, model: Any) -> Metrics:
        """Bits per character on pretraining text, where a tokens folder is given."""
        if self.forgetting is None:
            return {}
        value = torch.tensor(self.forgetting.measure(fabric, model))
        fabric.print(f"\n{self.forgetting}")
        return {METRIC: value}

    def counts(self) -> dict[str, float]:
        """Bits per character on pretraining text, before and after."""
        return {} if self.forgetting is None else self.forgetting.counts()

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
