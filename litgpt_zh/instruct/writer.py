"""The files of a finished ``instructions`` folder, written as records come: memory does not grow with the data."""

from __future__ import annotations

import heapq
import json
import os
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from litgpt_zh.instruct.encode import Encoder
from litgpt_zh.instruct.formats import Bad
from litgpt_zh.instruct.work import Encoded
from litgpt_zh.stage import write_text

SIDES = ("train", "val")
DTYPES = {"ids": np.uint16, "mask": np.uint8, "offsets": np.int64}
"""``<side>_<name>.npy``: all records' ids and masks end to end; record i is ``ids[offsets[i]:offsets[i + 1]]``."""
EXAMPLES = 20
TOKENIZER = "tokenizer.json"
"""A copy of the tokenizer: the folder stands alone."""
_STATE = "state.json"


@dataclass
class State:
    """How far a run has come; with the lengths of the files, all that a stopped one needs to go on."""

    read: int = 0
    kept: int = 0
    answer_tokens: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    first_dropped: list[str] = field(default_factory=list)
    lengths: dict[str, int] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    examples: list[list[Any]] = field(default_factory=list)
    histograms: dict[str, dict[str, int]] = field(default_factory=dict)
    sums: dict[str, float] = field(default_factory=dict)


class Writer:
    """Appends records; ``commit`` makes what was written so far safe against a stop."""

    dtypes: dict[str, Any] = DTYPES
    sequences = 1
    """Entries of ``offsets`` a record takes."""

    def __init__(self, folder: Path, *, resume: bool) -> None:
        self.folder, self.state = folder, State()
        if resume and (folder / _STATE).is_file():
            self.state = State(**json.loads((folder / _STATE).read_text(encoding="utf-8")))
        self._files = {
            f"{side}_{name}": NpyFile(folder / f"{side}_{name}.npy", dtype, self.state.sizes.get(f"{side}_{name}", 0))
            for side in SIDES
            for name, dtype in self.dtypes.items()
        }
        for side in SIDES:
            if not self._files[f"{side}_offsets"].size:
                self._files[f"{side}_offsets"].append(np.zeros(1, np.int64))
        self._lengths, self._dropped = Counter(self.state.lengths), Counter(self.state.dropped)

    def add(self, side: str, record: Encoded) -> None:
        self._files[f"{side}_ids"].append(record.ids)
        self._files[f"{side}_mask"].append(record.mask)
        self._files[f"{side}_offsets"].append(np.array([self._files[f"{side}_ids"].size], np.int64))
        self.state.kept += 1
        self.state.answer_tokens += int((record.mask > 0).sum())
        self._lengths[str(len(record.ids))] += 1
        self.offer_example(record.source, side, record.ids, record.mask)

    def drop(self, record: Bad) -> None:
        self._dropped[record.reason] += 1
        if len(self.state.first_dropped) < EXAMPLES:
            place = f"{record.file}:{record.line}: " if record.file else ""
            self.state.first_dropped.append(place + record.reason)

    def count(self, side: str) -> int:
        """Records of a side so far."""
        return (self._files[f"{side}_offsets"].size - 1) // self.sequences

    def offer_example(self, source: str, side: str, ids: np.ndarray, *parts: np.ndarray) -> None:
        """Keep those with the largest hash: a sample of the whole, the same in every run."""
        kept, rank = self.state.examples, xxhash.xxh3_64_intdigest(ids.tobytes())
        if (len(kept) == EXAMPLES and rank <= kept[0][0]) or any(rank == other[0] for other in kept):
            return
        heapq.heappush(kept, [rank, source, side, ids.tolist(), *(part.tolist() for part in parts)])
        if len(kept) > EXAMPLES:
            heapq.heappop(kept)

    def commit(self) -> None:
        for file in self._files.values():
            file.flush()
        self.state.sizes = {name: file.size for name, file in self._files.items()}
        self.state.lengths, self.state.dropped = dict(self._lengths), dict(self._dropped)
        write_text(self.folder / _STATE, json.dumps(asdict(self.state)))

    def finish(self, encoder: Encoder, block_size: int) -> dict[str, Any]:
        """Complete the files, write ``examples.jsonl`` and return the counts of the manifest."""
        self.commit()
        for file in self._files.values():
            file.close()
        examples = [self.example(item, encoder) for item in sorted(self.state.examples, reverse=True)]
        write_text(self.folder / "examples.jsonl", "".join(json.dumps(e, ensure_ascii=False) + "\n" for e in examples))
        (self.folder / _STATE).unlink()
        sizes, state = self.state.sizes, self.state
        return {
            "read": state.read,
            "kept": state.kept,
            **{side: self.count(side) for side in SIDES},
            "dropped": dict(self._dropped.most_common()),
            "first_dropped": state.first_dropped,
            "tokens": sum(sizes[f"{side}_ids"] for side in SIDES),
            "answer_tokens": state.answer_tokens,
            "longest": max(map(int, self._lengths), default=0),
            "lengths": histogram(self._lengths, block_size),
            "examples": [example["text"] for example in examples[:3]],
        }

    @staticmethod
    def example(item: list[Any], encoder: Encoder) -> dict[str, Any]:
        """What a person looks at: the text as the model sees it, and the part it learns."""
        _, source, side, ids, mask = item
        learned = [id_ for id_, is_answer in zip(ids, mask, strict=True) if is_answer]
        return {
            "source": source,
            "side": side,
            "text": encoder.decode(ids),
            "learned": encoder.decode(learned),
            "tokens": len(ids),
            "answer_tokens": len(learned),
        }


class NpyFile:
    """A one-dimensional .npy file that grows; its header is completed by ``close``."""

    def __init__(self, path: Path, dtype: Any, size: int = 0) -> None:
        """Start a file, or go on after the first ``size`` items of one."""
        self.dtype, self.size = np.dtype(dtype), size
        self._file = open(path, "r+b" if size else "wb")  # noqa: SIM115  closed by close
        self._write_header()
        self._file.truncate(self._file.tell() + size * self.dtype.itemsize)
        self._file.seek(0, os.SEEK_END)

    def _write_header(self) -> None:
        """numpy leaves room for the shape to grow: the header of 0 items and of 10**18 have one length."""
        header = {"descr": np.lib.format.dtype_to_descr(self.dtype), "fortran_order": False, "shape": (self.size,)}
        np.lib.format.write_array_header_1_0(self._file, header)

    def append(self, items: np.ndarray) -> None:
        self._file.write(items.astype(self.dtype, copy=False).tobytes())
        self.size += len(items)

    def flush(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.seek(0)
        self._write_header()
        self._file.close()


def histogram(lengths: Counter[str], block_size: int, bins: int = 8) -> dict[str, int]:
    """Records by length in tokens: ``{"1-64": n, "65-128": n, ...}`` up to ``block_size``."""
    width = -(-block_size // bins)
    counts: Counter[int] = Counter()
    for length, n in lengths.items():
        counts[(int(length) - 1) // width] += n
    return {
        f"{b * width + 1}-{min((b + 1) * width, block_size)}": counts[b] for b in range(bins) if b * width < block_size
    }
