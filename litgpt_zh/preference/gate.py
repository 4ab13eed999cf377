"""Whether a round made the model better, and paid for it nowhere else: a pure function of three score cards.

The cards are those of ``litgpt-zh evaluate_stories`` on the same held-out requests, answered greedily: of the round's model,
of the model it started from (``before``), and of the SFT model, which the guards compare with in every round, so that small
losses do not add up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from litgpt_zh.evaluate import figures
from litgpt_zh.stage import UserError

ASKED = ("words", "features", "summary", "sentence")


@dataclass(frozen=True)
class Gate:
    """What is asked after a round, and what a round is accepted for."""

    count: int = 400
    """Held-out requests."""
    corpus_dir: Path | None = None
    """Of the validation stories of this corpus folder, or of a jsonl file; by default of the story world."""
    seed: int = 246_813_579
    """Of the story world; another one than the training corpus and the pairs were made with."""
    plots: list[str] | None = None
    """Plots of the story world, as in the corpus; all by default."""
    fields: list[str] | None = None
    """Constraint fields that the prompt shows; words by default. All of them must be met (where a rule can tell)."""
    max_new_tokens: int | None = None
    """Of one story; by default to the end of the block."""
    min_gain: float = 0.0
    """Least gain of the share of requests that are met in full, over the round's start."""
    tolerance: float = 0.05
    """The lower end of that gain's 95% interval lies above minus this."""
    max_nll_rise: float = 0.03
    """Most rise of the cross entropy of the held-out true stories over the SFT model, nats a token."""
    max_repetition_rise: float = 0.0
    """Most rise of the mean share of repeated 4-grams above the upper end of the SFT model's 95% interval."""
    max_finished_drop: float = 0.01
    """Most fall of the share of stories that end properly, below the SFT model's."""
    max_length_change: float = 0.15
    """Most change of the mean number of characters, as a share of the SFT model's."""

    def __post_init__(self) -> None:
        for name, low, high in (
            ("count", 2, 10**6), ("min_gain", -1, 1), ("tolerance", 0, 1), ("max_nll_rise", 0, 100),
            ("max_repetition_rise", 0, 1), ("max_finished_drop", 0, 1), ("max_length_change", 0, 100),
        ):  # fmt: skip
            if not low <= getattr(self, name) <= high:
                raise UserError(f"gate.{name}: {getattr(self, name)} is out of range, use {low} to {high}")

    @property
    def asking(self) -> dict[str, Any]:
        """What ``evaluate_stories`` is called with, besides the folders."""
        names = ("count", "corpus_dir", "seed", "plots", "fields", "max_new_tokens")
        return {name: value for name in names if (value := getattr(self, name)) is not None}


def judge(after: Mapping[str, Any], before: Mapping[str, Any], sft: Mapping[str, Any], gate: Gate) -> dict[str, Any]:
    """Accept or refuse a round.

    Args:
        after: the score card of the round's model.
        before: that of the model it started from.
        sft: that of the SFT model.
        gate: what is asked.

    Returns:
        ``accepted``; ``reasons`` against it; ``figure``, ``before``, ``after`` (shares), ``gain`` (with its 95% interval,
        paired bootstrap over the requests); ``nll_rise`` (nats a token); and ``repetition_4``, ``finished``, ``characters``
        with the value after, the SFT model's and the bound.

    Raises:
        UserError: the cards are not of the same requests, or these have no stories.
    """
    if _asked(after) != _asked(before) or _asked(after) != _asked(sft):
        raise UserError("gate: the score cards are of different requests; score all models with the same settings")
    if not all("bits" in card for card in (after, before, sft)):
        raise UserError(
            "gate: the held-out requests have no stories to take the cross entropy of; give records with text"
        )
    if after["bits"]["fields"] != sft["bits"]["fields"]:
        raise UserError(
            f"{sft['checkpoint']}: prompt_style.yaml is missing, so it is no instruction-tuned model; give one"
        )
    new, old = met(after), met(before)
    gain = figures.paired(old, new)
    rise = round(after["bits"]["loss_per_token"] - sft["bits"]["loss_per_token"], 4)
    guards = {
        "repetition_4": _entry(
            after, sft, "repetition_4", sft["intervals"]["repetition_4"]["high"] + gate.max_repetition_rise
        ),
        "finished": _entry(after, sft, "finished", share(sft, "finished") - gate.max_finished_drop),
        "characters": _entry(after, sft, "characters", gate.max_length_change),
    }
    numbers = {"gain": gain, "nll_rise": rise, **guards}
    reasons = [english for _, english in objections(numbers, gate)]
    return {
        "accepted": not reasons,
        "reasons": reasons,
        "figure": "words_all" if after["fields"] == ["words"] else "constraints_all",
        "before": round(float(old.mean()), 4),
        "after": round(float(new.mean()), 4),
        **numbers,
    }


