"""Stage ``pairs`` from a model's own samples: it is shown which of its own answers does what was asked."""

from __future__ import annotations

import contextlib
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xxhash

from litgpt_zh.constraints import require_shares
from litgpt_zh.instruct.encode import Encoder
from litgpt_zh.instruct.formats import Bad
from litgpt_zh.instruct.writer import TOKENIZER
from litgpt_zh.preference.choose import Scored, best_worst, classic
from litgpt_zh.preference.requests import Request, requests
from litgpt_zh.preference.rewards import BAND, WEIGHTS, combine, measure, require_weights
from litgpt_zh.preference.samples import Answered, kept
from litgpt_zh.preference.stage import STAGE, check, refuse_empty, summary, take, unfit
from litgpt_zh.preference.writer import EncodedRecord, PairWriter
from litgpt_zh.prompts import plain
from litgpt_zh.stage import Manifest, UserError, Workspace, open_stage, progress
from litgpt_zh.translate.endpoint import Endpoint

if TYPE_CHECKING:
    from litgpt_zh.generate.load import Loaded
    from litgpt_zh.preference.served import Served

CHUNK = 64
"""Requests between two points a stopped run can go on from."""
ROOM = 16
"""Tokens a prompt must leave for an answer."""


@dataclass(frozen=True)
class Rules:
    """How samples become pairs."""

    kind: str
    samples: int
    margin: float
    pairs_per_prompt: int
    length_ratio: float
    weights: dict[str, float]
    band: tuple[int, int]


