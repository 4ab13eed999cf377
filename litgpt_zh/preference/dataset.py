"""Records of a ``pairs`` folder as torch wants them: map-style data sets and a collate function."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from litgpt_zh.instruct.dataset import IGNORE, Requests
from litgpt_zh.prompts import CONTROL, PAD


class PairRecords(Dataset):
    """One side of the data, mapped into memory."""

    names: tuple[str, ...] = ("chosen", "rejected")
    """The answers of a record, in the order of the file."""

    def __init__(self, folder: Path, side: str, processor: Any) -> None:
        """
        Args:
            folder: made by ``litgpt-zh pairs`` or ``sample_pairs``.
            side: ``train`` or ``val``.
            processor: a ``tokenizers.Tokenizer``.
        """
        self.folder, self.side, self.processor = folder, side, processor
        self.offsets = np.load(folder / f"{side}_offsets.npy", allow_pickle=False)  # (sides * records + 1,)
        self.prompts = np.load(folder / f"{side}_prompts.npy", allow_pickle=False)  # (records,)
        self.lengths = np.diff(self.offsets).reshape(-1, self.sides).max(axis=1)  # (records,) of the longest side
        self.control = {piece: processor.token_to_id(piece) for piece in CONTROL}
        self._ids: np.ndarray | None = None

    @property
    def sides(self) -> int:
        """Sequences of a record."""
        return len(self.names)

    def __len__(self) -> int:
        return len(self.prompts)

    def sequence(self, number: int) -> np.ndarray:
        """Ids of a sequence, (tokens,): ``sides`` * i + n is the prompt of record i with its answer number n."""
        if self._ids is None:  # opened where it is read: also in a worker that was spawned
            self._ids = np.load(self.folder / f"{self.side}_ids.npy", mmap_mode="r", allow_pickle=False)
        return self._ids[self.offsets[number] : self.offsets[number + 1]]

    def row(self, name: str, index: int) -> np.ndarray:
        """Ids of the first sequence: what ``Requests`` reads the request from."""
        return self.sequence(self.sides * index)

    def wanted(self, index: int) -> list[bool]:
        """Whether each answer of a record is wanted."""
        return [True, False]

    def mismatched(self, index: int, other: int, block: int) -> list[torch.Tensor]:
        """The prompt of record ``index`` with each answer of ``other``, cut at ``block``; int64 (tokens,) each."""
        prompt, start = self.sequence(self.sides * index)[: self.prompts[index]], self.prompts[other]
        answers = [self.sequence(self.sides * other + n)[start:] for n in range(self.sides)]
        return [torch.from_numpy(np.concatenate([prompt, ids])[:block].astype(np.int64)) for ids in answers]

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Each answer of ``names`` behind its prompt, int64 (tokens,); ``prompt``, its tokens; the record's ``index``."""
        ids = {name: self.sequence(self.sides * index + n).astype(np.int64) for n, name in enumerate(self.names)}
        sequences = {name: torch.from_numpy(sequence) for name, sequence in ids.items()}
        return {**sequences, "prompt": int(self.prompts[index]), "wanted": self.wanted(index), "index": index}

    @property
    def data(self) -> Requests:
        """What the loop takes its example request from."""
        return Requests(self)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_ids": None}


class AnswerRecords(PairRecords):
    """One side of single answers with a label, or with an advantage."""

    names = ("completion",)

    def __init__(self, folder: Path, side: str, processor: Any) -> None:
        super().__init__(folder, side, processor)
        self.labels = np.load(folder / f"{side}_labels.npy", allow_pickle=False)  # (records,)

    def wanted(self, index: int) -> list[bool]:
        return [bool(self.labels[index] > 0)]


class PairCollate:
    """Pads a micro batch to its longest sequence with ``<|pad|>``, labels with -100."""

    def __init__(self, records: PairRecords) -> None:
        self.records = records

    def __call__(self, items: Sequence[Any]) -> dict[str, torch.Tensor]:
        """B items of ``PairRecords``, or their numbers.

        Returns:
            ``input_ids`` and ``labels`` (sides * B, T), all chosen sides before all rejected ones, labels on the answers
            only; ``wanted`` (sides * B,); ``index`` (B,), the records' numbers.
        """
        rows = [self.records[item] if isinstance(item, int) else item for item in items]
        sequences = [row[name] for name in self.records.names for row in rows]
        found = self.padded(sequences, [row["prompt"] for row in rows] * self.records.sides)
        wanted = torch.tensor([row["wanted"] for row in rows]).T.reshape(-1)
        return {**found, "wanted": wanted, "index": torch.tensor([row["index"] for row in rows])}

    def padded(self, sequences: Sequence[torch.Tensor], prompts: Sequence[int]) -> dict[str, torch.Tensor]:
        """``input_ids`` and ``labels`` (B, T) of B sequences whose first ``prompts`` tokens are not learnt."""
        pad = self.records.control[PAD]
        ids = torch.nn.utils.rnn.pad_sequence(list(sequences), batch_first=True, padding_value=pad)
        start = torch.tensor(prompts)[:, None]
        stop = torch.tensor([len(sequence) for sequence in sequences])[:, None]
        places = torch.arange(ids.size(1))[None]
        return {"input_ids": ids, "labels": ids.masked_fill((places < start) | (places >= stop), IGNORE)}

    def mismatched(self, numbers: Sequence[int], others: Sequence[int], block: int) -> dict[str, torch.Tensor]:
        """``input_ids`` and ``labels`` (sides * B, T): each prompt of ``numbers`` with the answers of ``others``."""
        rows = [self.records.mismatched(n, other, block) for n, other in zip(numbers, others, strict=True)]
        sequences = [row[side] for side in range(self.records.sides) for row in rows]
        return self.padded(sequences, self.records.prompts[list(numbers)].tolist() * self.records.sides)
