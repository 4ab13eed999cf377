"""The data class of SFT: the ``data.class_path`` of recipes for litgpt's ``finetune_full`` and ``finetune_lora``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Literal  # noqa: F401  jsonargparse reads the annotations of inherited fields from here

from litgpt.tokenizer import Tokenizer

from litgpt_zh.instruct.batches import Part
from litgpt_zh.instruct.dataset import Collate, Records
from litgpt_zh.instruct.stage import STAGE
from litgpt_zh.instruct.tokenised import TokenisedRecords, vocabulary
from litgpt_zh.stage import Manifest, UserError


@dataclass
class Instructions(TokenisedRecords):
    """Conversations made by ``litgpt-zh instructions``; the loss is on the assistant's words only."""

    data_dir: Path = Path("data/sft")
    """A folder made by ``litgpt-zh instructions``. Its validation records are those of the run."""
    word_weight: float = 1.0
    """How many times a token counts in the training loss where the answer uses a word that its request asks for. More than 1
    makes a small model learn sooner to use those words (docs/LOG.md); the validation loss stays plain."""
    mix: dict[str, float] = field(default_factory=dict)
    """Further folders of that kind, each with how often its records go into an epoch: 2 is each of them twice, 0.1 a tenth of
    them, the next tenth in the next epoch."""
    in_turn: bool = False
    """In every epoch the folders of ``mix`` come first, one after another, and ``data_dir`` last; otherwise all are mixed."""
    pretrain_dir: Path | None = None
    """A folder made by ``litgpt-zh tokens``, that of the base model: every validation also tells the bits per character of its
    validation text, so that one sees what is forgotten."""
    replay_share: float = 0.0
    """This share of the records of an epoch are stretches of the training text in ``pretrain_dir``, learnt whole."""
    train_embeddings: bool = False
    """LoRA learns the input embedding and the output head too, whole (one matrix, where they are one): factors alone do not
    teach words that the base model seldom saw. Full finetuning learns them anyway."""
    keep_best: bool = True
    """``final/`` has the weights of the validation with the lowest loss, not those of the last step."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.word_weight < float("inf"):
            raise UserError(
                f"data.word_weight: {self.word_weight} is not a positive number; 1 counts every token alike"
            )
        for folder, weight in self.mix.items():
            if not 0 < weight < float("inf"):
                raise UserError(
                    f"data.mix: {folder}: {weight} is not a positive number; 1 is every record once an epoch"
                )
        if not 0 <= self.replay_share < 1:
            raise UserError(f"data.replay_share: {self.replay_share} is not a share of the records, use 0 to 0.9")
        if self.replay_share and self.pretrain_dir is None:
            raise UserError("data.replay_share: nothing to replay; set data.pretrain_dir to the base model's tokens")
        if self.in_turn and not self.mix:
            raise UserError("data.in_turn: data.mix names no folder to come before data.data_dir")

    def train_with(self, module: ModuleType, main: Callable[..., Any], arguments: dict[str, Any]) -> None:
        """Called by ``loops`` in place of litgpt's ``main``: our finetuning loop over this data.

        Raises:
            UserError: the model's block size is smaller than the longest record, or what ``fit.train_with`` refuses.
        """
        from litgpt_zh.instruct import fit
        from litgpt_zh.instruct.mixture import require_rows

        block = arguments["config"].block_size
        self.require_room(block, "the model's block_size is")
        if self.pretrain_dir is not None:
            require_rows(Path(self.pretrain_dir), block, vocabulary(Tokenizer(arguments["checkpoint_dir"]).processor))
        fit.train_with(self, module, main, arguments)

    stage = STAGE

    @property
    def folder(self) -> Path:
        return Path(self.data_dir)

    @property
    def folders(self) -> list[Path]:
        return [self.folder, *map(Path, self.mix)]

    @property
    def first(self) -> int:  # type: ignore[override]
        """Drills."""
        return Manifest.read(self.folder).counts.get("drills", 0)

    @property
    def parts(self) -> Sequence[Part]:
        from litgpt_zh.instruct.mixture import Mixture, parts_of

        if not isinstance(self.train_dataset, Mixture):
            return ()
        weights, share = list(self.mix.values()), self.replay_share
        return parts_of(self.train_dataset, self.first, weights, in_turn=self.in_turn, replay_share=share)

    def open(self, folder: Path, side: str, processor: Any) -> Any:
        from litgpt_zh.instruct.mixture import Mixture, Replay

        members: list[Any] = [Records(folder, side, processor)]
        if side == "train":
            members += [Records(self._checked(Path(other)), side, processor) for other in self.mix]
            if self.replay_share and self.pretrain_dir is not None:
                members.append(Replay(Path(self.pretrain_dir), members[0].lengths, processor, self.seed))
        return Mixture(members) if len(members) > 1 else members[0]

    def collator(self, records: Any) -> Collate:
        return Collate(records)
