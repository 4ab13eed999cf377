"""Stage ``pairs`` from a model's own samples: it is shown which of its own answers does what was asked."""

from __future__ import annotations

import contextlib
import shutil
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from litgpt_zh.constraints import require_shares
from litgpt_zh.instruct.encode import Encoder
from litgpt_zh.instruct.formats import Bad
from litgpt_zh.instruct.writer import TOKENIZER
from litgpt_zh.language import say, stage_line
from litgpt_zh.preference.answers import Writing, of_server, processes, sampled, score, scored, written
from litgpt_zh.preference.choose import NO_SCORE, Balance, Rules, Scored, best_worst, classic, graded
from litgpt_zh.preference.requests import Request, requests
from litgpt_zh.preference.rewards import BAND, BEST, JUDGE, KNOWN, NAMES, SURPRISE, WEIGHTS, require_weights
from litgpt_zh.preference.samples import Answered, kept
from litgpt_zh.preference.stage import STAGE, check, refuse_empty, summary, take, unfit
from litgpt_zh.preference.writer import EncodedRecord, PairWriter
from litgpt_zh.stage import Manifest, UserError, Workspace, open_stage, progress
from litgpt_zh.translate.endpoint import Endpoint

if TYPE_CHECKING:
    from litgpt_zh.generate.load import Loaded
    from litgpt_zh.preference.judge import Judge
    from litgpt_zh.preference.served import Served

CHUNK = 64
"""Requests between two points a stopped run can go on from."""


