"""The learning rate of every step."""

from __future__ import annotations

import math


def learning_rate(step: int, peak: float, warmup: int, steps: int, floor: float) -> float:
    """Linear warm-up, then cosine to ``floor``; never above the peak, never climbing again.

    Args:
        step: optimizer steps already done, 0 .. steps - 1. The first step already learns (peak / warmup).
        peak: the optimizer's learning rate.
        warmup: steps of warm-up; 0 means none.
        steps: steps in all.
        floor: the rate of the last step.
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    done = (step - warmup + 1) / max(1, steps - warmup)
    return floor + (peak - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
