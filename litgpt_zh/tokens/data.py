"""The data module of pretraining: name it as ``data.class_path`` in a recipe."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from litgpt.data import DataModule
from litgpt.tokenizer import Tokenizer

import litgpt_zh.configs  # noqa: F401  registers the model family
from litgpt_zh import loops
from litgpt_zh.stage import Manifest, UserError, file_hash
from litgpt_zh.tokenizer.files import vocabulary_hash

if TYPE_CHECKING:
    from litgpt_zh.tokens.loader import RowLoader, Rows

loops.install()


@dataclass
class PackedTokens(DataModule):
    """Rows made by ``litgpt-zh tokens``, mapped into memory and shuffled anew each epoch."""

    tokens_dir: Path
    """A folder made by ``litgpt-zh tokens``."""
    val_dir: Path | None = None
    """Another such folder to validate on; its own by default. One fixed folder makes runs comparable."""
    seed: int = 42
    """Seed of the order; epoch e has the permutation of (seed, e)."""
    num_workers: int = 0
    """Reading processes. Mapped rows cost next to nothing, so none is usually fastest."""
    verify: bool = False
    """Check the hash of every file before training; sizes are always checked."""

    batch_size: int = field(default=1, init=False, repr=False)
    train_rows: Any = field(default=None, init=False, repr=False)
    val_rows: Any = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        super().__init__()

    def connect(
        self, tokenizer: Tokenizer | None = None, batch_size: int = 1, max_seq_length: int | None = None
    ) -> None:
        """Take what litgpt knows of the run, and refuse rows that do not suit it.

        Args:
            tokenizer: litgpt's tokenizer, if the run has one.
            batch_size: rows a micro batch.
            max_seq_length: context length T of the model.

        Raises:
            UserError: another block size or vocabulary than the rows were made with.
        """
        self.batch_size = batch_size
        train, val = map(_settings, self._folders())
        if train["vocabulary"] != val["vocabulary"]:
            raise UserError(
                f"{self.val_dir}: made with another tokenizer than {self.tokens_dir}; make both with the same"
            )
        for folder, made in zip(self._folders(), (train, val), strict=True):
            block = made["block_size"]
            if max_seq_length is not None and max_seq_length != block:
                raise UserError(
                    f"{folder}: rows are made for block_size {block}, the model has {max_seq_length}; run `litgpt-zh"
                    f" tokens --block_size {max_seq_length}` or set train.max_seq_length (or the model) to {block}"
                )
            if tokenizer is not None and vocabulary_hash(tokenizer.processor) != made["vocabulary"]:
                raise UserError(
                    f"{folder}: made with another tokenizer ({made['vocab_size']:,} entries); set tokenizer_dir to the"
                    " one it was made with, or run `litgpt-zh tokens` again"
                )

    def prepare_data(self) -> None:
        """Check that every file is whole (once a machine).

        Raises:
            UserError: a file is missing, truncated or, with ``verify``, changed.
        """
        for folder in dict.fromkeys(self._folders()):
            for name, made in Manifest.read(folder).outputs.items():
                path = folder / name
                size = path.stat().st_size if path.is_file() else 0
                if size != made["bytes"] or (self.verify and file_hash(path) != made["xxh3"]):
                    what = f"{size:,} bytes, {made['bytes']:,} were written" if size != made["bytes"] else "changed"
                    raise UserError(
                        f"{path}: {what}; copy it again or delete {folder} and run `litgpt-zh tokens` again"
                    )

    def setup(self, stage: str = "") -> None:
        """Find the rows; nothing is read yet."""
        train, val = self._folders()
        self.train_rows, self.val_rows = rows_of(train, "train"), rows_of(val, "val")

    def train_dataloader(self) -> RowLoader:
        """Batches (B, T + 1) int64, without end in effect: litgpt starts the next pass when one is over."""
        from litgpt_zh.tokens.loader import RowLoader, Shuffled

        batches = Shuffled(len(self.train_rows), self.batch_size, self.seed)
        return RowLoader(self.train_rows, batches, self.num_workers)

    def val_dataloader(self) -> RowLoader:
        """All validation rows in their order, (B, T + 1) int64; the last batch may be short."""
        from litgpt_zh.tokens.loader import InOrder, RowLoader

        return RowLoader(self.val_rows, InOrder(len(self.val_rows), self.batch_size), self.num_workers)

    def _folders(self) -> tuple[Path, Path]:
        return Path(self.tokens_dir), Path(self.val_dir or self.tokens_dir)


def _settings(folder: Path) -> dict[str, Any]:
    manifest = Manifest.read(folder)
    if manifest.stage != "tokens":
        raise UserError(
            f"{folder}: a folder of stage {manifest.stage}, not tokens; give one made by `litgpt-zh tokens`"
        )
    return manifest.settings


def rows_of(folder: Path, split: str) -> Rows:
    """The rows of one side of a tokens folder, mapped into memory."""
    from litgpt_zh.tokens.loader import Rows

    outputs = Manifest.read(folder).outputs
    names = sorted(name for name in outputs if name.startswith(f"{split}-") and name.endswith(".bin"))
    width = _settings(folder)["block_size"] + 1
    return Rows([folder / name for name in names], [outputs[name]["bytes"] // (2 * width) for name in names], width)
