"""Trained weights set aside in a file of the run's folder: of the last validation that the objective had nothing against, and of
the one with the lowest loss."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import torch

from litgpt_zh.language import say
from litgpt_zh.sampling import unwrap

GUARD, BEST = "guard.ckpt", "best.ckpt"
"""Not named ``.pth``: that is litgpt's own."""


def keep(model: Any, out_dir: Path, step: int, file: str = GUARD, **more: float) -> None:
    """Write the weights that are trained (LoRA: the adapters), whole or not at all."""
    weights = {name: p.detach() for name, p in unwrap(model).named_parameters() if p.requires_grad}
    out_dir.mkdir(parents=True, exist_ok=True)
    beside = out_dir / (file + ".tmp")
    torch.save({"step": step, "model": weights, **more}, beside)
    os.replace(beside, out_dir / file)


def kept(out_dir: Path, file: str) -> dict[str, Any]:
    """What ``keep`` wrote last, weights mapped and not read; empty where there is nothing."""
    path = out_dir / file
    return torch.load(path, map_location="cpu", mmap=True, weights_only=True) if path.is_file() else {}


def restore(model: Any, out_dir: Path, device: torch.device, file: str = GUARD) -> int:
    """Put back what ``keep`` wrote last; returns its step."""
    state = torch.load(out_dir / file, map_location=device, weights_only=True)
    with torch.no_grad():
        for name, parameter in unwrap(model).named_parameters():
            if parameter.requires_grad:
                parameter.copy_(state["model"][name])
    return state["step"]


class Best:
    """The lowest validation loss of a run, and the weights that had it."""

    def __init__(self, out_dir: Path, step: int, first: bool) -> None:
        """
        Args:
            out_dir: the run's folder.
            step: that the run goes on from; what an earlier run left there, or this one after that step, does not count.
            first: whether this process writes.
        """
        self.out_dir, self.first = out_dir, first
        self.loss, self.last, self.step = math.inf, math.inf, 0
        if step == 0:
            if first:
                (out_dir / BEST).unlink(missing_ok=True)
        elif (found := kept(out_dir, BEST)) and found["step"] <= step:
            self.loss, self.step = found["val_loss"], found["step"]

    def offer(self, model: Any, step: int, loss: float) -> None:
        """Set the weights aside if no validation had a lower loss."""
        self.last = loss
        if loss < self.loss:
            self.loss, self.step = loss, step
            if self.first:
                keep(model, self.out_dir, step, BEST, val_loss=loss)

    def take(self, model: Any, device: torch.device) -> str:
        """Put the best weights back; all processes must have passed a barrier since the last ``offer``.

        Returns:
            What to say of it.
        """
        restore(model, self.out_dir, device, BEST)
        return say(
            f"验证损失最低的是第 {self.step} 步：{self.loss:.4f}（最后是 {self.last:.4f}），用那一步的权重",
            f"the lowest validation loss was that of step {self.step}: {self.loss:.4f} (at the end {self.last:.4f})",
        )
