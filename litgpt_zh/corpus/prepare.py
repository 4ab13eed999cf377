"""From records to lines, in parallel: cleaning, hashing and the place in the split of every story, in order.

A job is a batch of records or a block of the built-in world; what comes out does not depend on the number of workers.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import xxhash

from litgpt_zh.corpus.clean import Limits, clean, content, tidy
from litgpt_zh.corpus.near import signatures
from litgpt_zh.corpus.readers import Bad, Record

BATCH = 500
_BATCH_CHARS = 4 << 20


@dataclass(frozen=True)
class Block:
    """Stories ``start`` to ``start + count`` of the built-in world."""

    seed: int
    start: int
    count: int
    length: Literal["short", "full"]
    plots: tuple[str, ...] = ()


@dataclass(frozen=True)
class Job:
    """What a worker is handed."""

    items: Block | list[Record | Bad]
    limits: Limits
    seed: int
    signed: bool = False
    """Whether stories get a MinHash signature."""


@dataclass(frozen=True)
class Kept:
    """A story that passed the rules: its hash, its place in the split (0 <= place < 1), its length and its line."""

    key: int
    place: float
    characters: int
    line: bytes
    content: bytes = b""
    """What `clean.content` leaves of the text, until the signature is made."""
    signature: bytes = b""


@dataclass(frozen=True)
class Done:
    """A job's results in order (a `Bad` from cleaning has the rule's name as reason); how often a rule changed one."""

    results: list[Kept | Bad]
    changed: Counter[str]


def place(fields: dict[str, Any], key: int, seed: int) -> float:
    """Where a story falls in [0, 1): by its group, or else by its content, so that no story moves when others come.

    Args:
        fields: the record.
        key: xxh3-64 of its `clean.content`.
        seed: another seed is another split.
    """
    group = fields.get("group")
    data = key.to_bytes(8, "little") if group is None else f"group:{group}".encode()
    return xxhash.xxh3_64_intdigest(data, seed=seed) / 2**64


def work(job: Job) -> Done:
    """Do one job (in a worker process)."""
    changed: Counter[str] = Counter()
    results = [
        item if isinstance(item, Bad) else prepare(item, job.limits, job.seed, changed) for item in _records(job.items)
    ]
    return Done(_signed(results, job.signed), changed)


def _signed(results: list[Kept | Bad], wanted: bool) -> list[Kept | Bad]:
    """With a signature, where wanted, in the place of what it is made of."""
    contents = [story.content for story in results if isinstance(story, Kept)]
    marks = (mark.tobytes() for mark in signatures(contents)) if wanted else itertools.repeat(b"")
    return [replace(r, content=b"", signature=next(marks)) if isinstance(r, Kept) else r for r in results]


def _records(items: Block | list[Record | Bad]) -> Iterable[Record | Bad]:
    if not isinstance(items, Block):
        return items
    from litgpt_zh.corpus.world import generate

    stories = generate(items.seed, items.start, items.count, items.length, items.plots)
    return (Record(story.record(), "world", items.start + n) for n, story in enumerate(stories, 1))


def prepare(record: Record, limits: Limits, seed: int, changed: Counter[str]) -> Kept | Bad:
    """Clean one record."""
    text, reason, rules = clean(record.fields["text"], limits)
    changed.update(rules)
    if text is None:
        return Bad(record.file, record.line, reason)
    fields = {"text": text} | {key: _tidy(value) for key, value in record.fields.items() if key != "text" and value}
    line = json.dumps(fields, ensure_ascii=False).encode("utf-8") + b"\n"
    letters = content(text)
    key = xxhash.xxh3_64_intdigest(letters)
    return Kept(key, place(fields, key, seed), len(text), line, letters)


def _tidy(value: Any) -> Any:
    if isinstance(value, str):
        return tidy(value)
    return [_tidy(part) for part in value] if isinstance(value, (list, tuple)) else value


def blocks(
    seed: int, start: int, stop: int, length: Literal["short", "full"], plots: tuple[str, ...] = ()
) -> Iterator[Block]:
    """Stories ``start`` to ``stop`` of the built-in world, in pieces of a size that does not depend on ``start``."""
    while start < stop:
        end = min(stop, (start // BATCH + 1) * BATCH)
        yield Block(seed, start, end - start, length, plots)
        start = end


def batches(items: Iterable[Record | Bad]) -> Iterator[list[Record | Bad]]:
    """Batches of at most `BATCH` items, fewer when they are large."""
    batch: list[Record | Bad] = []
    size = 0
    for item in items:
        batch.append(item)
        size += len(item.fields["text"]) if isinstance(item, Record) else 0
        if len(batch) == BATCH or size > _BATCH_CHARS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
