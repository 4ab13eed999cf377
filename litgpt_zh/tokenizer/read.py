"""Reading a corpus folder: ``train-00000.jsonl`` .., ``val-00000.jsonl``, one record a line with at least ``text``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import xxhash

from litgpt_zh.corpus.shards import shard_files
from litgpt_zh.stage import UserError

_DECODER = json.JSONDecoder()


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


def records(
    path: Path, start: int = 0, stop: int | None = None, bad: Callable[[int, str], None] | None = None
) -> Iterator[tuple[dict[str, Any], int]]:
    """The records of a shard whose line starts in bytes [start, stop), each with its line's length in bytes.

    Cut anywhere, neighbouring ranges together give every line exactly once.

    Args:
        path: the shard.
        start: first byte.
        stop: the byte after the last; the end of the file by default.
        bad: told the byte where a line starts that is no JSON object with a string ``text``, and why; it is then left out.

    Raises:
        UserError: such a line without ``bad``; names file and line.
    """
    with open(path, "rb") as file:
        if start > 0:  # a line that starts before `start` belongs to the range before
            file.seek(start - 1)
            file.readline()
        at = file.tell()
        while (stop is None or at < stop) and (line := file.readline()):
            if line.strip():
                found = _record(line)
                if not isinstance(found, str):
                    yield found, len(line)
                elif bad is None:
                    raise UserError(f"{path}:{line_number(path, at)}: {found}; run `litgpt-zh corpus` again")
                else:
                    bad(at, found)
            at += len(line)


def line_number(path: Path, at: int) -> int:
    """Which line, counted from 1, starts at byte ``at``."""
    lines = 1
    with open(path, "rb") as file:
        while at > 0 and (chunk := file.read(min(at, 1 << 20))):
            lines += chunk.count(b"\n")
            at -= len(chunk)
    return lines


def _record(line: bytes) -> dict[str, Any] | str:
    """The record, or why it is none."""
    try:
        text = line.decode("utf-8").strip()
        record, end = _DECODER.raw_decode(text)
        if end < len(text):
            return "broken json"
        if not isinstance(record, dict):
            return f"not a record but a JSON {type(record).__name__}"
        if not isinstance(record.get("text"), str):
            return "no text"
        if b"\\u" in line:
            json.dumps(record, ensure_ascii=False).encode()  # fails on half of a surrogate pair, written as an escape
        return record
    except UnicodeDecodeError:
        return "invalid UTF-8"
    except UnicodeEncodeError:
        return "half a character (a lone surrogate)"
    except (ValueError, RecursionError):
        return "broken json"
