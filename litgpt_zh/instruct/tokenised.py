"""What the data classes of SFT and preference optimisation share: folders of token ids, batches, refusals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from litgpt.data import DataModule
from litgpt.prompts import PromptStyle
from litgpt.tokenizer import Tokenizer

import litgpt_zh.configs  # noqa: F401  registers the model family
from litgpt_zh import loops, schedule
from litgpt_zh.instruct.batches import BatchPlan, Part
from litgpt_zh.instruct.dataset import InstructionLoader
from litgpt_zh.instruct.writer import TOKENIZER
from litgpt_zh.stage import Manifest, UserError, require_files, require_whole
from litgpt_zh.styles import Story
from litgpt_zh.tokenizer import files

loops.install()


@dataclass(kw_only=True)
class TokenisedRecords(DataModule):
    """A folder of token ids for litgpt's ``finetune_full`` and ``finetune_lora``, and how our loop runs over it."""

    seed: int = 42
    """Seed of the order of the records; epoch e has an order of (seed, e)."""
    bucket: int = 50
    """Records are sorted by length inside windows of this many global batches: more is less padding, less mixing."""
    max_norm: float = 1.0
    """Gradients are clipped to this norm; 0 leaves them as they are."""
    min_lr: float = 0.0
    """Learning rate of the last step."""
    schedule: Literal["cosine", "wsd"] = "cosine"
    """How the learning rate falls after the warm-up: ``cosine`` from there on; ``wsd`` stays at the top and falls at the end."""
    decay_share: float = 0.2
    """With ``wsd``: the share of the run, at its end, over which the rate falls in a straight line."""
    resume: bool = True
    """Go on from the newest step checkpoint in ``out_dir`` (litgpt's ``--resume`` wins where it exists)."""
    num_workers: int = 0
    """Reading processes. Mapped records cost next to nothing, so none is usually fastest."""
    keep: int = 2
    """Step checkpoints kept in ``out_dir``; older ones are deleted."""

    prompt_style: PromptStyle = field(default_factory=Story, init=False, repr=False)
    tokenizer: Tokenizer | None = field(default=None, init=False, repr=False)
    batch_size: int = field(default=1, init=False, repr=False)
    train_dataset: Any = field(default=None, init=False, repr=False)
    test_dataset: Any = field(default=None, init=False, repr=False)
    _global_batch: int | None = field(default=None, init=False, repr=False)
    _rank: tuple[int, int] = field(default=(0, 1), init=False, repr=False)

    def __post_init__(self) -> None:
        super().__init__()
        for name, low in (("seed", 0), ("bucket", 1), ("max_norm", 0), ("min_lr", 0), ("num_workers", 0), ("keep", 1)):
            if getattr(self, name) < low:
                raise UserError(f"data.{name}: {getattr(self, name)} is too small; use {low} or more")
        schedule.check(self.schedule, self.decay_share)
        loops.replicate()
        loops.stay_local()

    @property
    def folder(self) -> Path:
        """The folder of token ids."""
        raise NotImplementedError

    @property
    def folders(self) -> list[Path]:
        """``folder``, and all others of its kind that are trained on."""
        return [self.folder]

    @property
    def stage(self) -> str:
        """The stage that makes such a folder, and its command."""
        raise NotImplementedError

    def open(self, folder: Path, side: str, processor: Any) -> Any:
        """One side of the data, a map-style data set with ``lengths``."""
        raise NotImplementedError

    def collator(self, records: Any) -> Any:
        """Makes a micro batch of records, given as items or as record numbers."""
        raise NotImplementedError

    first, sequences = 0, 1
    """Training records that come first, in their order, in epoch 0; sequences a record puts into a micro batch."""

    @property
    def parts(self) -> Sequence[Part]:
        """Of a mixture, see ``BatchPlan``."""
        return ()

    def connect(
        self, tokenizer: Tokenizer | None = None, batch_size: int = 1, max_seq_length: int | None = None, **kwargs: Any
    ) -> None:
        """Take what litgpt knows of the run, and refuse data that does not suit it.

        Args:
            tokenizer: that of the checkpoint.
            batch_size: records a micro batch.
            max_seq_length: ``train.max_seq_length``; None and -1 set no limit.

        Raises:
            UserError: the folder is not a finished stage, another tokenizer, or records that do not fit.
        """
        self.tokenizer, self.batch_size = tokenizer, batch_size
        if max_seq_length is not None and max_seq_length > 0:
            self.require_room(max_seq_length, "train.max_seq_length is")
        for folder in map(self._checked, self.folders):
            if tokenizer is not None and vocabulary(tokenizer.processor) != vocabulary(files.load(folder)):
                raise UserError(
                    f"{folder}: made with another tokenizer than the checkpoint's; "
                    f"run `litgpt-zh {self.stage}` again with --tokenizer_dir <checkpoint_dir>"
                )

    def global_batch(self, size: int, rank: int = 0, world: int = 1) -> None:
        """Records an optimizer step sees; without this call, litgpt's stock loops see micro batches only.

        Args:
            size: of all processes together; a positive number, need not be a multiple of the micro batch.
            rank: number of this process.
            world: processes that share each global batch.

        Raises:
            UserError: some process would get nothing.
        """
        if size < world:
            raise UserError(
                f"train.global_batch_size: {size} records for {world} devices; give each of them one at least"
            )
        self._global_batch, self._rank = size, (rank, world)

    def prepare_data(self) -> None:
        """Check that every file is whole (once a machine).

        Raises:
            UserError: a file is missing or has another size than was written.
        """
        for folder in map(self._checked, self.folders):
            require_whole(folder)

    def setup(self, stage: str = "") -> None:
        """Map both sides into memory; nothing is read yet."""
        folder = self._checked(self.folder)
        processor = self.tokenizer.processor if self.tokenizer else files.load(folder)
        self.train_dataset = self.open(folder, "train", processor)
        self.test_dataset = self.open(folder, "val", processor)
        for side, records in (("train", self.train_dataset), ("val", self.test_dataset)):
            if not len(records):
                raise UserError(f"{folder}: no {side} records; run `litgpt-zh {self.stage}` with another --val_share")

    def train_dataloader(self) -> InstructionLoader:
        """Micro batches of training records, see ``BatchPlan``."""
        return InstructionLoader(self.train_dataset, self._plan(self.train_dataset), self.collate, self.num_workers)

    def val_dataloader(self) -> InstructionLoader:
        """Micro batches of validation records: the same in every pass, long and short mixed."""
        plan = self._plan(self.test_dataset, fixed=True)
        return InstructionLoader(self.test_dataset, plan, self.collator(self.test_dataset), self.num_workers)

    def _plan(self, records: Any, fixed: bool = False) -> BatchPlan:
        return BatchPlan(
            records.lengths, global_batch=self._global_batch or self.batch_size, micro_batch=self.batch_size,
            bucket=self.bucket, seed=self.seed, fixed=fixed, first=0 if fixed else self.first,
            parts=() if fixed else self.parts, rank=(0, 1) if fixed else self._rank,
        )  # fmt: skip

    def batches(self, epoch: int) -> list[list[list[int]]]:
        """Global batches of micro batches of training record numbers in an epoch; reads no data."""
        return self._plan(self.train_dataset).batches(epoch)

    @property
    def collate(self) -> Any:
        """Makes a micro batch of training records, given as items or as record numbers."""
        return self.collator(self.train_dataset)

    def micro_batch_tokens(self, records: Sequence[int]) -> int:
        """Positions of a micro batch of training records, padding included."""
        return int(self.train_dataset.lengths[list(records)].max()) * len(records) * self.sequences

    def padding_share(self, epoch: int = 0) -> float:
        """Padding positions / all positions of a training epoch."""
        return self._plan(self.train_dataset).padding_share(epoch)

    def require_room(self, size: int, what: str) -> None:
        """Refuse a limit shorter than the longest record.

        Raises:
            UserError: names both.
        """
        for folder in map(self._checked, self.folders):
            if (longest := Manifest.read(folder).counts["longest"]) > size:
                raise UserError(
                    f"{folder}: the longest record has {longest} tokens, {what} {size}; "
                    f"run `litgpt-zh {self.stage}` again with --block_size {size}"
                )

    def _checked(self, folder: Path) -> Path:
        """A folder, known to be a finished one of our stage.

        Raises:
            UserError: it is not.
        """
        folder = Path(folder)
        if (stage := Manifest.read(folder).stage) != self.stage:
            raise UserError(f"{folder}: a folder of stage {stage}; give one made by `litgpt-zh {self.stage}`")
        require_files(folder, (TOKENIZER,), made_by=f"litgpt-zh {self.stage}")
        return folder


def vocabulary(processor: Any) -> str | None:
    """A hash of the vocabulary; None for a tokenizer that is not of `tokenizers` (sentencepiece)."""
    return files.vocabulary_hash(processor) if hasattr(processor, "get_vocab") else None