def sample_pairs(
    checkpoint_dir: Path,
    out_dir: Path = Path("data/pairs"),
    source: Path | None = None,
    kind: Literal["best-worst", "classic", "graded"] = "best-worst",
    count: int = 1000,
    samples: int = 8,
    margin: float = 0.2,
    pairs_per_prompt: int = 2,
    length_ratio: float = 0.8,
    weights: dict[str, float] | None = None,
    band: tuple[int, int] = BAND,
    no_worse: list[str] | None = None,
    balanced: list[str] | None = None,
    prompt_fields: dict[str, float] | None = None,
    temperature: float = 1.0,
    top_k: int | None = None,
    max_new_tokens: int | None = None,
    batch_size: int = 64,
    precision: Literal["auto", "32-true", "bf16-true"] = "auto",
    workers: int = 0,
    world_seed: int = 135_792_468,
    world_length: Literal["short", "full"] = "short",
    plots: list[str] | None = None,
    skip: int = 0,
    keep_samples: bool = False,
    endpoint: Endpoint | None = None,
    judge: Endpoint | None = None,
    concurrency: int = 32,
    ledger: Path | None = None,
    val_share: float = 0.05,
    seed: int = 42,
    overwrite: bool = False,
) -> Manifest:
    """Sample several answers to each request and pair a better with a worse one, by rewards that can be checked.

    Args:
        checkpoint_dir: the instruction-tuned model that will be trained on the pairs (a run's ``final/``).
        out_dir: the folder that appears when all is done.
        source: a corpus folder (its training stories are asked for) or a jsonl file of records; by default new requests of
            the story world.
        kind: "best-worst" pairs samples; "classic" rejects a sample in favour of the record's own story, and teaches
            more of how people write than of what was asked; "graded" keeps every sample with its advantage over the
            request's others, for ``loss: grpo``.
        count: requests.
        samples: a request.
        margin: least difference of the rewards of a pair (best-worst), of the best and the worst sample (graded).
        pairs_per_prompt: pairs a request gives at most, 1 or 2.
        length_ratio: lengths of chosen and rejected differ by this factor at most.
        weights: part of the reward -> weight; see litgpt_zh/preference/rewards.py.
        band: characters of a story whose length is right.
        no_worse: parts of the reward, such as repetition, in which a chosen side must not be worse than its rejected one,
            whatever its reward (best-worst).
        balanced: parts, such as surprise, in which the chosen sides of all pairs together must not be worse: a pair that
            would make them so is left out (best-worst).
        prompt_fields: share of the requests that show each field, as in ``litgpt-zh instructions``.
        temperature: of sampling; 1 is the model's own distribution.
        top_k: sample among so many tokens; by default all.
        max_new_tokens: of one answer; by default to the end of the block. An answer that meets it is never chosen, and
            no end is put behind it.
        batch_size: answers written together.
        precision: of the model that writes them; auto is bf16-true on a GPU and on a CPU with bfloat16 instructions.
        workers: processes that write the samples on a CPU, each ``batch_size`` at a time: small matrices keep one core
            busy, not many. 0 is one a core, as far as the memory goes. A GPU has one.
        world_seed: of the story world; another one than the training corpus was made with.
        world_length: of the story world's stories.
        plots: plots of the story world to ask for, as in the corpus; all by default.
        skip: records (or stories of the world) passed over before the first request.
        keep_samples: keep every sample in samples.jsonl, for ``pair_samples`` and ``best_of``.
        endpoint: a server that writes the samples instead of the checkpoint, whose tokenizer and block still hold.
            ``temperature`` above is its temperature, ``max_new_tokens`` its max_tokens.
        judge: a server that gives every story a score, the part ``judge`` of the reward; weigh it in ``weights``.
        concurrency: calls to a server at a time at most.
        ledger: file of the servers' answers; beside out_dir by default.
        val_share: share of the requests that go to validation.
        seed: of sampling, split and fields shown.
        overwrite: move a folder made with other settings aside instead of refusing.

    Returns:
        The manifest: pairs, yield, reasons, distributions of rewards and lengths.

    Raises:
        UserError: no pair at all, an empty side of the split, a setting out of range, a checkpoint that cannot be loaded.
    """
    rules = Rules(
        kind,
        samples,
        margin,
        pairs_per_prompt,
        length_ratio,
        weights or WEIGHTS,
        (band[0], band[1]),
        tuple(no_worse or ()),
        tuple(balanced or ()),
    )
    asking = {"count": count, "fields": prompt_fields or {}, "seed": seed, "world_seed": world_seed}
    later = ({"plots": plots} if plots else {}) | ({"skip": skip} if skip else {})
    decoding = {"temperature": temperature, "top_k": top_k, "max_new_tokens": max_new_tokens}
    settings = {
        "form": rules.form, **rules.settings(), **asking, "world_length": world_length, **decoding, "val_share": val_share,
        **later, **({"keep_samples": True} if keep_samples else {}), **({"precision": precision} if precision != "auto" else {}),
    }  # fmt: skip
    require({**settings, "concurrency": concurrency, "workers": workers})
    server, judging = _endpoints(rules, endpoint, judge, decoding)
    settings |= {name: one.identity() for name, one in (("endpoint", server), ("judge", judging)) if one}

    def wanted() -> Iterator[Request | None]:
        return requests(source, **asking, **later, length=world_length)  # type: ignore[arg-type]

    inputs: dict[str, Path] = {"checkpoint": Path(checkpoint_dir)}
    if source is not None:
        inputs["source"] = Path(source)
    with open_stage(STAGE, out_dir, inputs=inputs, settings=settings, overwrite=overwrite) as stage:
        if not stage.finished:
            from litgpt_zh.generate.load import batch_dtype, load
            from litgpt_zh.preference import held_out

            loaded = load(checkpoint_dir, dtype=batch_dtype(precision))
            shutil.copyfile(Path(checkpoint_dir) / TOKENIZER, stage.folder / TOKENIZER)
            held_out.write(stage.folder, wanted(), val_share, seed)
            with contextlib.ExitStack() as opened:
                keep = opened.enter_context(kept(stage.folder, keep_samples))
                book = ledger or Path(out_dir).with_name(Path(out_dir).name + ".ledger")
                served, judged = _calls(opened, server, judging, book, concurrency)
                how = {**decoding, "batch_size": batch_size, "logprobs": SURPRISE in rules.parts or keep_samples}
                spread = processes(loaded, workers, -(-count // CHUNK), batch_size)
                writing = Writing(loaded.folder, batch_dtype(precision), seed, samples, how)

                def answer(chunks: Iterator[tuple[int, list[Request | None]]]) -> Generator[list[Answered]]:
                    if served:
                        found = ((first, of_server(chunk, loaded, first, samples, served)) for first, chunk in chunks)
                    else:
                        found = written(chunks, writing, loaded, spread)
                    with contextlib.closing(found):
                        for first, answers in found:
                            yield keep(first, scored(judged.judged(answers) if judged else answers, rules))

                fill(stage, loaded, wanted(), answer, rules, count)
                for name, calls in (("troubles", served), ("judge_troubles", judged)):
                    if calls:
                        stage.counts[name] = calls.troubles
    print(stage_line(out_dir, summary(stage.counts), stage.finished))
    return stage.manifest


def require(settings: dict[str, Any]) -> None:
    """Refuse settings out of range.

    Raises:
        UserError: names the setting.
    """
    check({"val_share": settings["val_share"], "seed": settings["seed"]})
    require_weights(settings["weights"])
    kept = [*settings.get("no_worse", ()), *settings.get("balanced", ())]
    if unknown := sorted(set(kept) - set(NAMES)):
        raise UserError(f"sample_pairs: there is no part {unknown[0]} of the reward; choose from {', '.join(NAMES)}")
    for part in KNOWN:
        if settings["kind"] == "classic" and part in (*settings["weights"], *kept):
            raise UserError(
                f"sample_pairs: {part} compares samples of the model; --kind classic has a story on one side"
            )
    require_shares("prompt_fields", settings.get("fields"))
    low_samples = 1 if settings["kind"] == "classic" else 2
    for name, low, high in (
        ("count", 2, 10**9), ("samples", low_samples, 1024), ("margin", 1e-9, 1), ("pairs_per_prompt", 1, 2),
        ("length_ratio", 1e-6, 1), ("temperature", 1e-6, 10), ("skip", 0, 10**12),
        ("concurrency", 1, 2000), ("workers", 0, 1024),
    ):  # fmt: skip
        if name in settings and not low <= settings[name] <= high:
            raise UserError(f"sample_pairs: --{name} {settings[name]} is out of range, use {low} to {high}")
    if not 0 < settings["band"][0] <= settings["band"][1]:
        raise UserError(f"sample_pairs: --band {list(settings['band'])}: give the fewest and the most characters")


def fill(
    stage: Workspace,
    loaded: Loaded,
    wanted: Iterator[Any],
    answer: Callable[[Iterator[tuple[int, list[Any]]]], Generator[list[Answered]]],
    rules: Rules,
    count: int,
) -> None:
    """Write the pairs of the answers to ``count`` things wanted.

    Args:
        answer: from chunks of things wanted, each with its first one's number, to the answers to each chunk, in order.
    """
    settings, encoder = stage.manifest.settings, Encoder(stage.folder)
    writer = PairWriter(stage.folder, rules.form, resume=stage.resumed)
    seen = {name: Counter(counts) for name, counts in writer.state.histograms.items()}
    balance = Balance(rules.no_worse, dict.fromkeys(rules.balanced, 0.0) | writer.state.sums)
    with progress(count, desc=say("要求", "requests"), unit=say("个", "request"), scale=False) as bar:
        bar.update(writer.state.read)
        with contextlib.closing(answer(_chunks(wanted, writer.state.read))) as found:
            for answers in found:
                for number, one in enumerate(answers, start=writer.state.read + 1):
                    results = one if isinstance(one, str) else _paired(*one, loaded, rules, seen, balance)
                    for result in [Bad("request", number, results)] if isinstance(results, str) else results:
                        take(result, writer, settings)
                writer.state.read += len(answers)
                writer.state.histograms = {name: dict(counts) for name, counts in seen.items()}
                writer.state.sums = dict(balance.sums)
                writer.commit()
                bar.update(len(answers))
    histograms = {name: _ordered(counts) for name, counts in writer.state.histograms.items()}
    stage.counts.update(writer.finish(encoder, loaded.model.max_seq_length))
    paired = sum(histograms.get(f"{rules.form}_per_request", {}).values())
    stage.counts.update({"yield": round(paired / max(stage.counts["read"], 1), 4), "histograms": histograms})
    refuse_empty(stage.counts, settings)


def _chunks(wanted: Iterator[Any], read: int) -> Iterator[tuple[int, list[Any]]]:
    """What is wanted behind the first ``read``, some at a time, each with the number of its first."""
    wanted = islice(wanted, read, None)
    while chunk := list(islice(wanted, CHUNK)):
        yield read, chunk
        read += len(chunk)


def _endpoints(
    rules: Rules, endpoint: Endpoint | None, judge: Endpoint | None, decoding: dict[str, Any]
) -> tuple[Endpoint | None, Endpoint | None]:
    """The endpoints as they will be asked: for samples, for scores."""
    if rules.judged and judge is None:
        raise UserError("sample_pairs: judge is weighed, but none is given; name it (--judge.base_url, --judge.model)")
    if judge and not rules.judged:
        raise UserError("sample_pairs: --judge has no weight; put judge into --weights, or leave --judge out")
    try:
        judge = judge.resolved() if judge else None
    except UserError as error:
        raise UserError(f"sample_pairs: --judge: {error}") from None
    if endpoint is None:
        return None, judge
    if SURPRISE in rules.parts:
        raise UserError("sample_pairs: surprise needs the checkpoint's own samples; an endpoint does not say it")
    if decoding["top_k"] is not None:
        raise UserError(
            "sample_pairs: leave out --top_k: not every server takes it; an endpoint is asked by temperature"
        )
    most = decoding["max_new_tokens"] or endpoint.max_tokens
    return replace(endpoint, temperature=decoding["temperature"], max_tokens=most).resolved(), judge


def _calls(
    opened: contextlib.ExitStack, server: Endpoint | None, judge: Endpoint | None, ledger: Path, concurrency: int
) -> tuple[Served | None, Judge | None]:
    """The servers, ready to be asked, on one ledger; ``opened`` closes them."""
    served = judging = None
    if server:
        from litgpt_zh.preference.served import Served

        served = opened.enter_context(Served(server, ledger, concurrency))
    if judge:
        from litgpt_zh.preference.judge import Judge

        judging = opened.enter_context(Judge(judge, ledger, concurrency))
    return served, judging


def _paired(
    request: Request,
    prompt: list[int],
    samples: list[Scored],
    loaded: Loaded,
    rules: Rules,
    seen: dict[str, Counter],
    balance: Balance,
) -> list[EncodedRecord] | str:
    """The pairs of a request, or why it has none; counts what was seen."""
    _count(seen, "sample_reward", [f"{s.reward:.1f}" for s in samples])
    failures = [s.failure or "none" for s in samples]
    _count(seen, "sample_failure", failures)
    if rules.judged:
        scores = [1 + s.parts[JUDGE] * (BEST - 1) for s in samples if JUDGE in s.parts]
        _count(seen, "judge_score", [f"{found:.0f}" for found in scores])
        if NO_SCORE in failures and len(scores) < 2:
            return "the judge gave no score"
    if rules.kind == "graded":
        return _graded(request, prompt, samples, loaded, rules, seen)
    most, ratio = rules.pairs_per_prompt, rules.length_ratio
    if rules.kind == "classic":
        if not request.story:
            return "record without a story"
        story = score(request, sampled(loaded, loaded.encode(request.story), True), rules)
        rejected, reason = classic(story, samples, most=most, length_ratio=ratio)
        pairs = [(story, samples[n]) for n in rejected]
    else:
        numbers, reason = best_worst(
            samples, margin=rules.margin, most=most, length_ratio=ratio, balance=balance if rules.kept else None
        )
        pairs = [(samples[a], samples[b]) for a, b in numbers]
    if reason:
        return reason
    records = [_record(request, prompt, pair, loaded.eos_id) for pair in pairs]
    block = loaded.model.max_seq_length
    if misfit := next((why for r in records if (why := unfit(np.array(prompt), r.sequences, block))), None):
        return misfit
    _count(seen, "pairs_per_request", [str(len(pairs))])
    _count(seen, "margin", [f"{a.reward - b.reward:.1f}" for a, b in pairs])
    for name, side in (("chosen", 0), ("rejected", 1)):
        _count(seen, f"{name}_reward", [f"{pair[side].reward:.1f}" for pair in pairs])
        _count(seen, f"{name}_tokens", [str(len(pair[side].ids) // 20 * 20) for pair in pairs])
        _count(seen, f"{name}_finished", [str(pair[side].finished).lower() for pair in pairs])
    return records


def _graded(
    request: Request, prompt: list[int], samples: list[Scored], loaded: Loaded, rules: Rules, seen: dict[str, Counter]
) -> list[EncodedRecord] | str:
    """All samples of a request with their advantages, or why there are none; counts what was seen."""
    found, reason = graded(samples, margin=rules.margin)
    if reason:
        return reason
    records = []
    for number, advantage in found:
        sample = samples[number]
        note = f"reward {sample.reward:.3f}, advantage {advantage:+.2f}"
        ids = _ids(prompt, sample, loaded.eos_id)
        records.append(EncodedRecord(len(prompt), (ids,), request.group, note, advantage))
        if misfit := unfit(np.array(prompt), (ids,), loaded.model.max_seq_length):
            return misfit
    _count(seen, "graded_per_request", [str(len(records))])
    _count(seen, "advantage", [f"{advantage:.1f}" for _, advantage in found])
    return records


def _record(request: Request, prompt: list[int], pair: tuple[Scored, Scored], eos: int) -> EncodedRecord:
    """A pair as ids."""
    note = f"reward {pair[0].reward:.3f} over {pair[1].reward:.3f}"
    return EncodedRecord(len(prompt), (_ids(prompt, pair[0], eos), _ids(prompt, pair[1], eos)), request.group, note)


def _ids(prompt: list[int], sample: Scored, eos: int) -> np.ndarray:
    """Prompt and answer, uint16 (tokens,). Only what the model (or the record's author) ended is followed by an end."""
    return np.array([*prompt, *sample.ids, *([eos] if sample.finished else [])], dtype=np.uint16)


def _count(seen: dict[str, Counter], name: str, keys: list[str]) -> None:
    seen.setdefault(name, Counter()).update(keys)


def _ordered(counts: dict[str, int]) -> dict[str, int]:
    """Numbers in their order, words behind them by frequency."""
    numbers = sorted((key for key in counts if key.replace(".", "").replace("-", "").isdigit()), key=float)
    words = sorted(counts.keys() - set(numbers), key=lambda key: (-counts[key], key))
    return {key: counts[key] for key in (*numbers, *words)}
