"""The data class of SFT: the ``data.class_path`` of recipes for litgpt's ``finetune_full`` and ``finetune_lora``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from litgpt_zh.instruct.dataset import Collate, Records
from litgpt_zh.instruct.stage import STAGE
from litgpt_zh.instruct.tokenised import TokenisedRecords
from litgpt_zh.stage import Manifest, UserError


@dataclass
class Instructions(TokenisedRecords):
    """Conversations made by ``litgpt-zh instructions``; the loss is on the assistant's words only."""

    data_dir: Path = Path("data/sft")
    """A folder made by ``litgpt-zh instructions``."""
    word_weight: float = 1.0
    """How many times a token counts in the training loss where the answer uses a word that its request asks for. More than 1
    makes a small model learn sooner to use those words (docs/LOG.md); the validation loss stays plain."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.word_weight < float("inf"):
            raise UserError(
                f"data.word_weight: {self.word_weight} is not a positive number; 1 counts every token alike"
            )

    def train_with(self, module: ModuleType, main: Callable[..., Any], arguments: dict[str, Any]) -> None:
        """Called by ``loops`` in place of litgpt's ``main``: our finetuning loop over this data.

        Raises:
            UserError: the model's block size is smaller than the longest record, or what ``fit.train_with`` refuses.
        """
        from litgpt_zh.instruct import fit

        self.require_room(arguments["config"].block_size, "the model's block_size is")
        fit.train_with(self, module, main, arguments)

    stage = STAGE

    @property
    def folder(self) -> Path:
        return Path(self.data_dir)

    @property
    def first(self) -> int:  # type: ignore[override]
        """Drills."""
        return Manifest.read(self.folder).counts.get("drills", 0)

    def open(self, folder: Path, side: str, processor: Any) -> Records:
        return Records(folder, side, processor)

    def collator(self, records: Records) -> Collate:
        return Collate(records)
