"""Reading a corpus folder: ``train-00000.jsonl`` .., ``val-00000.jsonl``, one record a line with at least ``text``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import xxhash

from litgpt_zh.corpus.shards import shard_files
from litgpt_zh.stage import UserError


def shards(corpus_dir: Path | str, split: str) -> list[Path]:
    """The shards of one split, in order.

    Raises:
        UserError: there is none.
    """
    paths = shard_files(Path(corpus_dir), split)
    if not paths:
        raise UserError(f"{corpus_dir}: no {split}-*.jsonl; `litgpt-zh corpus` makes it")
    return paths


def chosen(key: str, share: float, seed: int) -> bool:
    """A fixed coin for ``key`` that shows heads with probability ``share``: the same on every machine, in any order."""
    return xxhash.xxh3_64_intdigest(key.encode(), seed) < share * 2**64


def records(path: Path, start: int = 0, stop: int | None = None) -> Iterator[tuple[dict[str, Any], int]]:
    """The records of a shard whose line starts in bytes [start, stop), each with its line's length in bytes.

    Cut anywhere, neighbouring ranges together give every line exactly once.

    Raises:
        UserError: a line that is not a JSON object with a string ``text``; names the file and the byte where it starts.
    """
    with open(path, "rb") as file:
        if start > 0:  # a line that starts before `start` belongs to the range before
            file.seek(start - 1)
            file.readline()
        at = file.tell()
        while (stop is None or at < stop) and (line := file.readline()):
            if line.strip():
                yield _record(line, path, at), len(line)
            at += len(line)


def _record(line: bytes, path: Path, at: int) -> dict[str, Any]:
    try:
        record = json.loads(line)
        if isinstance(record["text"], str):
            return record
    except (ValueError, KeyError, TypeError):
        pass
    raise UserError(f"{path}: no JSON object with a text at byte {at:,}; run `litgpt-zh corpus` again")
