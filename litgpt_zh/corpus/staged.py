"""Stories that have been read and wait for the whole: which are near-duplicates, and who goes to which split.

Lines lie in ``stories-*.jsonl``, a few facts of each in ``.facts``, its MinHash signature in ``.signatures``; all of it
can be taken up again after a stop, and goes when the corpus is written.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from litgpt_zh.corpus import shards
from litgpt_zh.corpus.near import HASHES
from litgpt_zh.corpus.prepare import Kept
from litgpt_zh.corpus.shards import Shards, shard_files

NAME = "stories"
FACTS = np.dtype([("key", "<u8"), ("place", "<f8"), ("characters", "<u4"), ("bytes", "<u4")])
"""A story's hash, its place in the split, its length, and how long its line is."""
_FACTS, _SIGNATURES = ".facts", ".signatures"
STAGED = (f"{NAME}-*.jsonl", _FACTS, _SIGNATURES)
"""Patterns of the files, all of which go when the corpus is written."""
_BYTES = {_FACTS: FACTS.itemsize, _SIGNATURES: 4 * HASHES}


class Staged:
    """Takes stories one by one. `flush` gives the state that another `Staged` goes on from."""

    def __init__(self, folder: Path, signed: bool, records: int = 0, size: int = 0) -> None:
        """``signed``: signatures are stored; ``records`` and ``size``: of `flush`.

        Raises:
            FileNotFoundError: less is there than the state says.
        """
        names = (_FACTS, _SIGNATURES) if signed else (_FACTS,)
        self._lines = Shards(folder, NAME, records, size)
        self._files = [_open(folder / name, records * _BYTES[name]) for name in names]

    def add(self, story: Kept) -> None:
        """Append a story."""
        self._lines.write(story.line)
        self._files[0].write(np.array((story.key, story.place, story.characters, len(story.line)), FACTS).tobytes())
        if len(self._files) > 1:
            self._files[1].write(story.signature)

    def flush(self) -> dict[str, int]:
        """Everything to the disk."""
        for file in self._files:
            file.flush()
            os.fsync(file.fileno())
        return self._lines.flush()

    def close(self) -> None:
        self._lines.close()
        for file in self._files:
            file.close()


def _open(path: Path, size: int) -> BinaryIO:
    path.touch()
    if path.stat().st_size < size:
        raise FileNotFoundError(path)
    os.truncate(path, size)
    return open(path, "ab")


class Stories:
    """What `Staged` has written, to be read in any order.

    ``facts`` is (n,) of `FACTS`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.facts = np.fromfile(folder / _FACTS, FACTS)
        self._ends = np.cumsum(self.facts["bytes"], dtype=np.int64)

    def __len__(self) -> int:
        return len(self.facts)

    def signatures(self) -> np.ndarray:
        """(n, 160) uint32, on disk until used."""
        return np.memmap(self._folder / _SIGNATURES, "<u4", "r").reshape(-1, HASHES)

    def lines(self, indices: Iterable[int]) -> Iterator[bytes]:
        """The lines with these indices, each with its newline."""
        files: dict[int, BinaryIO] = {}
        paths = shard_files(self._folder, NAME)
        try:
            for index in indices:
                shard = index // shards.SHARD
                if shard not in files:
                    files[shard] = open(paths[shard], "rb")  # noqa: SIM115 - closed below
                first = shard * shards.SHARD
                start = self._before(index) - self._before(first)
                yield os.pread(files[shard].fileno(), int(self.facts["bytes"][index]), start)
        finally:
            for file in files.values():
                file.close()

    def _before(self, index: int) -> int:
        return int(self._ends[index - 1]) if index else 0
