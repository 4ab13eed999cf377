"""Which records go into which micro batch: similar lengths together, reproducible, whatever the micro batch size is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest

import numpy as np


class BatchPlan:
    """A batch sampler. The records of a global batch depend on seed and epoch only, never on the micro batch size.

    An epoch: shuffle; sort by length inside windows of ``bucket`` global batches; cut into global batches; shuffle
    those; cut each into micro batches. The rest of the records makes a smaller global batch at the end.
    """

    def __init__(
        self, lengths: Sequence[int] | np.ndarray, *, global_batch: int, micro_batch: int, bucket: int, seed: int,
        fixed: bool = False, first: int = 0,
    ) -> None:  # fmt: skip
        """
        Args:
            lengths: tokens of each record.
            global_batch: records an optimizer step sees.
            micro_batch: records a forward pass sees.
            bucket: window of the length sort, in global batches; 1 sorts inside a global batch only.
            seed: of the shuffling.
            fixed: every pass is epoch 0 (validation); otherwise each pass is the next epoch.
            first: so many records come early, in epoch 0 only (drills): a batch of them, in their order, before each batch of
                the others until they are used up.
        """
        self.lengths = np.asarray(lengths, dtype=np.int64)  # (records,)
        self.global_batch, self.micro_batch, self.bucket = global_batch, micro_batch, max(1, bucket)
        self.seed, self.fixed, self.first = seed, fixed, first
        self.epoch, self.start = 0, 0

    def set_epoch(self, epoch: int, start: int = 0) -> None:
        """Make the next pass epoch ``epoch``, beginning with its global batch number ``start``."""
        self.epoch, self.start = epoch, start

    def batches(self, epoch: int) -> list[list[list[int]]]:
        """Global batches of micro batches of record numbers. Pure; ~0.3 s for a million records."""
        rng = np.random.default_rng([self.seed, 0 if self.fixed else epoch])
        order = self.first + rng.permutation(len(self.lengths) - self.first)
        whole = len(order) // self.global_batch * self.global_batch
        window = self.bucket * self.global_batch
        sorted_ = [self._by_length(order[i : min(i + window, whole)]) for i in range(0, whole, window)]
        rows = (
            np.concatenate(sorted_).reshape(-1, self.global_batch) if sorted_ else np.empty((0, self.global_batch), int)
        )
        plan = [self._split(rows[i]) for i in rng.permutation(len(rows))]
        if whole < len(order):
            plan.append(self._split(self._by_length(order[whole:])))
        return self._mixed(plan) if epoch == 0 else plan

    def _mixed(self, plan: list[list[list[int]]]) -> list[list[list[int]]]:
        cuts = range(0, self.first, self.global_batch)
        early = [self._split(np.arange(i, min(i + self.global_batch, self.first))) for i in cuts]
        pairs = zip_longest(early, plan)
        return [batch for pair in pairs for batch in pair if batch is not None]

    def _by_length(self, records: np.ndarray) -> np.ndarray:
        return records[np.argsort(self.lengths[records], kind="stable")]

    def _split(self, records: np.ndarray) -> list[list[int]]:
        return [records[i : i + self.micro_batch].tolist() for i in range(0, len(records), self.micro_batch)]

    def __len__(self) -> int:
        """Micro batches in epoch 0."""
        return sum(map(self._micro_batches, (self.first, len(self.lengths) - self.first)))

    def _micro_batches(self, records: int) -> int:
        whole, rest = divmod(records, self.global_batch)
        return whole * -(-self.global_batch // self.micro_batch) + -(-rest // self.micro_batch)

    def __iter__(self) -> Iterator[list[int]]:
        epoch, start = self.epoch, self.start
        self.set_epoch(epoch + 1)
        for micro_batches in self.batches(epoch)[start:]:
            yield from micro_batches

    def padding_share(self, epoch: int = 0) -> float:
        """Padding positions / all positions of an epoch."""
        micro = [self.lengths[records] for step in self.batches(epoch) for records in step]
        cells = sum(int(lengths.max()) * len(lengths) for lengths in micro)
        return 1.0 - int(self.lengths.sum()) / cells if cells else 0.0
