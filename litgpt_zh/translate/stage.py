"""Stage ``translate``: an English instruction set in, Chinese story records out, with every input accounted for."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from litgpt_zh.constraints import parse
from litgpt_zh.language import say, stage_line
from litgpt_zh.stage import MANIFEST, Manifest, UserError, Workspace, open_stage, progress
from litgpt_zh.translate import estimate, prompts
from litgpt_zh.translate.agent import Mode, Plan, translate_item
from litgpt_zh.translate.augment import variants as variants_of
from litgpt_zh.translate.client import Client
from litgpt_zh.translate.endpoint import Endpoint
from litgpt_zh.translate.glossary import read_glossary
from litgpt_zh.translate.grade import grade_some
from litgpt_zh.translate.ledger import Ledger, Results
from litgpt_zh.translate.limits import Budget
from litgpt_zh.translate.prompts import Country
from litgpt_zh.translate.read import Item, Unread, count_items, read_items, sources
from litgpt_zh.translate.report import write_report
from litgpt_zh.translate.run import gentle_stop, run, show
from litgpt_zh.translate.sample import Sample, choose

STAGE = "translate"
RECORDS, DEAD, RESULTS = "records.jsonl", "dead.jsonl", "results.sqlite"


def translate(
    source: list[str] | str,
    out_dir: Path = Path("data/translate"),
    mode: Mode = "reflect",
    endpoint: Endpoint | None = None,
    second: Endpoint | None = None,
    judge: bool = False,
    grade: int = 0,
    country: Country = "大陆",
    glossary: Path | None = None,
    sample: int | None = None,
    variants: int = 1,
    seed: int = 42,
    concurrency: int = 32,
    max_cost: float | None = None,
    max_total_tokens: int | None = None,
    ledger: Path | None = None,
    retry_failed: bool = False,
    dry_run: bool = False,
    overwrite: bool = False,
) -> Manifest | None:
    """Translate TinyStories-Instruct items into Chinese story records, through any OpenAI-compatible endpoint.

    A stopped run goes on with the same command and pays nothing twice. Records stand in records.jsonl, what could not be
    translated in dead.jsonl with the reason; together they are the input exactly.

    Args:
        source: files or folders (TinyStories-Instruct text, json, jsonl, TinyStoriesChinese lines, compressed or not), or
            "english" for the built-in sample.
        out_dir: the folder that appears when all is done.
        mode: "once" one call; "reflect" draft, criticism, edit; "auto" goes on to criticism only where a rule (or the
            judge) complains; "constraints" keeps a Chinese story that is there and translates words and summary only.
        endpoint: the server, the model and its prices.
        second: another one for criticism and edit.
        judge: let the model grade each draft in mode "auto"; the bad ones go on to criticism.
        grade: let the model grade so many finished records, as a measure in the report; a call each.
        country: whose Chinese.
        glossary: lines name<TAB>Chinese; a name is shown to the model where it occurs.
        sample: so many items only, balanced over the combinations of constraints.
        variants: at most so many records of one story, with other orders and parts of its constraints.
        seed: of the sample and the variants.
        concurrency: calls at a time at most; fewer while the server is overloaded.
        max_cost: stop before more money than this is spent, in the currency of the prices.
        max_total_tokens: stop before more tokens than this are spent.
        ledger: file of the answers paid for; beside out_dir by default. Several runs may share one.
        retry_failed: ask once more for what ended in dead.jsonl.
        dry_run: print calls, tokens and cost of every mode, and do nothing.
        overwrite: move a folder made with other settings aside instead of refusing.

    Returns:
        The manifest with the counts; None after a dry run.

    Raises:
        UserError: nothing to translate, an endpoint that refuses for good, a budget that is used up.
    """
    _check(sample, grade, variants, seed, concurrency, max_cost, max_total_tokens)
    _refuse(mode, judge, grade, second, glossary)
    paths, names = sources(source), read_glossary(glossary)
    if dry_run:
        first = endpoint or Endpoint()
        _dry_run(paths, sample, seed, country, names, first, second or first)
        return None
    first = (endpoint or Endpoint()).resolved()
    refine = second.resolved() if second else first
    path = ledger or Path(out_dir).with_name(Path(out_dir).name + ".ledger")
    book = Ledger(path)
    try:
        round = _round(Path(out_dir), book, retry_failed)
        settings = {
            "mode": mode, "endpoint": first.identity(), "second": refine.identity() if second else None,
            "judge": judge, "grade": grade, "country": country, "sample": sample, "variants": variants, "seed": seed,
            "prompts": prompts.VERSION, "round": round,
        }  # fmt: skip
        inputs = {f"source {n}": path for n, path in enumerate(paths, 1)}
        inputs |= {"glossary": Path(glossary)} if glossary else {}
        spent = book.spent()
        budget = Budget(max_cost, max_total_tokens, spent.cost, spent.tokens_in + spent.tokens_out + spent.supposed)
        job = _Job(paths, mode, first, refine if second else None, judge, country, names, concurrency, book, budget)
        again = overwrite or (retry_failed and round > 0)
        with open_stage(STAGE, out_dir, inputs=inputs, settings=settings, overwrite=again) as stage:
            if not stage.finished:
                _fill(stage, job)
    finally:
        book.close()
    print(stage_line(out_dir, summary(stage.counts), stage.finished))
    return stage.manifest


@dataclass(frozen=True)
class _Job:
    source: list[Path]
    mode: Mode
    first: Endpoint
    second: Endpoint | None
    judge: bool
    country: Country
    names: dict[str, str]
    concurrency: int
    ledger: Ledger
    budget: Budget


def _check(sample: Any, grade: int, variants: int, seed: int, concurrency: int, max_cost: Any, max_tokens: Any) -> None:
    for name, value, low, high in (
        ("sample", sample, 1, 10**9),
        ("grade", grade, 0, 10**9),
        ("variants", variants, 1, 24),
        ("seed", seed, 0, 2**63 - 1),
        ("concurrency", concurrency, 1, 2000),
        ("max_cost", max_cost, 0, 1e9),
        ("max_total_tokens", max_tokens, 0, 10**15),
    ):
        if value is not None and not low <= value <= high:
            raise UserError(f"translate: --{name} {value} is out of range, use {low} to {high}")


def _refuse(mode: Mode, judge: bool, grade: int, second: Endpoint | None, glossary: Path | None) -> None:
    """Options that the mode has no use for."""
    story = mode != "constraints"
    for name, given, used, why in (
        (
            "judge",
            judge,
            mode == "auto",
            "only mode auto asks the judge about drafts; --grade measures finished records",
        ),
        ("grade", grade, story, "mode constraints translates no story that could be graded"),
        ("glossary", glossary, story, "mode constraints copies names from the Chinese story"),
        ("second", second, mode in ("reflect", "auto") or grade, f"mode {mode} neither reflects nor improves"),
    ):
        if given and not used:
            raise UserError(f"translate: leave out --{name}: {why}")


def _round(out_dir: Path, ledger: Ledger, retry_failed: bool) -> int:
    """The number of the present round of retries; a new one begins when the last is finished and left dead letters."""
    if not (out_dir / MANIFEST).is_file():
        return ledger.round
    made = Manifest.read(out_dir)
    made_round = int(made.settings.get("round", 0))
    if retry_failed and made.counts.get("dead") and made_round >= ledger.round:
        with open(out_dir / DEAD, encoding="utf-8") as file:
            groups = [group for line in file if (group := json.loads(line).get("group"))]
        return ledger.next_round(groups) if groups else made_round
    return ledger.round if retry_failed else made_round


def _items(source: list[Path], chosen: set[int] | None) -> Iterator[Item | Unread]:
    return (item for item in read_items(source) if chosen is None or item.index in chosen)


def _sample(source: list[Path], total: int | None, seed: int) -> Sample | None:
    if total is None:
        return None
    sample = choose(read_items(source), total, seed)
    print(sample.table())
    return sample


def _fill(stage: Workspace, job: _Job) -> None:
    settings = stage.manifest.settings
    sample = _sample(job.source, settings["sample"], settings["seed"])
    chosen = sample.indices if sample else None
    total = len(chosen) if chosen is not None else count_items(job.source)
    if not total:
        raise UserError(f"{_named(job.source)}: nothing to translate")
    results = Results(stage.folder / RESULTS)
    try:
        troubles = asyncio.run(_run(stage, job, chosen, total, results))
        if sample:
            stage.counts["combinations"] = {n: [sample.before[n], sample.after[n]] for n in sample.before}
        _finish(stage, job, results, total, troubles)
    finally:
        results.close()
    for suffix in ("", "-wal", "-shm"):
        (stage.folder / (RESULTS + suffix)).unlink(missing_ok=True)


async def _run(stage: Workspace, job: _Job, chosen: set[int] | None, total: int, results: Results) -> Counter[str]:
    settings = stage.manifest.settings
    draft = Client(job.first, job.ledger, job.budget, job.concurrency)
    refine = Client(job.second, job.ledger, job.budget, job.concurrency) if job.second else draft
    plan = Plan(job.mode, job.country, job.names, draft, refine, job.judge)
    with progress(total, desc="translate", unit="item", initial=sum(results.count())) as bar:

        async def one(item: Item) -> Any:
            outcome = await translate_item(item, plan, job.ledger.round_of(item.group))
            show(bar, plan, lambda: (job.budget.tokens, job.budget.cost))
            return outcome

        try:
            with gentle_stop({draft, refine}):
                await run(_items(job.source, chosen), results, one, job.concurrency, bar)
                if settings["grade"]:
                    grades = grade_some(results, settings["grade"], job.country, refine, job.concurrency)
                    stage.counts["grades"] = await grades
        finally:
            for client in {draft, refine}:
                await client.close()
    return draft.troubles + (refine.troubles if refine is not draft else Counter())


def _finish(stage: Workspace, job: _Job, results: Results, total: int, troubles: Counter[str]) -> None:
    settings, steps, records = stage.manifest.settings, Counter[str](), 0
    with open(stage.folder / RECORDS, "w", encoding="utf-8") as file:
        for kept in results.records(True):
            steps.update(kept["steps"])
            record = kept["record"]
            constraints = parse(record["input"])
            many = settings["variants"] if constraints else 1
            for one in variants_of(record, constraints, many, settings["seed"]) if constraints else [record]:
                file.write(json.dumps(one, ensure_ascii=False) + "\n")
                records += 1
    reasons: Counter[str] = Counter()
    with open(stage.folder / DEAD, "w", encoding="utf-8") as file:
        for dead in results.records(False):
            steps.update(dead.get("steps", {}))
            reasons[dead["reason"]] += 1
            file.write(json.dumps({k: v for k, v in dead.items() if k != "steps"}, ensure_ascii=False) + "\n")
    ok, lost = results.count()
    spent = job.ledger.spent()
    stage.counts.update(
        items=total, ok=ok, dead=lost, records=records, steps=dict(steps), reasons=dict(reasons.most_common(20)),
        troubles=dict(troubles), ledger=spent.__dict__,
    )  # fmt: skip
    if ok + lost != total:
        raise RuntimeError(f"{ok} + {lost} items are accounted for, {total} were read")
    write_report(stage.folder, stage.manifest, results)


def _named(source: list[Path]) -> str:
    return ", ".join(map(str, source))


def _dry_run(
    source: list[Path],
    sample: int | None,
    seed: int,
    country: Country,
    names: dict[str, str],
    first: Endpoint,
    second: Endpoint,
) -> None:
    chosen = _sample(source, sample, seed)
    items = _items(source, chosen.indices if chosen else None)
    count, found = estimate.costs((i for i in items if isinstance(i, Item)), country, names, first, second)
    if not count:
        raise UserError(f"{_named(source)}: nothing to translate")
    print(estimate.table(count, found))


def summary(counts: dict[str, Any]) -> str:
    """One line for the terminal."""
    ledger, first = counts["ledger"], next(iter(counts["reasons"]), "")
    return say(
        f"{counts['items']:,} 条，译好 {counts['ok']:,}（{counts['records']:,} 条记录），没有译成 {counts['dead']:,}；账本："
        f"{ledger['calls']:,} 次回答，进 {ledger['tokens_in']:,} 个词元，出 {ledger['tokens_out']:,}，花费 {ledger['cost']:.2f}"
        + (f"；没有译成的多半因为：{first}（加 --retry_failed true 再试一次）" if first else ""),
        f"{counts['items']:,} items, {counts['ok']:,} translated ({counts['records']:,} records), {counts['dead']:,} dead "
        f"letters; ledger: {ledger['calls']:,} answers, {ledger['tokens_in']:,} tokens in, {ledger['tokens_out']:,} out, "
        f"cost {ledger['cost']:.2f}"
        + (f"; most dead letters: {first} (once more with --retry_failed true)" if first else ""),
    )
