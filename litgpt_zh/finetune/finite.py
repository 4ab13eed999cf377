"""Losses and gradients that are no numbers, noticed without making the device wait at every step."""

from __future__ import annotations

import torch

from litgpt_zh.runlog import Diverged


class Finite:
    """Remembers the first step with a loss or gradient that is infinite or NaN."""

    def __init__(self, device: torch.device) -> None:
        self._first = torch.zeros((), dtype=torch.int64, device=device)  # 0: none

    def note(self, step: int, *values: torch.Tensor | None) -> None:
        """Look at the scalars of step number ``step`` (from 1 on)."""
        for value in values:
            if value is not None:
                bad = (self._first == 0) & ~torch.isfinite(value.detach())
                self._first = torch.where(bad, step, self._first)

    def require(self) -> None:
        """Waits for the device; to be called before anything is written.

        Raises:
            Diverged: there was such a step.
        """
        if step := int(self._first.item()):
            raise Diverged(
                f"step {step}: the loss or its gradient is not a finite number, and no weights were written since; "
                "start over (--resume false) with a smaller learning rate, or with --precision 32-true"
            )
