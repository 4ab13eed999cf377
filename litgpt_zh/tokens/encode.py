"""A worker of the tokens stage: one slice of a corpus shard -> one file of rows. Imports no torch, no litgpt."""

from __future__ import annotations

import functools
import itertools
import json
import os
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from litgpt_zh.constraints import Constraints, subset
from litgpt_zh.prompts import chat_prompt, plain, story_request
from litgpt_zh.stage import write_text
from litgpt_zh.tokenizer import files
from litgpt_zh.tokenizer.read import chosen, line_number, records
from litgpt_zh.tokens.bulk import Encode, encoder
from litgpt_zh.tokens.pack import PACKINGS, Packed, concatenated

SLICE = 8 << 20
"""Most bytes of corpus for one file of rows: small enough for even loads and flat memory, large enough to pack well."""
EXAMPLES = 20
"""Bad lines that are named."""
_BATCH = 1 << 16  # characters after which texts are encoded together


@dataclass(frozen=True)
class Slice:
    """A piece of work: bytes [start, stop) of a shard, to be written as ``<name>.bin``, ``.npz`` and ``.json``."""

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
    """Cut each shard into equal slices of at most ``size`` bytes; the cut depends on the files alone, never on the workers."""
    cuts: list[tuple[Path, int, int]] = []
    for path in paths:
        end = path.stat().st_size
        count = -(-end // size)
        edges = [end * n // count for n in range(count)] + [end]
        cuts += [(path, start, stop) for start, stop in itertools.pairwise(edges)]
    return [Slice(path, start, stop, f"{split}-{n:05d}", n) for n, (path, start, stop) in enumerate(cuts)]


def document(
    record: dict[str, Any], prompt_share: float, seed: int, fields: Mapping[str, float] | None = None
) -> tuple[str, bool]:
    """The text of a record as pretraining sees it, and whether its request stands before it.

    A record with constraints gets its request by a coin that its group (else its text) decides; ``fields`` holds the
    share of requests that show each field.
    """
    text = plain(record["text"])
    constraints = Constraints.of(record) if prompt_share else None
    key = str(record.get("group") or record["text"])
    if constraints and chosen(key, prompt_share, seed):
        constraints = subset(constraints, fields or {}, f"{seed}:{key}")
        return chat_prompt([("user", story_request(constraints))]) + text, True
    return text, False


def encode(part: Slice, plan: Plan) -> dict[str, Any]:
    """Encode, pack and write one slice; done already (by a run that was stopped) is done.

    Besides the rows it writes ``<name>.npz``: ``lengths``, the mean length of each row's documents in tokens, and
    ``clusters``, (row, number) where a row holds a near-duplicate that was kept.

    Returns:
        The counts of the slice, as in ``<name>.json``.
    """
    rows_file, counts_file = plan.out_dir / f"{part.name}.bin", plan.out_dir / f"{part.name}.json"
    if counts_file.is_file():
        counts = json.loads(counts_file.read_text(encoding="utf-8"))
        if counts["slice"] == _identity(part) and rows_file.stat().st_size == counts["rows"] * plan.width * 2:
            return counts
    found = read(part, plan)
    flat = np.asarray(found.flat)
    clusters = found.clusters if max(found.clusters, default=-1) >= 0 else None
    packed = PACKINGS[plan.packing](flat, found.lengths, plan.width, (plan.seed << 32) + part.number, clusters)
    cut, headless = concatenated(found.lengths, plan.width)
    counts = found.counts | {
        "slice": _identity(part), "documents": len(found.lengths), "tokens": len(flat), "rows": len(packed.rows),
        "filler": packed.filler, "cut": packed.cut, "headless": packed.headless,
        "cut_if_concatenated": cut, "headless_if_concatenated": headless,
    }  # fmt: skip
    beside = rows_file.with_suffix(".bin.tmp")
    packed.rows.astype("<u2", copy=False).tofile(beside)
    os.replace(beside, rows_file)
    with open(rows_file.with_suffix(".npz"), "wb") as file:
        np.savez(file, lengths=_means(packed, found.lengths), clusters=_kept(packed, clusters))
    write_text(counts_file, json.dumps(counts, ensure_ascii=False))
    return counts


def _identity(part: Slice) -> list[Any]:
    return [part.path.name, part.start, part.stop]


def _means(packed: Packed, lengths: list[int]) -> np.ndarray:
    """(R,) uint16: mean length of the documents with a piece in each row."""
    row, document = packed.places.T
    total = np.bincount(row, np.asarray(lengths, np.float64)[document], len(packed.rows))
    return np.minimum(total / np.maximum(np.bincount(row, minlength=len(packed.rows)), 1), 65_535).astype(np.uint16)


def _kept(packed: Packed, clusters: list[int] | None) -> np.ndarray:
    """(K, 2) int64: row and number of each near-duplicate."""
    if clusters is None:
        return np.empty((0, 2), np.int64)
    numbers = np.asarray(clusters, np.int64)[packed.places[:, 1]]
    return np.column_stack((packed.places[:, 0], numbers))[numbers >= 0]


@dataclass
class Documents:
    """The documents of a slice: their ids one after another (each with its end), lengths, clusters (-1: none), counts."""

    flat: array[int]
    lengths: list[int]
    clusters: list[int]
    counts: dict[str, Any]


def read(part: Slice, plan: Plan, most: int | None = None) -> Documents:
    """Read and encode a slice, or the first ``most`` documents of it.

    A line that cannot be read is counted (``bad``) and, the first `EXAMPLES` of them, named (``examples``).
    """
    encode_all = _encoder(plan.tokenizer_dir, plan.eos_id)
    found = Documents(
        array("H"), [], [], dict.fromkeys(("bad", "empty", "prompts", "characters"), 0) | {"examples": []}
    )
    for batch in _batches(islice(_texts(part, plan, found), most)):
        ids, lengths = encode_all(batch)
        found.flat.frombytes(ids.tobytes())
        found.lengths += lengths
    return found


def _batches(texts: Iterator[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for text in texts:
        batch.append(text)
        size += len(text)
        if size >= _BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _texts(part: Slice, plan: Plan, found: Documents) -> Iterator[str]:
    counts = found.counts

    def bad(at: int, reason: str) -> None:
        counts["bad"] += 1
        if len(counts["examples"]) < EXAMPLES:
            counts["examples"].append({"file": part.path.name, "line": line_number(part.path, at), "reason": reason})

    for record, _ in records(part.path, part.start, part.stop, bad):
        if not record["text"]:
            counts["empty"] += 1
            continue
        text, prompted = document(record, plan.prompt_share, plan.seed, plan.prompt_fields)
        counts["prompts"] += prompted
        counts["characters"] += len(text)
        cluster = record.get("cluster")
        found.clusters.append(cluster if isinstance(cluster, int) else -1)
        yield text


@functools.lru_cache(maxsize=1)
def _encoder(folder: Path, eos_id: int) -> Encode:
    return encoder(files.load(folder), eos_id)


def one_thread() -> None:
    """Set up a worker: one Rayon thread each beats one process with many."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
