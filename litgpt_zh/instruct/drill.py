"""Copy drills: requests that are answered by their own words, mixed into the beginning of SFT.

A small model can use the words of a request only after it has learnt to copy from its context at all. Stories teach that
slowly: a word to copy comes every twenty tokens. A drill is nothing else. Drills alone would make the model forget how to
write, so each batch of them comes before a batch of stories (docs/LOG.md has the numbers).
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import islice

from litgpt_zh.constraints import Constraints, render
from litgpt_zh.instruct.formats import Conversation
from litgpt_zh.instruct.records import BadRecord, Source, read_records

SOURCE = "drill"
MOST_WORDS = 20_000
"""Different words kept for drills, the first that the sources ask for."""


def asked_words(sources: list[Source]) -> list[str]:
    """The different words that the records of the sources ask for (key ``words``), in the order of their appearance."""
    found: dict[str, None] = {}
    for source in sources:
        for _, record in read_records(source.path):
            if isinstance(record, dict) and not isinstance(record, BadRecord):
                found.update(dict.fromkeys(record.get("words") or ()))
        if len(found) >= MOST_WORDS:
            break
    return list(islice(found, MOST_WORDS))


def drills(words: list[str], count: int, seed: int) -> Iterator[Conversation]:
    """``count`` drills of 3 to 6 words each; the same for the same words and seed."""
    rng = random.Random(f"drill:{seed}")
    for n in range(count):
        chosen = tuple(words[rng.randrange(len(words))] for _ in range(3 + rng.randrange(4)))
        turns = (("user", render(Constraints(words=chosen))), ("assistant", "，".join(chosen)))
        yield Conversation(turns, group=f"{SOURCE}-{n}", source=f"{SOURCE}:{n + 1}")
