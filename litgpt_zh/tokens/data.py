"""The data module of pretraining: name it as ``data.class_path`` in a recipe."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from litgpt.data import DataModule
from litgpt.tokenizer import Tokenizer

import litgpt_zh.configs  # noqa: F401  registers the model family
from litgpt_zh import loops
from litgpt_zh.stage import Manifest, UserError, require_whole
from litgpt_zh.tokenizer.files import vocabulary_hash
from litgpt_zh.tokens import mixing
from litgpt_zh.tokens.order import SEED

if TYPE_CHECKING:
    from litgpt_zh.tokens.loader import RowLoader, Rows

loops.install()


@dataclass
class PackedTokens(DataModule):
    """Rows made by ``litgpt-zh tokens``, mapped into memory and shuffled anew each epoch; one folder or several mixed."""

    tokens_dir: Path
    """A folder made by ``litgpt-zh tokens``."""
    val_dir: Path | None = None
    """Another such folder to validate on; its own by default. One fixed folder makes runs comparable."""
    mix: dict[str, float] | None = None
    """Folders and their weights when rows of several are mixed, ``tokens_dir`` among them: ``{data/tokens: 0.7,
    data/old: 0.3}``. Validation stays with ``tokens_dir`` (or ``val_dir``)."""
    stages: list[dict[str, Any]] | None = None
    """Several mixtures one after another: ``[{tokens: 200000000, mix: {...}}, {mix: {...}}]``; the last has no end."""
    order: Literal["shuffle", "length"] = "shuffle"
    """``length``: in the first epoch rows of short stories come first (ten parts, each shuffled)."""
    seed: int = SEED
    """Seed of the order; epoch e has the permutation of (seed, e)."""
    num_workers: int = 0
    """Reading processes. Mapped rows cost next to nothing, so none is usually fastest."""
    verify: bool = False
    """Check the hash of every file before training; sizes are always checked."""

    batch_size: int = field(default=1, init=False, repr=False)
    train_rows: Any = field(default=None, init=False, repr=False)
    val_rows: Any = field(default=None, init=False, repr=False)
    stream: Any = field(default=None, init=False, repr=False)

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
            UserError: another block size or vocabulary than the rows were made with; a mixture that is none; a negative seed.
        """
        self.batch_size = batch_size
        if self.seed < 0:
            raise UserError(f"data.seed {self.seed}: no order has a negative seed; use 0 or more")
        mixing.stages_of(self.tokens_dir, self.mix, self.stages)
        train, *others = map(_settings, self._folders())
        for folder, made in zip(self._folders()[1:], others, strict=True):
            if train["vocabulary"] != made["vocabulary"]:
                raise UserError(
                    f"{folder}: made with another tokenizer than {self.tokens_dir}; make both with the same"
                )
        for folder, made in zip(self._folders(), (train, *others), strict=True):
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
        for folder in self._folders():
            require_whole(folder, verify=self.verify)

    def setup(self, stage: str = "") -> None:
        """Find the rows; nothing is read yet but what their order needs.

        Raises:
            UserError: an order or mixture that these folders cannot give.
        """
        from litgpt_zh.tokens.loader import Rows

        folders, stages = mixing.stages_of(self.tokens_dir, self.mix, self.stages)
        width = _settings(self.tokens_dir)["block_size"] + 1
        self.train_rows = Rows(*_files(folders, "train", width), width)
        self.val_rows = rows_of(Path(self.val_dir or self.tokens_dir), "val")
        self.stream = mixing.stream(folders, stages, width, self.seed, self.order)

    def train_dataloader(self) -> RowLoader:
        """Batches (B, T + 1) int64, without end in effect: litgpt starts the next pass when one is over."""
        from litgpt_zh.tokens.loader import RowLoader, Shuffled

        return RowLoader(self.train_rows, Shuffled(self.stream, self.batch_size), self.num_workers)

    def val_dataloader(self) -> RowLoader:
        """All validation rows in their order, (B, T + 1) int64; the last batch may be short."""
        from litgpt_zh.tokens.loader import InOrder, RowLoader

        return RowLoader(self.val_rows, InOrder(len(self.val_rows), self.batch_size), self.num_workers)

    def told(self, rows: int) -> list[str]:
        """What a training on so many rows will see: epochs of each source, distance of kept near-duplicates."""
        return mixing.told(self.stream, rows)

    def sources(self) -> list[Path]:
        """The folders whose rows are trained on, ``tokens_dir`` first."""
        return mixing.stages_of(self.tokens_dir, self.mix, self.stages)[0]

    def order_settings(self) -> dict[str, Any]:
        """What besides the seed decides the order of training, where it is not the usual one."""
        chosen = {"mix": self.mix, "stages": self.stages, "order": self.order if self.order != "shuffle" else None}
        return {name: value for name, value in chosen.items() if value}

    def _folders(self) -> list[Path]:
        """All folders that are read, ``tokens_dir`` first."""
        return list(dict.fromkeys([*self.sources(), Path(self.val_dir or self.tokens_dir)]))


def _settings(folder: Path) -> dict[str, Any]:
    manifest = Manifest.read(folder)
    if manifest.stage != "tokens":
        raise UserError(
            f"{folder}: a folder of stage {manifest.stage}, not tokens; give one made by `litgpt-zh tokens`"
        )
    return manifest.settings


def _files(folders: list[Path], split: str, width: int) -> tuple[list[Path], list[int]]:
    """The row files of some folders, and how many rows each holds."""
    paths, counts = [], []
    for folder in folders:
        outputs = Manifest.read(folder).outputs
        names = sorted(name for name in outputs if name.startswith(f"{split}-") and name.endswith(".bin"))
        paths += [folder / name for name in names]
        counts += [outputs[name]["bytes"] // (2 * width) for name in names]
    return paths, counts


def rows_of(folder: Path, split: str) -> Rows:
    """The rows of one side of a tokens folder, mapped into memory."""
    from litgpt_zh.tokens.loader import Rows

    width = _settings(folder)["block_size"] + 1
    return Rows(*_files([folder], split, width), width)
