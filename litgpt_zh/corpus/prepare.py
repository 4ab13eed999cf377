"""From records to lines, in parallel: cleaning, hashing and the place in the split of every story, in order.

A job is a batch of records or a block of the built-in world; what comes out does not depend on the number of workers.
"""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import signal
import threading
from collections import Counter, deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, Literal

import xxhash

from litgpt_zh.corpus.clean import Limits, clean, content_hash, tidy
from litgpt_zh.corpus.readers import Bad, Record
from litgpt_zh.stage import UserError

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


@dataclass(frozen=True)
class Kept:
    """A story that passed the rules: its hash, its place in the split (0 <= place < 1) and its line."""

    key: int
    place: float
    line: bytes


@dataclass(frozen=True)
class Done:
    """A job's results in order (a `Bad` from cleaning has the rule's name as reason); how often a rule changed one."""

    results: list[Kept | Bad]
    changed: Counter[str]


def place(fields: dict[str, Any], key: int, seed: int) -> float:
    """Where a story falls in [0, 1): by its group, or else by its content, so that no story moves when others come.

    Args:
        fields: the record.
        key: `content_hash` of its text.
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
    return Done(results, changed)


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
    key = content_hash(text)
    return Kept(key, place(fields, key, seed), line)


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


def in_order(jobs: Iterator[Job], workers: int) -> Generator[Done, None, None]:
    """The results of ``jobs`` in their order, with at most two jobs a worker under way.

    Args:
        jobs: drawn as workers come free, never all at once.
        workers: processes; 0 is one a core. A single job, and workers=1, run in this process.

    Raises:
        UserError: a worker process was killed.
    """
    workers = workers or cores()
    first = list(itertools.islice(jobs, 2))
    jobs = itertools.chain(first, jobs)
    if workers == 1 or len(first) < 2:
        yield from map(work, jobs)
        return
    context = multiprocessing.get_context("spawn")
    waiting: deque[Future[Done]] = deque()
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker) as pool:
        try:
            for job in jobs:
                waiting.append(pool.submit(work, job))
                if len(waiting) >= 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool:
            raise UserError(
                "corpus: a worker process died (out of memory?); run the same command with --workers 1, it will go on"
            ) from None
        finally:
            for future in waiting:
                future.cancel()


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _start_worker() -> None:
    """Leave Ctrl-C to the parent, and go when the parent is gone (killed, it cannot tell us)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def follow() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