def objections(result: Mapping[str, Any], gate: Gate) -> Iterator[tuple[str, str]]:
    """What a round's figures (see ``judge``) have against it, each in Chinese and in English."""
    gain, rise = result["gain"], result["nll_rise"]
    repeated, finished, characters = (result[name] for name in ("repetition_4", "finished", "characters"))
    change = characters["after"] / max(characters["sft"], 1e-9) - 1
    if gain["value"] < gate.min_gain:
        yield (
            f"照做的比例变化 {gain['value']:+.3f}，不到 {gate.min_gain:+.3f}",
            f"gain {gain['value']:+.3f} is below {gate.min_gain:+.3f}",
        )
    if gain["low"] <= -gate.tolerance:
        yield (
            f"照做的比例变化可能低到 {gain['low']:+.3f}（容许 {gate.tolerance}）",
            f"gain may be as low as {gain['low']:+.3f} (tolerance {gate.tolerance})",
        )
    if not rise <= gate.max_nll_rise:  # NaN too
        yield (
            f"真故事每个词元 {rise:+.3f} nat（至多 {gate.max_nll_rise:+.3f}）",
            f"true stories {rise:+.3f} nats a token (at most {gate.max_nll_rise:+.3f})",
        )
    if repeated["after"] > repeated["bound"]:
        yield (
            f"四字重复 {repeated['after']:.4f}（至多 {repeated['bound']:.4f}）",
            f"repetition {repeated['after']:.4f} (at most {repeated['bound']:.4f})",
        )
    if finished["after"] < finished["bound"]:
        yield (
            f"自己结束的 {finished['after']:.3f}（至少 {finished['bound']:.3f}）",
            f"finished {finished['after']:.3f} (at least {finished['bound']:.3f})",
        )
    if abs(change) > gate.max_length_change:
        yield (
            f"长度 {change:+.0%}（至多差 {gate.max_length_change:.0%}）",
            f"length {change:+.0%} (within {gate.max_length_change:.0%})",
        )


def too_far(result: Mapping[str, Any], gate: Gate) -> bool:
    """Whether a round was refused, but not for its gain: for what it lost against the SFT model."""
    return (
        not result["accepted"] and result["gain"]["value"] >= gate.min_gain and result["gain"]["low"] > -gate.tolerance
    )


def verdict(result: Mapping[str, Any], gate: Gate) -> tuple[str, str]:
    """What became of a round, in Chinese and in English."""
    early = ("（训练被守卫停下）", " (training stopped by its guard)") if "stopped" in result else ("", "")
    if "average" in result:
        mixed = f"（与 SFT 平均，占 {result['average']:g}）", f" (averaged with SFT, share {result['average']:g})"
        early = mixed[0] + early[0], mixed[1] + early[1]
    if result["accepted"]:
        return "通过" + early[0], "accepted" + early[1]
    chinese, english = zip(*objections(result, gate), strict=True)
    return "没有通过：" + "；".join(chinese) + early[0], "refused: " + "; ".join(english) + early[1]


def met(card: Mapping[str, Any]) -> np.ndarray:
    """Which requests are met in full, as far as rules can tell: float64 (N,), 0 or 1."""
    return np.array([all(value is not False for value in s["met"].values()) for s in card["samples"]], dtype=float)


def share(card: Mapping[str, Any], name: str) -> float:
    """A figure of a score card."""
    value = card["figures"][name]
    return value["value"] if isinstance(value, dict) else value


def _entry(after: Mapping[str, Any], sft: Mapping[str, Any], name: str, bound: float) -> dict[str, float]:
    return {"after": share(after, name), "sft": share(sft, name), "bound": round(bound, 4)}


def _asked(card: Mapping[str, Any]) -> list[list[Any]]:
    return [[sample.get(name) for name in ASKED] for sample in card["samples"]]
