"""What preference optimisation must not cost: figures of a model on held-out requests, against those before training.

Pure functions. A drop in a figure of samples counts when it is larger than the limit AND the paired 95% interval over the
requests (the same ones, answered by both models) leaves no doubt about its direction: of 64 stories one is 1.6 points.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from litgpt_zh.evaluate.figures import ratio
from litgpt_zh.preference.held_out import Figures

FEWEST = 30
"""Samples; of fewer nothing is concluded."""


@dataclass(frozen=True)
class Limits:
    """How far each figure may move; None lets it."""

    max_nll_rise: float | None
    max_repetition_rise: float | None
    max_end_drop: float | None
    max_length_change: float | None


def nll_rise(before: Figures, now: Figures) -> float:
    """Nats a token by which the true stories are less likely than before."""
    return float((now.nll.sum() - before.nll.sum()) / max(before.tokens.sum(), 1))


def metrics(before: Figures, now: Figures) -> dict[str, float]:
    """What is logged, without the prefix ``val_guard_``."""
    found = {"nll_rise": nll_rise(before, now)} if len(now.nll) else {}
    if len(now.ended):
        found |= {"repetition_4": float(now.repetition.mean()), "ended": float(now.ended.mean())}
        found |= {"characters": float(now.characters.mean())}
    if len(now.words):
        found["words_all"] = float(now.words.mean())
    return found


def objection(before: Figures, now: Figures, limits: Limits) -> tuple[str, str] | None:
    """The first limit that is passed, in Chinese and in English; None where all hold."""
    if limits.max_nll_rise is not None and (rise := nll_rise(before, now)) > limits.max_nll_rise:
        return (
            f"没见过的真故事每个词元比训练之前多花 {rise:.4f} nat（max_nll_rise {limits.max_nll_rise}）",
            f"held-out true stories are {rise:.4f} nats a token less likely than before (max_nll_rise "
            f"{limits.max_nll_rise})",
        )
    if len(now.ended) < FEWEST:
        return None
    return _repetition(before, now, limits) or _ended(before, now, limits) or _length(before, now, limits)


def _repetition(before: Figures, now: Figures, limits: Limits) -> tuple[str, str] | None:
    if limits.max_repetition_rise is None:
        return None
    one = np.ones_like(before.repetition)
    high, mean = ratio(before.repetition, one)["high"], now.repetition.mean()
    if mean <= high + limits.max_repetition_rise or ratio(now.repetition - before.repetition, one)["low"] <= 0:
        return None
    return (
        f"贪心写的故事里 {mean:.1%} 的四字串重复，训练之前是 {before.repetition.mean():.1%}，区间上端 {high:.1%}"
        f"（max_repetition_rise {limits.max_repetition_rise}）",
        f"{mean:.1%} of the 4-grams in greedy stories repeat, {before.repetition.mean():.1%} before, where the interval "
        f"ends at {high:.1%} (max_repetition_rise {limits.max_repetition_rise})",
    )


def _ended(before: Figures, now: Figures, limits: Limits) -> tuple[str, str] | None:
    if limits.max_end_drop is None:
        return None
    drop = ratio(before.ended - now.ended, np.ones_like(now.ended))
    if drop["value"] <= limits.max_end_drop or drop["low"] <= 0:
        return None
    return (
        f"贪心写的故事 {now.ended.mean():.1%} 自己结束，训练之前是 {before.ended.mean():.1%}（max_end_drop {limits.max_end_drop}）",
        f"{now.ended.mean():.1%} of greedy stories end by themselves, {before.ended.mean():.1%} before (max_end_drop "
        f"{limits.max_end_drop})",
    )


def _length(before: Figures, now: Figures, limits: Limits) -> tuple[str, str] | None:
    if limits.max_length_change is None or not before.characters.sum():
        return None
    change = ratio(now.characters, before.characters)
    sure = change["low"] > 1 or change["high"] < 1
    if abs(change["value"] - 1) <= limits.max_length_change or not sure:
        return None
    return (
        f"贪心写的故事平均 {now.characters.mean():.0f} 字，训练之前 {before.characters.mean():.0f} 字"
        f"（max_length_change {limits.max_length_change}）",
        f"greedy stories have {now.characters.mean():.0f} characters, {before.characters.mean():.0f} before "
        f"(max_length_change {limits.max_length_change})",
    )
