"""From records to lines, in parallel: cleaning, hashing and the place in the split of every story, in order.

A job is a batch of records or a block of the built-in world; what comes out does not depend on the number of workers.
"""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import xxhash

from litgpt_zh.corpus.clean import Change, Limits, clean, content, mend, tidy
from litgpt_zh.corpus.clean_rule import difference
from litgpt_zh.corpus.near import signatures
from litgpt_zh.corpus.readers import Bad, Record

BATCH = 500
_BATCH_CHARS = 4 << 20
EXAMPLES = 5
"""Changes of each rule that are shown."""
FOLLOWING = ("words", "sentence", "summary")
"""Fields that say something about the story, and follow its cleaning."""
LOST = "words, sentence or summary left out"
"""Counted among the changes: the story itself stays."""


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
class Edit:
    """An example of what a rule changed: excerpts around the change."""

    rule: str
    file: str
    line: int
    before: str
    after: str


@dataclass
class Log:
    """How often each rule changed a story, and its first `EXAMPLES` changes."""

    changed: Counter[str] = field(default_factory=Counter)
    edits: list[Edit] = field(default_factory=list)

    def add(self, change: Change, record: Record) -> None:
        self.changed[change.rule] += 1
        if self.changed[change.rule] <= EXAMPLES:
            self.edits.append(Edit(change.rule, record.file, record.line, *difference(change.before, change.after)))


@dataclass(frozen=True)
class Done:
    """A job's results in order (a `Bad` from cleaning has the rule's name as reason) and what the rules changed."""

    results: list[Kept | Bad]
    log: Log


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
    log = Log()
    results = [
        item if isinstance(item, Bad) else prepare(item, job.limits, job.seed, log) for item in _records(job.items)
    ]
    return Done(_signed(results, job.signed), log)


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


def prepare(record: Record, limits: Limits, seed: int, log: Log) -> Kept | Bad:
    """Clean one record: the story by every rule, what stands beside it so that it still matches the story."""
    cleaned = clean(record.fields["text"], limits)
    for change in cleaned.changed:
        log.add(change, record)
    if cleaned.text is None:
        return Bad(record.file, record.line, cleaned.reason, cleaned.where)
    fields = {"text": cleaned.text} | _beside(record, cleaned.text, limits, log)
    line = json.dumps(fields, ensure_ascii=False).encode("utf-8") + b"\n"
    letters = content(cleaned.text)
    key = xxhash.xxh3_64_intdigest(letters)
    return Kept(key, place(fields, key, seed), len(cleaned.text), line, letters)


def _beside(record: Record, text: str, limits: Limits, log: Log) -> dict[str, Any]:
    """The fields beside the story, put right as it was. A word or sentence that the story had and has no more is left out
    (`LOST`), and a sentence is written as the story now writes it."""
    raw = record.fields["text"]
    fields: dict[str, Any] = {}
    for key, value in record.fields.items():
        if key == "text" or not value:
            continue
        if key == "words":
            kept = [(mend(word, limits), word) for word in value]
            found: Any = [new for new, word in kept if new and (new in text or word not in raw)]
        elif key == "sentence":
            new = mend(value, limits)
            found = new if new is None or new in text or value not in raw else same_letters(new, text)
        else:
            found = mend(value, limits) if key == "summary" else _tidy(value)
        if found:
            fields[key] = found
        if key in FOLLOWING and (not found or (key == "words" and len(found) < len(value))):
            log.add(Change(LOST, "、".join(value) if key == "words" else value, "、".join(found or "")), record)
    return fields


def same_letters(passage: str, text: str) -> str | None:
    """The stretch of ``text`` with the letters of ``passage``, whatever marks and spaces stand between them, and with the
    marks that end it; None when there is none."""
    letters = [re.escape(c) for c in passage if c.isalnum()]
    found = re.search(r"[\W_]*?".join(letters) + r"[。！？…!?.，,；;：:]*[”’」』\"')）]*", text) if letters else None
    return found.group() if found else None


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
