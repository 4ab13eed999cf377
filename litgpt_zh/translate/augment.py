"""Several requests for one story: constraints in another order, or some of them left out. Capped, and of one group.

All orders of four constraints would be 24 copies of one story, which would then weigh 24 times as much and fall on both
sides of a random split. So there are at most ``variants`` records of a story, the first of them whole and in the usual
order, and all carry the story's group, by which the split is made.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from litgpt_zh.constraints import FIELDS, Constraints, render, subset
from litgpt_zh.prompts import INSTRUCTION
from litgpt_zh.translate.read import Item
from litgpt_zh.translate.reply import Parts
from litgpt_zh.translate.validate import constraints_of

KEEP = 0.6
"""Share of the variants that show each constraint."""


def record(item: Item, parts: Parts) -> dict[str, Any]:
    """The story record that ``litgpt-zh instructions`` reads."""
    return {
        "instruction": INSTRUCTION,
        "input": render(constraints_of(item, parts)),
        "output": parts.story or item.given,
        "group": item.group,
        "english": item.english(),
    }


def variants(record: dict[str, Any], constraints: Constraints, most: int, seed: int) -> Iterator[dict[str, Any]]:
    """``record`` and up to ``most - 1`` others with different requests; fewer where there are not so many."""
    yield record
    seen = {record["input"]}
    dice = random.Random(f"{seed} {record['group']}")
    for number in range(8 * (most - 1)):
        if len(seen) >= most:
            return
        part = _shuffled(subset(constraints, dict.fromkeys(FIELDS, KEEP), f"{seed} {record['group']} {number}"), dice)
        if render(part) not in seen:  # lines in the usual order: two that differ in that alone are one to training
            seen.add(render(part))
            lines = render(part).split("\n")
            yield {**record, "input": "\n".join(dice.sample(lines, len(lines)))}


def _shuffled(constraints: Constraints, dice: random.Random) -> Constraints:
    words, features = (dice.sample(values, len(values)) for values in (constraints.words, constraints.features))
    return replace(constraints, words=tuple(words), features=tuple(features))
