"""Pairs of a ``pairs`` folder as torch wants them: a map-style data set and a collate function."""

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

    def __init__(self, folder: Path, side: str, processor: Any) -> None:
        """
        Args:
            folder: made by ``litgpt-zh pairs`` or ``sample_pairs``.
            side: ``train`` or ``val``.
            processor: a ``tokenizers.Tokenizer``.
        """
        self.folder, self.side, self.processor = folder, side, processor
        self.offsets = np.load(folder / f"{side}_offsets.npy", allow_pickle=False)  # (2 * records + 1,)
        self.prompts = np.load(folder / f"{side}_prompts.npy", allow_pickle=False)  # (records,)
        self.lengths = np.diff(self.offsets).reshape(-1, 2).max(axis=1)  # (records,) of the longer side
        self.control = {piece: processor.token_to_id(piece) for piece in CONTROL}
        self._ids: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.prompts)

    def sequence(self, number: int) -> np.ndarray:
        """Ids of a sequence, (tokens,): 2 i is prompt + chosen of record i, 2 i + 1 prompt + rejected."""
        if self._ids is None:  # opened where it is read: also in a worker that was spawned
            self._ids = np.load(self.folder / f"{self.side}_ids.npy", mmap_mode="r", allow_pickle=False)
        return self._ids[self.offsets[number] : self.offsets[number + 1]]

    def row(self, name: str, index: int) -> np.ndarray:
        """Ids of prompt + chosen: what ``Requests`` reads the request from."""
        return self.sequence(2 * index)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """``chosen`` and ``rejected``, int64 (tokens,), the number of prompt tokens, and the record's own number."""
        chosen, rejected = (torch.from_numpy(self.sequence(2 * index + n).astype(np.int64)) for n in (0, 1))
        return {"chosen": chosen, "rejected": rejected, "prompt": int(self.prompts[index]), "index": index}

    @property
    def data(self) -> Requests:
        """What the loop takes its example request from."""
        return Requests(self)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_ids": None}


class PairCollate:
    """Pads a micro batch to its longest sequence with ``<|pad|>``, labels with -100."""

    def __init__(self, records: PairRecords) -> None:
        self.records = records

    def __call__(self, items: Sequence[Any]) -> dict[str, torch.Tensor]:
        """B items of ``PairRecords``, or their numbers.

        Returns:
            ``input_ids`` and ``labels`` (2 B, T), all chosen sides before all rejected ones, labels on the answers only;
            ``index`` (B,), the records' numbers.
        """
        rows = [self.records[item] if isinstance(item, int) else item for item in items]
        sequences = [row[name] for name in ("chosen", "rejected") for row in rows]
        ids = torch.nn.utils.rnn.pad_sequence(sequences, batch_first=True, padding_value=self.records.control[PAD])
        start = torch.tensor([row["prompt"] for row in rows]).repeat(2)[:, None]
        stop = torch.tensor([len(sequence) for sequence in sequences])[:, None]
        places = torch.arange(ids.size(1))[None]
        labels = ids.masked_fill((places < start) | (places >= stop), IGNORE)
        return {"input_ids": ids, "labels": labels, "index": torch.tensor([row["index"] for row in rows])}
