"""Rows from disk to batches, with a place in the stream that a checkpoint can carry."""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from litgpt_zh.stage import UserError
from litgpt_zh.tokens.order import Stream


class Rows(Dataset):
    """Row files mapped into memory; an index is an array of row numbers, an item a whole batch."""

    def __init__(self, paths: list[Path], counts: list[int], width: int) -> None:
        """
        Args:
            paths: raw little-endian uint16 files.
            counts: rows of each file.
            width: T + 1 tokens a row.
        """
        self.paths, self.counts, self.width = paths, counts, width
        self.first = np.cumsum([0, *counts])
        self._maps: list[np.memmap] = []

    def __len__(self) -> int:
        return int(self.first[-1])

    def __getitem__(self, rows: np.ndarray) -> torch.Tensor:
        """(B,) row numbers -> (B, T + 1) int64."""
        if not self._maps:  # opened where it is read: also in a worker that was spawned
            _allow(len(self.paths))
            shapes = [(count, self.width) for count in self.counts]
            self._maps = [np.memmap(p, "<u2", "r", shape=s) for p, s in zip(self.paths, shapes, strict=True)]
        files = np.searchsorted(self.first, rows, side="right") - 1
        batch = np.empty((len(rows), self.width), np.int64)
        for i, (file, row) in enumerate(zip(files.tolist(), rows.tolist(), strict=True)):
            batch[i] = self._maps[file][row - self.first[file]]
        return torch.from_numpy(batch)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_maps": []}


def _allow(files: int) -> None:
    """Let this process have so many more files open, as far as the system goes: a mapped file stays open, there is one for
    8 MB of corpus, and the limit is 256 on macOS, 1,024 on most Linux."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY:
        wanted = soft + files
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(
                resource.RLIMIT_NOFILE, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard)
            )


class _Batches(DistributedSampler):
    """Yields the row numbers of one batch after another.

    A `DistributedSampler` by type only: Fabric then leaves it in place, and the share of this process is taken here.
    """

    def __init__(self, rows: int, batch_size: int) -> None:
        distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
        self.rank = torch.distributed.get_rank() if distributed else 0
        self.num_replicas = torch.distributed.get_world_size() if distributed else 1
        self.rows, self.batch_size = rows, batch_size

    @property
    def step(self) -> int:
        """Rows that all processes together take for one batch each."""
        return self.batch_size * self.num_replicas

    def set_epoch(self, epoch: int) -> None:
        """Fabric counts how often it iterates; the place in the stream is ours."""


class Shuffled(_Batches):
    """A `Stream` cut into batches: every row of a source once an epoch, none dropped.

    A batch may reach over the end of an epoch, so shapes are fixed and fewer rows than one batch go round.
    """

    def __init__(self, stream: Stream, batch_size: int) -> None:
        super().__init__(stream.rows, batch_size)
        self.stream = stream
        self.place = 0

    def __len__(self) -> int:
        """Batches of one pass over as many rows as there are."""
        return max(1, self.rows // self.step)

    def __iter__(self) -> Iterator[np.ndarray]:
        """The rest of the pass that ``place`` lies in."""
        start = self.place + self.rank * self.batch_size
        for n in range(len(self) - self.place // self.step % len(self)):
            yield self.stream.numbers(np.arange(start + n * self.step, start + n * self.step + self.batch_size))


class InOrder(_Batches):
    """All rows in file order, the last batch as short as it comes; processes take turns and end level."""

    def __len__(self) -> int:
        return -(-self.rows // self.step)

    def __iter__(self) -> Iterator[np.ndarray]:
        for start in range(0, self.rows, self.step):
            numbers = np.arange(start, min(start + self.step, self.rows))[self.rank :: self.num_replicas]
            yield numbers if len(numbers) else np.array([self.rows - 1])  # every process needs a batch


class RowLoader(DataLoader):
    """A `DataLoader` of whole batches whose state is a place in the stream of rows.

    The place counts batches handed out, not batches that workers have fetched ahead, so a checkpoint resumes at the
    exact next batch for any ``num_workers``, and ``litgpt``'s cycling over epochs goes on where it stood.
    """

    def __init__(self, rows: Rows, batches: Shuffled | InOrder, num_workers: int = 0) -> None:
        super().__init__(
            rows, sampler=batches, batch_size=None, num_workers=num_workers, persistent_workers=num_workers > 0,
            pin_memory=torch.cuda.is_available(),
        )  # fmt: skip

    def __iter__(self) -> Iterator[torch.Tensor]:  # type: ignore[override]
        for batch in super().__iter__():
            if isinstance(self.sampler, Shuffled):
                self.sampler.place += self.sampler.step
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """Where the stream stands: rows handed out by all processes, and what the stream is made of."""
        if not isinstance(self.sampler, Shuffled):
            return {}
        stream = self.sampler.stream
        return {"place": self.sampler.place, "rows": stream.rows, "seed": stream.seed} | stream.described()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on at a saved place.

        Raises:
            UserError: the checkpoint was written with other rows, another seed, order or mixture.
        """
        if not isinstance(self.sampler, Shuffled):
            return
        now = self.state_dict()
        keys = [key for key in {**now, **state} if key != "place"]
        if changed := [f"{k} {state.get(k)}, now {now.get(k)}" for k in keys if state.get(k) != now.get(k)]:
            raise UserError(
                f"the checkpoint was written with other data ({', '.join(changed)}); give the same data again"
            )
        self.sampler.place = state["place"]
