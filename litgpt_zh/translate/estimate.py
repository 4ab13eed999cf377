"""What a run would cost, without a call: the messages are built, their tokens estimated, the answers supposed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from litgpt_zh.translate import prompts
from litgpt_zh.translate.agent import Mode
from litgpt_zh.translate.endpoint import Endpoint, estimate
from litgpt_zh.translate.prompts import Country, Messages
from litgpt_zh.translate.read import Item

HAN_PER_WORD = 1.6
CRITICISM = 200
"""Tokens of a list of criticisms."""
COMPLAINED = 0.25
"""Share of drafts that mode ``auto`` sends on; the report of a pilot gives the true one."""
MODES: tuple[Mode, ...] = ("constraints", "once", "auto", "reflect")


@dataclass
class Cost:
    """Sums over all items of one mode."""

    calls: float = 0
    tokens_in: float = 0
    tokens_out: float = 0
    money: float = 0

    def add(self, endpoint: Endpoint, tokens_in: float, tokens_out: float, share: float = 1.0) -> None:
        self.calls += share
        self.tokens_in += tokens_in * share
        self.tokens_out += tokens_out * share
        self.money += share * (tokens_in * endpoint.price_in + tokens_out * endpoint.price_out) / 1e6


def costs(
    items: Iterable[Item], country: Country, glossary: Mapping[str, str], draft: Endpoint, refine: Endpoint
) -> tuple[int, dict[Mode, Cost]]:
    """The number of items and the cost of each mode; ``constraints`` only counts items that have a Chinese story."""
    found: dict[Mode, Cost] = {mode: Cost() for mode in MODES}
    count = 0
    for item in items:
        count += 1
        _item(item, country, glossary, draft, refine, found)
    return count, found


def _item(
    item: Item,
    country: Country,
    glossary: Mapping[str, str],
    first: Endpoint,
    second: Endpoint,
    found: dict[Mode, Cost],
) -> None:
    keys = prompts.keys_of(item, story=True)
    asked = prompts.draft(item, keys, "json_schema", country, glossary)
    answer = _supposed(" ".join([*item.words, item.summary, item.sentence, item.story]))
    story = _supposed(item.story)
    source = prompts.pack({name: getattr(item, name) for name in keys if name != "words"})
    review = prompts.reflect(source, answer, [], country)
    edit = prompts.improve(asked, answer, "译" * round(CRITICISM * 1.4))
    out = estimate(answer) + 20
    for mode, share in (("once", 0.0), ("auto", COMPLAINED), ("reflect", 1.0)):
        found[mode].add(first, _size(asked), out)  # type: ignore[index]
        if share:
            found[mode].add(second, _size(review), CRITICISM, share)  # type: ignore[index]
            found[mode].add(second, _size(edit), out, share)  # type: ignore[index]
    few = tuple(name for name in keys if name != "story")
    if item.given and few:
        fit = prompts.fit(item, few, "json_schema", country, {})
        found["constraints"].add(first, _size(fit), max(20, out - estimate(story)))


def _supposed(english: str) -> str:
    return "译" * round(HAN_PER_WORD * len(re.findall(r"[A-Za-z']+", english)))


def _size(messages: Messages) -> int:
    return sum(estimate(message["content"]) + 4 for message in messages)


def table(count: int, found: Mapping[Mode, Cost]) -> str:
    """The modes side by side, for these items and for 15,000 and a million like them."""
    lines = [f"{'mode':<12} {'items':>9} {'calls':>10} {'tokens in':>15} {'tokens out':>15} {'cost':>12}"]
    for items in dict.fromkeys((count, 15_000, 1_000_000)):
        for mode, cost in found.items():
            scale = items / max(1, count)
            row = [f"{round(value * scale):,}" for value in (cost.calls, cost.tokens_in, cost.tokens_out)]
            if cost.calls:
                lines.append(
                    f"{mode:<12} {items:>9,} {row[0]:>10} {row[1]:>15} {row[2]:>15} {cost.money * scale:>12,.2f}"
                )
    lines.append(
        f"supposed: {HAN_PER_WORD} Chinese characters per English word, criticisms of {CRITICISM} tokens, auto sends on "
        f"{COMPLAINED:.0%} of the drafts, no repairs; cost in the currency of the prices"
    )
    return "\n".join(lines)