def sample_pairs(
    checkpoint_dir: Path,
    out_dir: Path = Path("data/pairs"),
    source: Path | None = None,
    kind: Literal["best-worst", "classic"] = "best-worst",
    count: int = 1000,
    samples: int = 8,
    margin: float = 0.2,
    pairs_per_prompt: int = 2,
    length_ratio: float = 0.8,
    weights: dict[str, float] | None = None,
    band: tuple[int, int] = BAND,
    prompt_fields: dict[str, float] | None = None,
    temperature: float = 1.0,
    top_k: int | None = None,
    max_new_tokens: int | None = None,
    batch_size: int = 64,
    world_seed: int = 135_792_468,
    world_length: Literal["short", "full"] = "short",
    plots: list[str] | None = None,
    skip: int = 0,
    keep_samples: bool = False,
    endpoint: Endpoint | None = None,
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
            more of how people write than of what was asked.
        count: requests.
        samples: a request.
        margin: least difference of the rewards of a pair (best-worst).
        pairs_per_prompt: pairs a request gives at most, 1 or 2.
        length_ratio: lengths of chosen and rejected differ by this factor at most.
        weights: part of the reward -> weight; see litgpt_zh/preference/rewards.py.
        band: characters of a story whose length is right.
        prompt_fields: share of the requests that show each field, as in ``litgpt-zh instructions``.
        temperature: of sampling; 1 is the model's own distribution.
        top_k: sample among so many tokens; by default all.
        max_new_tokens: of one answer; by default to the end of the block. An answer that meets it is never chosen, and
            no end is put behind it.
        batch_size: answers written together.
        world_seed: of the story world; another one than the training corpus was made with.
        world_length: of the story world's stories.
        plots: plots of the story world to ask for, as in the corpus; all by default.
        skip: records (or stories of the world) passed over before the first request.
        keep_samples: keep every sample in samples.jsonl, for ``pair_samples`` and ``best_of``.
        endpoint: a server that writes the samples instead of the checkpoint, whose tokenizer and block still hold.
            ``temperature`` above is its temperature, ``max_new_tokens`` its max_tokens.
        concurrency: calls to the server at a time at most.
        ledger: file of the server's answers; beside out_dir by default.
        val_share: share of the requests that go to validation.
        seed: of sampling, split and fields shown.
        overwrite: move a folder made with other settings aside instead of refusing.

    Returns:
        The manifest: pairs, yield, reasons, distributions of rewards and lengths.

    Raises:
        UserError: no pair at all, an empty side of the split, a setting out of range, a checkpoint that cannot be loaded.
    """
    rules = Rules(kind, samples, margin, pairs_per_prompt, length_ratio, weights or WEIGHTS, (band[0], band[1]))
    asking = {"count": count, "fields": prompt_fields or {}, "seed": seed, "world_seed": world_seed}
    later = ({"plots": plots} if plots else {}) | ({"skip": skip} if skip else {})
    decoding = {"temperature": temperature, "top_k": top_k, "max_new_tokens": max_new_tokens}
    settings = {
        "form": "pairs", **asdict(rules), **asking, "world_length": world_length, **decoding, "val_share": val_share,
        **later, **({"keep_samples": True} if keep_samples else {}),
    }  # fmt: skip
    require(settings)
    server = _server(endpoint, temperature, top_k, max_new_tokens)
    settings |= {"endpoint": server.identity()} if server else {}

    def wanted() -> Iterator[Request | None]:
        return requests(source, **asking, **later, length=world_length)  # type: ignore[arg-type]

    inputs: dict[str, Path] = {"checkpoint": Path(checkpoint_dir)}
    if source is not None:
        inputs["source"] = Path(source)
    with open_stage(STAGE, out_dir, inputs=inputs, settings=settings, overwrite=overwrite) as stage:
        if not stage.finished:
            from litgpt_zh.generate.load import load
            from litgpt_zh.preference import held_out

            loaded = load(checkpoint_dir)
            shutil.copyfile(Path(checkpoint_dir) / TOKENIZER, stage.folder / TOKENIZER)
            held_out.write(stage.folder, wanted(), val_share, seed)
            with contextlib.ExitStack() as opened:
                keep = opened.enter_context(kept(stage.folder, keep_samples))
                if server:
                    from litgpt_zh.preference.served import Served

                    book = ledger or Path(out_dir).with_name(Path(out_dir).name + ".ledger")
                    served = opened.enter_context(Served(server, book, concurrency))

                def answer(chunk: list[Request | None], first: int) -> list[Answered]:
                    if server:
                        return keep(first, _asked(chunk, loaded, first, rules, served))
                    return keep(
                        first, _answered(chunk, loaded, seed, first, rules, {**decoding, "batch_size": batch_size})
                    )

                fill(stage, loaded, wanted(), answer, rules, count)
                if server:
                    stage.counts["troubles"] = served.troubles
    print(f"{out_dir}: {summary(stage.counts)}; yield {stage.counts['yield']:.1%} of the requests")
    return stage.manifest


def require(settings: dict[str, Any]) -> None:
    """Refuse settings out of range.

    Raises:
        UserError: names the setting.
    """
    check({"val_share": settings["val_share"], "seed": settings["seed"]})
    require_weights(settings["weights"])
    require_shares("prompt_fields", settings.get("fields"))
    low_samples = 2 if settings["kind"] == "best-worst" else 1
    for name, low, high in (
        ("count", 2, 10**9), ("samples", low_samples, 1024), ("margin", 1e-9, 1), ("pairs_per_prompt", 1, 2),
        ("length_ratio", 1e-6, 1), ("temperature", 1e-6, 10), ("skip", 0, 10**12),
    ):  # fmt: skip
        if name in settings and not low <= settings[name] <= high:
            raise UserError(f"sample_pairs: --{name} {settings[name]} is out of range, use {low} to {high}")
    if not 0 < settings["band"][0] <= settings["band"][1]:
        raise UserError(f"sample_pairs: --band {list(settings['band'])}: give the fewest and the most characters")


def fill(
    stage: Workspace,
    loaded: Loaded,
    wanted: Iterator[Any],
    answer: Callable[[list[Any], int], list[Answered]],
    rules: Rules,
    count: int,
) -> None:
    """Write the pairs of the answers to ``count`` things wanted; ``answer`` gets some of them and the first's number."""
    settings, encoder = stage.manifest.settings, Encoder(stage.folder)
    writer = PairWriter(stage.folder, "pairs", resume=stage.resumed)
    seen = {name: Counter(counts) for name, counts in writer.state.histograms.items()}
    with progress(count, desc="requests", unit="request", scale=False) as bar:
        bar.update(writer.state.read)
        wanted = islice(wanted, writer.state.read, None)
        while chunk := list(islice(wanted, CHUNK)):
            for number, answers in enumerate(answer(chunk, writer.state.read), start=writer.state.read + 1):
                results = answers if isinstance(answers, str) else _paired(*answers, loaded, rules, seen)
                for result in [Bad("request", number, results)] if isinstance(results, str) else results:
                    take(result, writer, settings)
            writer.state.read += len(chunk)
            writer.state.histograms = {name: dict(counts) for name, counts in seen.items()}
            writer.commit()
            bar.update(len(chunk))
    histograms = {name: _ordered(counts) for name, counts in writer.state.histograms.items()}
    stage.counts.update(writer.finish(encoder, loaded.model.max_seq_length))
    paired = sum(histograms.get("pairs_per_request", {}).values())
    stage.counts.update({"yield": round(paired / max(stage.counts["read"], 1), 4), "histograms": histograms})
    refuse_empty(stage.counts, settings)


def _answered(
    chunk: Sequence[Request | None], loaded: Loaded, seed: int, first: int, rules: Rules, decoding: dict[str, Any]
) -> list[Answered]:
    """Each request with its prompt's ids and its scored samples, or why it is left out; in order."""
    from litgpt_zh.generate.batch import generate

    prompts = {n: loaded.encode(request.prompt) for n, request in enumerate(chunk) if request}
    kept = {n: ids for n, ids in prompts.items() if len(ids) + ROOM <= loaded.model.max_seq_length}
    answers = iter(
        generate(
            loaded.model,
            [ids for ids in kept.values() for _ in range(rules.samples)],
            stop_ids=(loaded.eos_id,),
            seed=[_seed(seed, first + n, k) for n in kept for k in range(rules.samples)],
            **decoding,
        )
    )
    results: list[Answered] = []
    for n, request in enumerate(chunk):
        if request is None:
            results.append("nothing is asked")
        elif n not in kept:
            results.append("prompt too long")
        else:
            scored = [score(request, a.ids, a.finished, loaded, rules) for a in islice(answers, rules.samples)]
            results.append((request, kept[n], scored))
    return results


def _server(endpoint: Endpoint | None, temperature: float, top_k: int | None, most: int | None) -> Endpoint | None:
    """The endpoint as it will be asked."""
    if endpoint is None:
        return None
    if top_k is not None:
        raise UserError(
            "sample_pairs: leave out --top_k: not every server takes it; an endpoint is asked by temperature"
        )
    return replace(endpoint, temperature=temperature, max_tokens=most or endpoint.max_tokens).resolved()


def _asked(chunk: Sequence[Request | None], loaded: Loaded, first: int, rules: Rules, served: Served) -> list[Answered]:
    """As ``_answered``, from a server. A call that failed is an empty sample: it counts as a failure and is never paired."""
    results: list[Answered] = []
    for request, given in zip(chunk, served.answers(chunk, first, rules.samples), strict=True):
        if request is None:
            results.append("nothing is asked")
            continue
        prompt = loaded.encode(request.prompt)
        if len(prompt) + ROOM > loaded.model.max_seq_length:
            results.append("prompt too long")
        elif not any(given):
            results.append("the endpoint gave no answer")
        else:
            told = [
                (one.text.strip(), one.finish == "stop" or not one.text.strip()) if one else ("", True) for one in given
            ]
            scored = [
                score(request, loaded.encode(plain(text)) if text else [], end, loaded, rules) for text, end in told
            ]
            results.append((request, prompt, scored))
    return results


def _seed(seed: int, request: int, sample: int) -> int:
    """The same sample in every run, whatever else is sampled."""
    return xxhash.xxh3_64_intdigest(f"{seed}:{request}:{sample}".encode())


def score(request: Request, ids: Sequence[int], finished: bool, loaded: Loaded, rules: Rules) -> Scored:
    """A sample with its reward; one with a failure has none (0)."""
    text = loaded.tokenizer.processor.decode(list(ids), skip_special_tokens=False)
    sample = Scored(tuple(ids), text, finished, 0.0)
    if sample.failure:
        return sample
    reward = combine(measure(request.asked, text, rules.weights, rules.band), rules.weights)
    return Scored(sample.ids, text, finished, reward)


def _paired(
    request: Request, prompt: list[int], samples: list[Scored], loaded: Loaded, rules: Rules, seen: dict[str, Counter]
) -> list[EncodedRecord] | str:
    """The pairs of a request, or why it has none; counts what was seen."""
    _count(seen, "sample_reward", [f"{s.reward:.1f}" for s in samples])
    _count(seen, "sample_failure", [s.failure or "none" for s in samples])
    most, ratio = rules.pairs_per_prompt, rules.length_ratio
    if rules.kind == "classic":
        if not request.story:
            return "record without a story"
        story = score(request, loaded.encode(request.story), True, loaded, rules)
        rejected, reason = classic(story, samples, most=most, length_ratio=ratio)
        pairs = [(story, samples[n]) for n in rejected]
    else:
        numbers, reason = best_worst(samples, margin=rules.margin, most=most, length_ratio=ratio)
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


def _record(request: Request, prompt: list[int], pair: tuple[Scored, Scored], eos: int) -> EncodedRecord:
    """A pair as ids. Only what the model (or the record's author) ended is followed by an end."""
    sequences = [np.array([*prompt, *s.ids, *([eos] if s.finished else [])], dtype=np.uint16) for s in pair]
    note = f"reward {pair[0].reward:.3f} over {pair[1].reward:.3f}"
    return EncodedRecord(len(prompt), (sequences[0], sequences[1]), request.group, note)


def _count(seen: dict[str, Counter], name: str, keys: list[str]) -> None:
    seen.setdefault(name, Counter()).update(keys)


def _ordered(counts: dict[str, int]) -> dict[str, int]:
    """Numbers in their order, words behind them by frequency."""
    numbers = sorted((key for key in counts if key.replace(".", "").replace("-", "").isdigit()), key=float)
    words = sorted(counts.keys() - set(numbers), key=lambda key: (-counts[key], key))
    return {key: counts[key] for key in (*numbers, *words)}
