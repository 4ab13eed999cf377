"""The judge as a measure: some of the finished records are graded by a model. Never needed, always paid for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from litgpt_zh.translate import prompts
from litgpt_zh.translate.client import Ask, Client
from litgpt_zh.translate.faults import Trouble
from litgpt_zh.translate.ledger import Results
from litgpt_zh.translate.prompts import Country
from litgpt_zh.translate.reply import grade_in, spoken
from litgpt_zh.translate.run import in_workers


async def grade_some(results: Results, many: int, country: Country, client: Client, concurrency: int) -> dict[str, Any]:
    """Grades of ``many`` records spread evenly over all, story against story, from 1 (useless) to 5 (publishable).

    Returns:
        ``{"mean", "graded", "no grade", "of 5": {"1": n, ... "5": n}}``; mean is None when there is no grade.

    Raises:
        UserError: the endpoint refuses for good, or the budget is used up.
    """
    found: Counter[int | None] = Counter()

    async def one(record: dict[str, Any]) -> None:
        english, chinese = ({"story": text} for text in (record["english"]["story"], record["output"]))
        messages = prompts.judge(prompts.pack(english), prompts.pack(chinese), country)
        try:
            found[grade_in(spoken((await client.ask(Ask(lambda style: messages))).text))] += 1
        except Trouble:
            found[None] += 1

    await in_workers(_spread(results, many), one, concurrency)
    graded = {grade: n for grade, n in found.items() if grade}
    total = sum(graded.values())
    mean = round(sum(grade * n for grade, n in graded.items()) / total, 3) if total else None
    counts = {str(grade): graded.get(grade, 0) for grade in range(1, 6)}
    return {"mean": mean, "graded": total, "no grade": found[None], "of 5": counts}


def _spread(results: Results, many: int) -> Iterator[dict[str, Any]]:
    total, _ = results.count()
    for number, kept in enumerate(results.records(True)):
        if number * many // total != (number - 1) * many // total:  # steps of total / many, the first record first
            yield kept["record"]
