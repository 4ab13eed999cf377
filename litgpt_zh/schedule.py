"""The learning rate of every optimizer step, in pretraining and finetuning alike."""

from __future__ import annotations

import math
from typing import Any, Literal

from litgpt_zh.language import say
from litgpt_zh.stage import UserError

Schedule = Literal["cosine", "wsd"]


def learning_rate(step: int, peak: float, warmup: int, steps: int, floor: float, decay_share: float = 0.0) -> float:
    """Linear warm-up, then down to ``floor``; never above the peak, never climbing again.

    Args:
        step: optimizer steps already done, 0 .. steps - 1. The first step already learns (peak / warmup).
        peak: the optimizer's learning rate.
        warmup: steps of warm-up; 0 means none.
        steps: steps in all; whatever comes after them stays at ``floor``.
        floor: the rate of the last step; a floor above the peak is the peak.
        decay_share: 0 for a cosine over all steps after the warm-up; otherwise the rate stays at the peak and falls in a
            straight line over this share of the steps, at their end (warm-up, stable, decay: arXiv 2405.18392).
    """
    floor = min(floor, peak)
    if step < warmup:
        return peak * (step + 1) / warmup
    if decay_share:
        falling = max(1, min(round(decay_share * steps), steps - warmup))
        share = min(1.0, max(0, steps - 1 - step) / falling)
        return floor + (peak - floor) * share
    done = (step - warmup + 1) / max(1, steps - warmup)
    return floor + (peak - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def fitted_warmup(wanted: int, steps: int) -> int:
    """Warm-up steps that leave something to learn: a warm-up as long as the run becomes a tenth of it."""
    return wanted if wanted < steps else steps // 10


def warmup_told(wanted: int, fitted: int, steps: int) -> str:
    """One line for a run whose warm-up was too long for it."""
    return say(
        f"lr_warmup_steps {wanted} -> {fitted}：这次训练只有 {steps} 步",
        f"lr_warmup_steps {wanted} -> {fitted}: the run has {steps} steps",
    )


def check(schedule: str, decay_share: float) -> None:
    """Refuse what is no schedule.

    Raises:
        UserError: names the setting.
    """
    if schedule not in ("cosine", "wsd"):
        raise UserError(f"data.schedule: {schedule!r} is not known; use cosine or wsd")
    if not 0 < decay_share <= 1:
        raise UserError(
            f"data.decay_share: {decay_share} is not a share of the run; use a number in (0, 1], such as 0.2"
        )


def share_of(data: Any) -> float:
    """``decay_share`` as ``learning_rate`` wants it, of a data class with the two fields."""
    return data.decay_share if data.schedule == "wsd" else 0.0


def settings_of(data: Any) -> dict[str, Any]:
    """What belongs into the plan of a run: nothing for the default, so that older runs are still known as the same."""
    return {} if data.schedule == "cosine" else {"schedule": data.schedule, "decay_share": data.decay_share}
