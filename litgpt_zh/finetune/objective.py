"""What differs between SFT and preference optimisation: the small part that the loop is given."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

Metrics = dict[str, torch.Tensor]
MicroBatch = dict[str, Any]


class Objective:
    """What a run of the loop learns."""

    stage: str
    """``sft``, ``dpo``; LoRA runs are ``<stage>-lora``."""
    records: Path
    """The folder the data comes from, an input of the run."""
    settings: dict[str, Any]
    """All fields of the data class that change the result."""
    inputs: Mapping[str, Path] = {}
    """Further folders the data comes from."""
    in_parallel = False
    """Whether its sums may be added up over several processes, each with its share of the batch."""
    compiled = False
    """Whether long runs of all parameters compile the blocks (``compiling.compile_blocks``)."""
    train_embeddings = False
    """Whether LoRA learns input embedding and output head too (``finetune.embedding``)."""
    keep_best = False
    """Whether the weights with the lowest ``val_loss`` are those of ``final/``."""

    def prepare(self, run: Any, fabric: Any, model: Any, call: dict[str, Any]) -> None:
        """Before the first step, and before the first after a resume (``run.step`` tells which)."""

    def begin_step(self, model: Any, micros: list[MicroBatch]) -> None:
        """Before the losses of a global batch: what they share."""

    def count(self, micros: list[MicroBatch]) -> float:
        """What the loss of a global batch is the mean over."""
        raise NotImplementedError

    def loss(self, model: Any, micro: MicroBatch) -> tuple[torch.Tensor, Metrics]:
        """Summed loss of a micro batch, with its graph, and summed metrics without one; the loop divides by ``count``."""
        raise NotImplementedError

    def means(self, sums: Metrics, count: float) -> Metrics:
        """The metrics of a global batch; one that has no value there is NaN."""
        return {name: value / count for name, value in sums.items()}

    def validate(self, fabric: Any, model: Any, loader: Any, max_iters: int) -> Metrics:
        """Means over the validation set, ``val_loss`` among them; the model is in eval mode, without gradients."""
        raise NotImplementedError

    def watch(self, fabric: Any, model: Any) -> Metrics:
        """Further figures of each validation, for ``objection``; the model is in eval mode, without gradients."""
        return {}

    def objection(self) -> tuple[str, str] | None:
        """Why the model that was watched last should not be trained any further, in Chinese and in English."""
        return None

    def counts(self) -> dict[str, float]:
        """Figures of the run for its manifest."""
        return {}

    guarded = False
    """Whether ``objection`` can object at all."""
