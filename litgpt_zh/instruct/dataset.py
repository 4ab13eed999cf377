"""Records of an ``instructions`` folder as torch wants them: a map-style data set, a collate function, a loader."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from litgpt_zh.instruct.batches import BatchPlan
from litgpt_zh.instruct.encode import ASKED
from litgpt_zh.instruct.writer import DTYPES
from litgpt_zh.prompts import ASSISTANT, CONTROL, PAD, USER

IGNORE = -100
"""The label of a token that is not learned."""


class Records(Dataset):
    """One side of the data, mapped into memory."""

    def __init__(self, folder: Path, side: str, processor: Any) -> None:
        """
        Args:
            folder: made by ``litgpt-zh instructions``.
            side: ``train`` or ``val``.
            processor: a ``tokenizers.Tokenizer``.
        """
        self.folder, self.side, self.processor = folder, side, processor
        self.offsets = np.load(folder / f"{side}_offsets.npy", allow_pickle=False)  # (records + 1,)
        self.lengths = np.diff(self.offsets)  # (records,)
        self.control = {piece: processor.token_to_id(piece) for piece in CONTROL}
        self._maps: dict[str, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self.lengths)

    def row(self, name: str, index: int) -> np.ndarray:
        """``ids`` (uint16) or ``mask`` (uint8) of a record, (tokens,)."""
        if not self._maps:  # opened where it is read: also in a worker that was spawned
            names = [name for name in DTYPES if name != "offsets"]
            path = {name: self.folder / f"{self.side}_{name}.npy" for name in names}
            self._maps = {name: np.load(path[name], mmap_mode="r", allow_pickle=False) for name in names}
        return self._maps[name][self.offsets[index] : self.offsets[index + 1]]

    def __getitem__(self, index: int) -> dict[str, Any]:
        """``input_ids`` and ``labels``, int64 (tokens,), ``asked``, bool (tokens,), and litgpt's ``token_counts``."""
        ids, mask = self.row("ids", index).astype(np.int64), self.row("mask", index)
        counts = {"raw": int((ids >= len(CONTROL)).sum()), "raw_plus_prompt_template": len(ids)}
        labels, asked = np.where(mask > 0, ids, IGNORE), mask == ASKED
        tensors = {"input_ids": ids, "labels": labels, "asked": asked}
        return {**{name: torch.from_numpy(array) for name, array in tensors.items()}, "token_counts": counts}

    @property
    def data(self) -> Requests:
        """What litgpt's loops take their example request from."""
        return Requests(self)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_maps": {}}


class Requests(Sequence):
    """``[i]["instruction"]``: the first thing the user of record i says."""

    def __init__(self, records: Any) -> None:
        self.records = records

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: Any) -> Any:
        ids = self.records.row("ids", index).tolist()
        start = ids.index(self.records.control[USER]) + 1
        stop = ids.index(self.records.control[ASSISTANT], start)
        return {"instruction": self.records.processor.decode(ids[start:stop])}


class Collate:
    """Pads a micro batch to its longest record with ``<|pad|>``, labels with -100."""

    def __init__(self, records: Records) -> None:
        self.records = records

    def __call__(self, items: Sequence[Any]) -> dict[str, Any]:
        """Items of ``Records``, or their numbers, as ``input_ids``, ``labels``, ``asked`` (B, T) and ``token_counts`` (B, 1)."""
        rows = [self.records[item] if isinstance(item, int) else item for item in items]

        def padded(key: str, value: int) -> torch.Tensor:
            return torch.nn.utils.rnn.pad_sequence([row[key] for row in rows], batch_first=True, padding_value=value)

        def counted(key: str) -> torch.Tensor:
            return torch.tensor([[row["token_counts"][key]] for row in rows], dtype=torch.int64)

        return {
            "input_ids": padded("input_ids", self.records.control[PAD]),
            "labels": padded("labels", IGNORE),
            "asked": padded("asked", 0),
            "token_counts": {key: counted(key) for key in ("raw", "raw_plus_prompt_template")},
        }


class Shared(DistributedSampler):
    """A `DistributedSampler` by type only; the batches come from the plan."""

    def __init__(self) -> None:
        """Nothing to share."""

    def set_epoch(self, epoch: int) -> None:
        """Fabric counts how often it iterates; which epoch it is, the plan is told."""


class InstructionLoader(DataLoader):
    """A ``DataLoader`` of micro batches whose next epoch, and place in it, can be set.

    Every pass is the next epoch by itself (litgpt's cycling works), until ``set_epoch`` says otherwise.
    """

    def __init__(self, records: Any, plan: BatchPlan, collate: Any, num_workers: int = 0) -> None:
        super().__init__(
            records, batch_sampler=plan, collate_fn=collate, num_workers=num_workers,
            generator=torch.Generator(),  # iterating must not draw from the global stream that dropout draws from
            pin_memory=torch.cuda.is_available(),
        )  # fmt: skip
        # what Fabric looks at before it gives each process a share of the batches: the plan has done so already
        self.__dict__["sampler"] = Shared()
        # Fabric's wrapper copies attributes, not methods: as attributes these can be called on the wrapper too
        self.set_epoch, self.batches = plan.set_epoch, plan.batches
