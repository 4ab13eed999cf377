"""A worker of the tokens stage: one slice of a corpus shard -> one file of rows. Imports no torch, no litgpt."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from litgpt_zh.constraints import Constraints, subset
from litgpt_zh.prompts import chat_prompt, plain, story_request
from litgpt_zh.stage import write_text
from litgpt_zh.tokenizer import files
from litgpt_zh.tokenizer.read import chosen, records
from litgpt_zh.tokens.pack import PACKINGS

if TYPE_CHECKING:
    import tokenizers

SLICE = 16 << 20
"""Bytes of corpus for one file of rows: small enough for even loads and flat memory, large enough to pack well."""
_BATCH = 256  # texts handed to the tokenizer at once


@dataclass(frozen=True)
class Slice:
    """A piece of work: bytes [start, stop) of a shard, to be written as ``<name>.bin`` and ``<name>.json``."""

    path: Path
    start: int
    stop: int
    name: str
    number: int


@dataclass(frozen=True)
class Plan:
    """What all slices share."""

    tokenizer_dir: Path
    out_dir: Path
    eos_id: int
    width: int
    packing: str
    prompt_share: float
    seed: int
    prompt_fields: dict[str, float] | None = None


def slices(paths: list[Path], split: str, size: int) -> list[Slice]:
    """Cut shards into slices of about ``size`` bytes; the cut depends on the files alone, never on the workers."""
    cuts = [
        (path, start, min(start + size, end))
        for path in paths
        for end in [path.stat().st_size]
        for start in range(0, end, size)
    ]
    return [Slice(path, start, stop, f"{split}-{n:05d}", n) for n, (path, start, stop) in enumerate(cuts)]


def document(
    record: dict[str, Any], prompt_share: float, seed: int, fields: Mapping[str, float] | None = None
) -> tuple[str, bool]:
    """The text of a record as pretraining sees it, and whether its request stands before it.

    A record with constraints gets its request by a coin that its group (else its text) decides; ``fields`` holds the
    share of requests that show each field.
    """
    text = plain(record["text"])
    constraints = Constraints.of(record)
    key = str(record.get("group") or record["text"])
    if constraints and chosen(key, prompt_share, seed):
        constraints = subset(constraints, fields or {}, f"{seed}:{key}")
        return chat_prompt([("user", story_request(constraints))]) + text, True
    return text, False


def encode(part: Slice, plan: Plan) -> dict[str, Any]:
    """Encode, pack and write one slice; done already (by a run that was stopped) is done.

    Returns:
        The counts of the slice, as in ``<name>.json``.

    Raises:
        UserError: a broken line.
    """
    rows_file, counts_file = plan.out_dir / f"{part.name}.bin", plan.out_dir / f"{part.name}.json"
    if counts_file.is_file():
        counts = json.loads(counts_file.read_text(encoding="utf-8"))
        if counts["slice"] == _identity(part) and rows_file.stat().st_size == counts["rows"] * plan.width * 2:
            return counts
    counts = {"slice": _identity(part), "documents": 0, "empty": 0, "prompts": 0, "characters": 0, "tokens": 0}
    flat, lengths = _tokens(part, plan, counts)
    packed = PACKINGS[plan.packing](flat, lengths, plan.width, seed=(plan.seed << 32) + part.number)
    counts.update(rows=len(packed.rows), filler=packed.filler, cut=packed.cut)
    beside = rows_file.with_suffix(".bin.tmp")
    packed.rows.astype("<u2", copy=False).tofile(beside)
    os.replace(beside, rows_file)
    write_text(counts_file, json.dumps(counts))
    return counts


def _identity(part: Slice) -> list[Any]:
    return [part.path.name, part.start, part.stop]


def _tokens(part: Slice, plan: Plan, counts: dict[str, Any]) -> tuple[np.ndarray, list[int]]:
    """All documents of a slice as one uint16 array, and their lengths; adds to ``counts``."""
    tokenizer = _tokenizer(plan.tokenizer_dir)
    blocks: list[np.ndarray] = []
    lengths: list[int] = []
    for texts in _batches(part, plan, counts):
        batch = [[*found.ids, plan.eos_id] for found in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]
        blocks.append(np.fromiter(chain.from_iterable(batch), dtype=np.uint16))
        lengths += map(len, batch)
    flat = np.concatenate(blocks) if blocks else np.empty(0, np.uint16)
    counts["documents"], counts["tokens"] = len(lengths), len(flat)
    return flat, lengths


def _batches(part: Slice, plan: Plan, counts: dict[str, Any]) -> Iterator[list[str]]:
    def texts() -> Iterator[str]:
        for record, _ in records(part.path, part.start, part.stop):
            if not record["text"]:
                counts["empty"] += 1
                continue
            text, prompted = document(record, plan.prompt_share, plan.seed, plan.prompt_fields)
            counts["prompts"] += prompted
            counts["characters"] += len(text)
            yield text

    found = texts()
    while batch := list(islice(found, _BATCH)):
        yield batch


@functools.lru_cache(maxsize=1)
def _tokenizer(folder: Path) -> tokenizers.Tokenizer:
    return files.load(folder)


def one_thread() -> None:
    """Initializer of a worker: one Rayon thread each beats one process with many."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
