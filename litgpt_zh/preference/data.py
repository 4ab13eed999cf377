"""The data class of preference optimisation: ``data.class_path`` for litgpt's ``finetune_full`` and ``finetune_lora``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from litgpt_zh.instruct.tokenised import TokenisedRecords
from litgpt_zh.preference.dataset import PairCollate, PairRecords
from litgpt_zh.preference.losses import LOSSES
from litgpt_zh.preference.stage import STAGE
from litgpt_zh.stage import Manifest, UserError

_LOW = {"beta": 0.0, "label_smoothing": 0.0, "gamma": 0.0, "nll_weight": 0.0}


@dataclass
class Preference(TokenisedRecords):
    """Pairs made by ``litgpt-zh pairs`` or ``litgpt-zh sample_pairs``; the loss is on the answers only."""

    pairs_dir: Path = Path("data/pairs")
    """A folder made by ``litgpt-zh pairs`` or ``litgpt-zh sample_pairs``."""
    loss: Literal["dpo", "cdpo", "robust", "hinge", "ipo", "simpo", "orpo", "rpo"] = "dpo"
    """Formulas and papers: ``litgpt_zh/preference/losses.py``."""
    beta: float | None = None
    """How strongly the model is held to the reference; by default a value to start from, as ``LOSSES`` has it."""
    label_smoothing: float | None = None
    """cdpo, robust: the share of pairs that are taken to be the wrong way round."""
    gamma: float | None = None
    """simpo: the margin."""
    nll_weight: float | None = None
    """rpo: weight of the chosen side's cross entropy."""
    max_nll_rise: float | None = None
    """Stop, and go back to the last good validation, when the chosen side of the validation pairs has become this much
    less likely than before training (nats a token; 0.03 is a start). None never stops."""

    stage = STAGE
    sequences = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.loss not in LOSSES or LOSSES[self.loss].labels:
            names = ", ".join(name for name, row in LOSSES.items() if not row.labels)
            raise UserError(f"data.loss: {self.loss} does not learn from pairs; choose from {names}")
        own = LOSSES[self.loss].settings
        for name, low in _LOW.items():
            value = getattr(self, name)
            if value is not None and name not in own:
                raise UserError(f"data.{name}: loss {self.loss} has none; leave it out")
            if value is not None and not (value > low if name == "beta" else value >= low):
                raise UserError(f"data.{name}: {value} is too small; use more than {low}")
        if (self.label_smoothing or 0) >= 0.5:
            raise UserError(f"data.label_smoothing: {self.label_smoothing}; half or more wrong pairs teach nothing")

    @property
    def loss_settings(self) -> dict[str, float]:
        """What the loss takes besides the log-probabilities."""
        given = {name: getattr(self, name) for name in LOSSES[self.loss].settings}
        return {name: LOSSES[self.loss].settings[name] if value is None else value for name, value in given.items()}

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

    def open(self, folder: Path, side: str, processor: Any) -> PairRecords:
        """
        Raises:
            UserError: the folder holds single answers with labels.
        """
        if Manifest.read(folder).settings["form"] != "pairs":
            raise UserError(f"{folder}: holds single answers, not pairs; run `litgpt-zh pairs` with --form pairs")
        return PairRecords(folder, side, processor)

    def collator(self, records: PairRecords) -> PairCollate:
        return PairCollate(records)
