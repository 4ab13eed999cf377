"""The data class of preference optimisation: ``data.class_path`` for litgpt's ``finetune_full`` and ``finetune_lora``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from litgpt_zh.instruct.tokenised import TokenisedRecords
from litgpt_zh.preference.dataset import AnswerRecords, PairCollate, PairRecords
from litgpt_zh.preference.guards import Limits
from litgpt_zh.preference.losses import LOSSES
from litgpt_zh.preference.stage import STAGE
from litgpt_zh.stage import Manifest, UserError

_LOW = ("label_smoothing", "gamma", "nll_weight")
_POSITIVE = ("beta", "desirable_weight", "undesirable_weight", "epsilon")
LEAST = 4
"""Answers in a global batch, for KTO: of fewer, z says nothing (arXiv 2402.01306)."""


@dataclass
class Preference(TokenisedRecords):
    """Records made by ``litgpt-zh pairs`` or ``litgpt-zh sample_pairs``; the loss is on the answers only."""

    pairs_dir: Path = Path("data/pairs")
    """A folder made by ``litgpt-zh pairs`` or ``litgpt-zh sample_pairs``."""
    loss: Literal["dpo", "cdpo", "robust", "hinge", "ipo", "simpo", "orpo", "rpo", "kto", "grpo"] = "dpo"
    """Formulas and papers: ``litgpt_zh/preference/losses.py``. ``kto`` takes single answers with labels as well as pairs,
    ``grpo`` all samples of a request with their advantages (``sample_pairs --kind graded``)."""
    beta: float | None = None
    """How strongly the model is held to the reference; by default a value to start from, as ``LOSSES`` has it."""
    label_smoothing: float | None = None
    """cdpo, robust: the share of pairs that are taken to be the wrong way round."""
    gamma: float | None = None
    """simpo: the margin."""
    nll_weight: float | None = None
    """rpo: weight of the chosen side's cross entropy."""
    desirable_weight: float | None = None
    """kto: weight of the wanted answers."""
    undesirable_weight: float | None = None
    """kto: weight of the unwanted answers."""
    epsilon: float | None = None
    """grpo: how far the ratio of new to old probability (a token's, in the geometric mean) may move from 1."""
    guard: bool = True
    """Compare the model at every validation with what it was before training, on held-out requests; where a limit below is
    passed, stop and go back to the last good validation. False turns them all off."""
    guard_stories: int = 64
    """Held-out requests that are answered greedily at every validation; 0 leaves only ``max_nll_rise``."""
    max_nll_rise: float | None = 0.03
    """Nats a token by which the true held-out stories may become less likely. null never stops, here and below."""
    max_repetition_rise: float | None = 0.0
    """How far the share of repeated 4-grams may go above the 95% interval of what it was."""
    max_end_drop: float | None = 0.01
    """How much smaller the share of stories that end by themselves may become."""
    max_length_change: float | None = 0.15
    """By what share the mean length may change, either way."""
    check_sft: bool = True
    """Refuse a model that SFT has not made good enough for this (the two settings below). False trains it all the same."""
    min_words_all: float = 0.1
    """Least share of the held-out requests whose words must all be in the greedy story."""
    min_yield: float = 0.1
    """Least share of the requests that gave a pair, of ``litgpt-zh sample_pairs``."""

    stage = STAGE

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.loss not in LOSSES:
            raise UserError(f"data.loss: there is no loss {self.loss}; choose from {', '.join(LOSSES)}")
        own = LOSSES[self.loss].settings
        for name in (*_LOW, *_POSITIVE):
            value = getattr(self, name)
            if value is not None and name not in own:
                raise UserError(f"data.{name}: loss {self.loss} has none; leave it out")
            if value is not None and not (value > 0 if name in _POSITIVE else value >= 0):
                raise UserError(f"data.{name}: {value} is too small; use more than 0")
        for name in (*vars(self.limits), "guard_stories", "min_words_all", "min_yield"):
            if not (getattr(self, name) or 0) >= 0:
                raise UserError(f"data.{name}: {getattr(self, name)} is too small; use 0 or more")
        if (self.label_smoothing or 0) >= 0.5:
            raise UserError(f"data.label_smoothing: {self.label_smoothing}; half or more wrong pairs teach nothing")

    @property
    def loss_settings(self) -> dict[str, float]:
        """What the loss takes besides the log-probabilities."""
        given = {name: getattr(self, name) for name in LOSSES[self.loss].settings}
        return {name: LOSSES[self.loss].settings[name] if value is None else value for name, value in given.items()}

    @property
    def limits(self) -> Limits:
        """How far the figures of the guards may move."""
        return Limits(**{field.name: getattr(self, field.name) for field in fields(Limits)})

    def train_with(self, module: ModuleType, main: Callable[..., Any], arguments: dict[str, Any]) -> None:
        """Called by ``loops`` in place of litgpt's ``main``: our finetuning loop over these pairs.

        Raises:
            UserError: the model's block size is smaller than the longest pair, or what ``objective.train_with`` refuses.
        """
        from litgpt_zh.preference import objective

        self.require_room(arguments["config"].block_size, "the model's block_size is")
        objective.train_with(self, module, main, arguments)

    @property
    def folder(self) -> Path:
        return Path(self.pairs_dir)

    @property
    def sequences(self) -> int:  # type: ignore[override]
        """Sequences a record puts into a micro batch."""
        return self.train_dataset.sides

    def global_batch(self, size: int, rank: int = 0, world: int = 1) -> None:
        """See ``TokenisedRecords.global_batch``.

        Raises:
            UserError: too few answers for KTO.
        """
        answers = 2 if _form(self._checked(self.folder)) == "pairs" else 1
        if LOSSES[self.loss].labels and size * answers < LEAST:
            raise UserError(
                f"train.global_batch_size: {size * answers} answers a step; loss {self.loss} estimates how far the model has "
                f"moved from those of a step and needs {LEAST}: use {LEAST // answers} or more"
            )
        super().global_batch(size, rank, world)

    def open(self, folder: Path, side: str, processor: Any) -> PairRecords:
        """
        Raises:
            UserError: the folder holds something else than what the loss learns from.
        """
        form, kind = _form(folder), LOSSES[self.loss]
        if kind.graded != (form == "graded"):
            raise UserError(
                f"{folder}: holds {form} records, loss {self.loss} learns from "
                + (
                    "graded ones; run `litgpt-zh sample_pairs` with --kind graded"
                    if kind.graded
                    else "others; use grpo"
                )
            )
        if form == "unpaired" and not kind.labels:
            raise UserError(
                f"{folder}: holds single answers, not pairs; use data.loss: kto, or run `litgpt-zh pairs` with --form pairs"
            )
        return (PairRecords if form == "pairs" else AnswerRecords)(folder, side, processor)

    def collator(self, records: PairRecords) -> PairCollate:
        return PairCollate(records)


def _form(folder: Path) -> str:
    """``pairs``, ``unpaired`` or ``graded``."""
    return Manifest.read(folder).settings["form"]
