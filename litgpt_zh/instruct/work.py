"""What a worker process does with a chunk of records: make or thin the request, encode, measure."""

from __future__ import annotations

import multiprocessing
import os
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from litgpt_zh.constraints import Constraints, parse, subset
from litgpt_zh.instruct.encode import Encoder
from litgpt_zh.instruct.extract import Jieba, extract, rng_for
from litgpt_zh.instruct.formats import Bad, Conversation, Story
from litgpt_zh.prompts import INSTRUCTION, story_request


@dataclass(frozen=True)
class Settings:
    """All that a worker needs to know."""

    tokenizer_dir: str
    block_size: int
    prompt_fields: dict[str, float]
    seed: int


@dataclass(frozen=True)
class Encoded:
    """A record ready to be written; ``ids`` uint16 and ``mask`` uint8, both of shape (tokens,)."""

    ids: np.ndarray
    mask: np.ndarray
    group: str
    source: str


_worker: dict[str, Any] = {}
"""This process's encoder, segmenter and settings: loading them once a process, not once a chunk."""


def setup_worker(settings: Settings) -> None:
    if multiprocessing.parent_process():
        os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the processes are the parallelism; threads on top are slower
    _worker.clear()
    _worker.update(settings=settings, encoder=Encoder(settings.tokenizer_dir))


def work(chunk: list[Conversation | Story | Bad]) -> list[Encoded | Bad]:
    """One result for each record, in order."""
    settings: Settings = _worker["settings"]
    ready = [_prepared(record, settings) for record in chunk]
    talks = [record for record in ready if isinstance(record, Conversation)]
    arrays = iter(_worker["encoder"].encode([talk.turns for talk in talks]))
    return [record if isinstance(record, Bad) else _measured(record, next(arrays), settings) for record in ready]


def _prepared(record: Conversation | Story | Bad, settings: Settings) -> Conversation | Bad:
    if isinstance(record, Story):
        record = _asked(record, settings.seed)
    if isinstance(record, Bad) or not settings.prompt_fields:
        return record
    key = "\n".join((str(settings.seed), *(content for _, content in record.turns)))
    turns = tuple(
        (role, thin(text, settings.prompt_fields, key) if role == "user" else text) for role, text in record.turns
    )
    return replace(record, turns=turns)


def _asked(story: Story, seed: int) -> Conversation | Bad:
    """The story as the answer to a request made from it."""
    if "segmenter" not in _worker:
        _worker["segmenter"] = Jieba()
    wanted = Constraints.of(extract(story.text, rng_for(story.text, seed), _worker["segmenter"]))
    if not wanted:
        return bad(story.source, "nothing in the story to ask for")
    return Conversation((("user", story_request(wanted)), ("assistant", story.text)), story.group, story.source)


def thin(asked: str, shares: dict[str, float], key: str) -> str:
    """A story request that shows each field with its share, ``key`` decides; requests of another kind stay."""
    head, _, lines = asked.partition("\n")
    constraints = parse(lines) if head == INSTRUCTION else None
    if constraints is None:
        return asked
    return story_request(subset(constraints, shares, key))


def _measured(record: Conversation, arrays: tuple[np.ndarray, np.ndarray], settings: Settings) -> Encoded | Bad:
    ids, mask = arrays
    if len(ids) > settings.block_size:
        return bad(record.source, too_long_reason(settings.block_size))
    return Encoded(ids, mask, record.group, record.source)


def bad(source: str, reason: str) -> Bad:
    file, _, line = source.rpartition(":")
    return Bad(file, int(line), reason)


def too_long_reason(block_size: int) -> str:
    return f"more than {block_size} tokens"
