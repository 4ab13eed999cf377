"""The command ``glossary``: how a pilot's stories write each name, put to the vote; the winners become a TSV."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from litgpt_zh.language import say
from litgpt_zh.stage import UserError, progress, write_text
from litgpt_zh.translate import prompts
from litgpt_zh.translate.client import Ask, Client
from litgpt_zh.translate.endpoint import Endpoint
from litgpt_zh.translate.faults import Trouble
from litgpt_zh.translate.ledger import Ledger
from litgpt_zh.translate.limits import Budget
from litgpt_zh.translate.run import gentle_stop, in_workers

_MID_SENTENCE = re.compile(r"(?<=[a-z,] )[A-Z][a-z]+\b")
_NO_NAMES = frozenset(
    "Monday Tuesday Wednesday Thursday Friday Saturday Sunday January February March April May June July August September "
    "October November December Christmas Easter English Once".split()
)
_CHINESE = re.compile(r"[\u3400-\u9fff·]{1,8}")
Votes = Mapping[str, Counter[str]]


def glossary(
    source: Path,
    out: Path = Path("glossary.tsv"),
    endpoint: Endpoint | None = None,
    pilot: int = 500,
    votes: int = 2,
    concurrency: int = 32,
    max_cost: float | None = None,
    max_total_tokens: int | None = None,
) -> Path:
    """Make a glossary of names from a translated pilot: one short call a story, then the majority of the stories decides.

    Args:
        source: the out_dir of a finished ``translate``, or its records.jsonl.
        out: the file, lines name<TAB>Chinese<TAB>votes; put it right by hand, then give it to translate as --glossary.
        endpoint: the server and the model that are asked.
        pilot: so many stories at most.
        votes: a name needs at least so many stories that agree.
        concurrency: calls at a time.
        max_cost: stop before more money than this is spent.
        max_total_tokens: stop before more tokens than this are spent.

    Returns:
        The file.

    Raises:
        UserError: no records, no names, an endpoint that refuses for good, a budget that is used up.
    """
    path = Path(source) / "records.jsonl" if Path(source).is_dir() else Path(source)
    if not path.is_file():
        raise UserError(f"{path}: no such file; litgpt-zh translate makes it")
    server = (endpoint or Endpoint()).resolved()
    ledger = Ledger(out.with_name(out.name + ".ledger"))
    try:
        spent = ledger.spent()
        budget = Budget(max_cost, max_total_tokens, spent.cost, spent.tokens_in + spent.tokens_out + spent.supposed)
        found = asyncio.run(_vote(islice(_pairs(path), pilot), server, ledger, budget, concurrency))
    finally:
        ledger.close()
    lines = winners(found, votes)
    if not lines:
        raise UserError(f"{path}: no name got {votes} votes; translate a larger pilot")
    write_text(out, "\n".join(lines) + "\n")
    print(say(f"{out}：{len(lines)} 个名字", f"{out}: {len(lines)} names"))
    return out


def winners(votes: Votes, least: int) -> list[str]:
    """``name<TAB>Chinese<TAB>all votes`` for each name whose first form has ``least`` votes, the most frequent name first."""
    lines = []
    for name, forms in sorted(votes.items(), key=lambda entry: (-sum(entry[1].values()), entry[0])):
        ranked = sorted(forms.items(), key=lambda form: (-form[1], form[0]))
        if ranked[0][1] >= least:
            lines.append(f"{name}\t{ranked[0][0]}\t" + ", ".join(f"{chinese} {n}" for chinese, n in ranked))
    return lines


def names_in(story: str) -> list[str]:
    """Capitalised words inside sentences, each once: at a sentence's head every word has a capital."""
    return [name for name in dict.fromkeys(_MID_SENTENCE.findall(story)) if name not in _NO_NAMES]


def _pairs(path: Path) -> Iterator[tuple[str, str]]:
    """(English story, Chinese story), a story once."""
    try:
        with open(path, encoding="utf-8") as file:
            group = None
            for line in file:
                record: Any = json.loads(line)
                if record["group"] != group and names_in(record["english"]["story"]):
                    yield record["english"]["story"], record["output"]
                group = record["group"]
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path}: not the records of litgpt-zh translate") from None


async def _vote(
    pairs: Iterator[tuple[str, str]], endpoint: Endpoint, ledger: Ledger, budget: Budget, concurrency: int
) -> Votes:
    client = Client(endpoint, ledger, budget, concurrency)
    votes: defaultdict[str, Counter[str]] = defaultdict(Counter)
    with progress(desc="glossary", unit="story") as bar:

        async def ask(pair: tuple[str, str]) -> None:
            story, chinese = pair
            wanted = names_in(story)
            messages = prompts.names(story, chinese, wanted)
            try:
                said = (await client.ask(Ask(lambda style: messages))).text
            except Trouble:
                return  # one vote less
            for name, form in _said(said).items():
                if name in wanted and isinstance(form, str) and _CHINESE.fullmatch(form) and form in chinese:
                    votes[name][form] += 1
            bar.update()

        try:
            with gentle_stop([client]):
                await in_workers(pairs, ask, concurrency)
        finally:
            await client.close()
    return votes


def _said(text: str) -> dict[str, Any]:
    found = re.search(r"\{.*\}", text, re.S)
    try:
        said = json.loads(found.group()) if found else {}
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}
