"""What the corpus stage writes: shards that can be taken up again, and the set of stories already seen."""

from __future__ import annotations

import json
import os
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

SHARD = 50_000
"""Records in one file."""


class Shards:
    """Lines into ``<split>-00000.jsonl``, ``<split>-00001.jsonl``, ... of `SHARD` records.

    `state` after a `flush` is all that is needed to go on: what was written later is cut off.
    """

    def __init__(self, folder: Path, split: str, records: int = 0, size: int = 0) -> None:
        self.folder, self.split, self.records = folder, split, 0
        self._file: BinaryIO | None = None
        shards = -(-records // SHARD)
        for path in shard_files(folder, split)[shards:]:
            path.unlink()
        if records:
            last = self._path(shards - 1)
            if last.stat().st_size < size:
                raise FileNotFoundError(last)
            os.truncate(last, size)
            self.records = records
            self._file = open(last, "ab")  # noqa: SIM115 - closed by `close`

    def _path(self, index: int) -> Path:
        return self.folder / f"{self.split}-{index:05d}.jsonl"

    def write(self, line: bytes) -> None:
        """Append one line (with its newline)."""
        if self.records % SHARD == 0:
            self.close()
            self._file = open(self._path(self.records // SHARD), "wb")  # noqa: SIM115
        assert self._file is not None
        self._file.write(line)
        self.records += 1

    def flush(self) -> dict[str, int]:
        """Everything to the disk; the state to go on from."""
        if self._file is None:
            return {"records": 0, "size": 0}
        self._file.flush()
        os.fsync(self._file.fileno())
        return {"records": self.records, "size": self._file.tell()}

    def close(self) -> None:
        if self._file is not None and not self._file.closed:
            self.flush()
            self._file.close()


def shard_files(folder: Path, split: str) -> list[Path]:
    """The shards of a split, in order."""
    return sorted(folder.glob(f"{split}-[0-9]*.jsonl"), key=lambda path: int(path.stem.rpartition("-")[2]))


def read_shards(folder: Path | str, split: str) -> Iterator[dict[str, Any]]:
    """Every record of a split (``train`` or ``val``) of a corpus folder."""
    for path in shard_files(Path(folder), split):
        with open(path, encoding="utf-8", newline="\n") as file:
            for line in file:
                yield json.loads(line)


class Seen:
    """A set of 64-bit hashes in one flat table: 12 to 24 bytes each, against ~100 in a ``set`` of ints."""

    def __init__(self) -> None:
        self._table = array("Q", bytes(8 << 16))
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, key: int) -> bool:
        """Whether ``key`` (0 <= key < 2**64) is new; it is in the set afterwards."""
        if self._count * 3 >= len(self._table) * 2:
            self._grow()
        new = self._put(self._table, key or 1)  # 0 marks a free place
        self._count += new
        return new

    @staticmethod
    def _put(table: array[int], key: int) -> bool:
        mask = len(table) - 1
        at = key & mask
        while found := table[at]:
            if found == key:
                return False
            at = (at + 1) & mask
        table[at] = key
        return True

    def _grow(self) -> None:
        table = array("Q", bytes(16 * len(self._table)))
        for key in self._table:
            if key:
                self._put(table, key)
        self._table = table
