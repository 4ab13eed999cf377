"""Requests to sample answers for: of a corpus folder, a jsonl file, or new ones of the story world."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from litgpt_zh.constraints import Constraints, subset
from litgpt_zh.corpus.shards import read_shards, shard_files
from litgpt_zh.evaluate.score import read_records
from litgpt_zh.instruct.extract import Jieba, extract, rng_for
from litgpt_zh.prompts import chat_prompt, story_request
from litgpt_zh.stage import UserError


@dataclass(frozen=True)
class Request:
    """What is asked for, the prompt text that asks it (as in training), the record's own story (may be empty)."""

    asked: Constraints
    prompt: str
    story: str
    group: str


def requests(
    source: Path | None,
    *,
    count: int,
    fields: dict[str, float],
    seed: int,
    world_seed: int,
    length: Literal["short", "full"] = "short",
    plots: Sequence[str] = (),
    skip: int = 0,
) -> Iterator[Request | None]:
    """``count`` requests, behind the first ``skip``; None stands for a record that asks for nothing.

    Args:
        source: a corpus folder (its training stories), a jsonl file of such records, or None for the story world.
        count: requests.
        fields: share of the requests that show each field, see ``constraints.subset``.
        seed: of the fields shown, and of requests made from plain stories.
        world_seed: of the story world; another one than the training corpus was made with.
        length: of the story world's stories.
        plots: of the story world, as in the training corpus; all by default.
        skip: records passed over: a later round goes on where an earlier one ended.

    Raises:
        UserError: the source is missing or holds no (more) records.
    """
    if source is None:
        from litgpt_zh.corpus.world import generate

        found: Iterator[dict[str, Any]] = (story.record() for story in generate(world_seed, skip, count, length, plots))
    elif Path(source).is_dir():
        if not shard_files(Path(source), "train"):
            raise UserError(f"{source}: no train-*.jsonl; give a corpus folder, or a jsonl file of records")
        found = islice(read_shards(source, "train"), skip, None)
    else:
        found = islice(read_records(source), skip, None)
    segmenter, number = None, -1
    for number, record in enumerate(islice(found, count)):  # noqa: B007  told apart below from none at all
        text = (record.get("text") or "").strip()
        asked = Constraints.of(record)
        if not asked and text:
            segmenter = segmenter or Jieba()
            asked = Constraints.of(extract(text, rng_for(text, seed), segmenter))
        if not asked:
            yield None
            continue
        shown = subset(asked, fields, f"{seed}\n{story_request(asked)}\n{text}")
        prompt = chat_prompt([("user", story_request(shown))])
        yield Request(shown, prompt, text, str(record.get("group") or prompt))
    if number < 0:
        raise UserError(f"{source}: no record behind the first {skip}; give more records, or ask for fewer")
