"""One item's way through the agent: draft, then reflect and improve where the mode asks for it, then repairs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from litgpt_zh.translate import prompts
from litgpt_zh.translate.client import Ask, Client
from litgpt_zh.translate.faults import Trouble
from litgpt_zh.translate.glossary import occurring
from litgpt_zh.translate.ledger import Answer
from litgpt_zh.translate.prompts import Country, Messages, Style
from litgpt_zh.translate.read import Item
from litgpt_zh.translate.reply import Parts, ReplyError, grade_in, parse_reply, schema, spoken
from litgpt_zh.translate.validate import Problem, problems, salvage, settle_sentence

Mode = Literal["constraints", "once", "reflect", "auto"]
REPAIRS = 2
"""Calls an item may cost beyond its plan."""
GOOD = 4
"""The judge's grade from which mode ``auto`` keeps a draft."""


@dataclass(frozen=True)
class Plan:
    """What is to be done with every item. ``refine`` reflects and improves; it may be the same client as ``draft``."""

    mode: Mode
    country: Country
    glossary: Mapping[str, str]
    draft: Client
    refine: Client
    judge: bool = False


@dataclass
class Outcome:
    """``parts`` is None for a dead letter; then ``reason`` and ``raw``, the model's last words, say why.

    ``steps`` counts what the item went through: calls by step, validators that complained, constraints left out.
    """

    parts: Parts | None = None
    reason: str = ""
    raw: str = ""
    steps: Counter[str] = field(default_factory=Counter)


async def translate_item(item: Item, plan: Plan, attempt: int = 0) -> Outcome:
    """Walk one item to the end.

    Args:
        item: what to translate.
        plan: how.
        attempt: the round of retries; it makes every call a new one, so that the item does not find its old answers.

    Raises:
        UserError: the run cannot go on.
    """
    if plan.mode == "constraints" and not item.given:
        return Outcome(reason="no Chinese story, and mode constraints makes none; use another mode")
    walk = _Walk(item, plan, attempt)
    try:
        await walk.run()
    except Trouble as trouble:
        return Outcome(None, f"endpoint: {trouble.reason}", walk.raw, walk.steps)
    if not walk.found and walk.best:
        return Outcome(walk.best, steps=walk.steps)
    left = salvage(item, walk.best, walk.found) if walk.best else None
    if left:
        walk.steps["constraints left out"] += 1
        return Outcome(left, steps=walk.steps)
    return Outcome(None, "; ".join(problem.text for problem in walk.found), walk.raw, walk.steps)


class _Walk:
    """The state of one item: the best parts so far and what is wrong with them."""

    def __init__(self, item: Item, plan: Plan, attempt: int) -> None:
        self.item, self.plan, self.attempt = item, plan, attempt * 100
        self.keys = prompts.keys_of(item, story=plan.mode != "constraints")
        self.names = occurring(plan.glossary, item.story) if plan.mode != "constraints" else {}
        self.best: Parts | None = None
        self.found: list[Problem] = []
        self.raw = ""
        self.steps: Counter[str] = Counter()
        self._repairs = REPAIRS

    async def run(self) -> None:
        if not self.keys:
            self.best = Parts()
            return
        mode = self.plan.mode
        first = prompts.fit if mode == "constraints" else prompts.draft

        def draft(style: Style) -> Messages:
            return first(self.item, self.keys, style, self.plan.country, self.names)

        deep = mode in ("reflect", "auto")
        answer = await self._settle("draft", self.plan.draft, draft, until_valid=not deep)
        if not self.best or not deep:
            return
        complaints = [problem.text for problem in self.found]
        if mode == "auto" and not complaints and await self._good(answer):
            return
        await self._refine(draft, answer, complaints)

    async def _refine(self, draft: prompts.Build, answer: Answer, complaints: Sequence[str]) -> None:
        source, country = self._source(), self.plan.country
        review = prompts.reflect(source, answer.text, complaints, country)
        said = await self._ask("reflect", self.plan.refine, Ask(lambda style: review, None, self.attempt))
        criticism = said.text.strip()
        if not complaints and re.fullmatch(r"(?i)[\W_]*(ok)?[\W_]*", criticism):
            return
        before = self.best
        await self._settle(
            "improve",
            self.plan.refine,
            lambda style: prompts.improve(draft(style), answer.text, criticism or "\n".join(complaints)),
        )
        if self.best is before:  # no edit had fewer faults
            self.steps["draft kept"] += 1

    async def _settle(self, step: str, client: Client, build: prompts.Build, until_valid: bool = True) -> Answer:
        """Ask, and ask again with what is wrong, until the parts are right or the repairs are used up.

        With ``until_valid`` false, parts that can be read are enough.
        """
        ask = Ask(build, schema(self.keys), self.attempt)
        while True:
            answer = await self._ask(step, client, ask)
            parts, found = self._read(answer)
            if parts and (not self.best or len(found) <= len(self.found)):
                self.best, self.found = parts, found
            elif not self.best:
                self.found = found
            if not found or (parts and not until_valid) or not self._repairs:
                return answer
            self._repairs -= 1
            step, ask = "repair", again(ask, build, answer, found)

    def _read(self, answer: Answer) -> tuple[Parts | None, list[Problem]]:
        self.raw = answer.text
        found = unusable(answer)
        parts = None
        if not found:
            try:
                parts = settle_sentence(self.item, parse_reply(answer.text, self.item, self.keys, answer.style))
                found = problems(self.item, parts, self.keys, self.plan.country, self.names)
            except ReplyError as error:
                found = [Problem("keys", str(error))]
        self.steps.update({f"rule {problem.rule}": 1 for problem in found})
        return parts, found

    async def _good(self, answer: Answer) -> bool:
        if not self.plan.judge:
            return True
        review = prompts.judge(self._source(), answer.text, self.plan.country)
        said = await self._ask("judge", self.plan.refine, Ask(lambda style: review, None, self.attempt))
        return (grade_in(said.text) or 0) >= GOOD

    async def _ask(self, step: str, client: Client, ask: Ask) -> Answer:
        self.steps[step] += 1
        answer = await client.ask(ask)
        return replace(answer, text=spoken(answer.text))

    def _source(self) -> str:
        return prompts.pack({name: getattr(self.item, name) for name in self.keys if name != "words"})


def again(ask: Ask, build: prompts.Build, answer: Answer, found: Sequence[Problem]) -> Ask:
    """The request behind ``ask``: the same with more room where the answer was cut off, else with what is wrong with it.

    Args:
        ask: what was asked.
        build: its messages when it was asked first.
        answer: what it got.
        found: what is wrong with that.
    """
    rules = {problem.rule for problem in found}
    if rules & {"cut", "refused", "nothing"}:
        return Ask(build, ask.schema, ask.attempt + 1, ask.roomy or "cut" in rules)
    texts = [problem.text for problem in found]
    return Ask(lambda style: prompts.repair(build(style), answer.text, texts), ask.schema, ask.attempt + 1)


def unusable(answer: Answer) -> list[Problem]:
    """Why an answer need not be read: it was cut off, refused or is empty."""
    if answer.finish == "length":
        return [Problem("cut", "the answer was cut off at max_tokens")]
    if answer.finish in ("content_filter", "refusal"):
        return [Problem("refused", f"the model refused ({answer.finish})")]
    return [] if answer.text.strip() else [Problem("nothing", "the answer was empty")]
