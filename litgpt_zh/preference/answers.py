"""Samples of requests, as a checkpoint or a server writes them, and their rewards."""

from __future__ import annotations

import multiprocessing
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xxhash

from litgpt_zh.pool import in_order
from litgpt_zh.preference.choose import Rules, Scored
from litgpt_zh.preference.requests import Request
from litgpt_zh.preference.rewards import JUDGE, SURPRISE, combine, measure, surprise
from litgpt_zh.preference.samples import Answered
from litgpt_zh.prompts import plain

if TYPE_CHECKING:
    import torch

    from litgpt_zh.generate.load import Loaded
    from litgpt_zh.preference.served import Served

ROOM = 16
"""Tokens a prompt must leave for an answer."""
ALONE = 400_000_000
"""Bytes of a process with torch, without a model."""


Chunk = tuple[int, list[Request | None]]
"""Requests, and the number of the first."""


@dataclass(frozen=True)
class Writing:
    """What a process needs to write samples as ``of_checkpoint`` does."""

    checkpoint_dir: Path
    dtype: torch.dtype | None
    seed: int
    samples: int
    decoding: dict[str, Any]


def processes(loaded: Loaded, wanted: int, chunks: int, batch_size: int) -> int:
    """How many write side by side: ``wanted``, or for 0 one a core as far as the memory goes; never more than chunks.

    torch counts the cores, hyperthreads of one core once, and OMP_NUM_THREADS limits it.
    """
    import torch

    from litgpt_zh.generate.cache import row_bytes
    from litgpt_zh.generate.memory import SHARE, free_bytes

    if loaded.device.type != "cpu":
        return 1
    if not wanted:
        model = loaded.model
        weights = sum(parameter.nbytes for parameter in model.parameters())
        each = ALONE + 2 * weights + batch_size * row_bytes(model, model.max_seq_length)
        free = free_bytes(loaded.device)
        wanted = torch.get_num_threads() if free is None else min(torch.get_num_threads(), int(SHARE * free) // each)
    return max(1, min(wanted, chunks))


def written(
    chunks: Iterator[Chunk], writing: Writing, loaded: Loaded, workers: int
) -> Generator[tuple[int, list[Answered]]]:
    """The first number and the samples of each chunk, in order; in ``workers`` processes, or 1: in this one."""
    if workers == 1:
        for first, chunk in chunks:
            yield first, of_checkpoint(chunk, loaded, writing.seed, first, writing.samples, writing.decoding)
    else:
        import torch

        arguments = (writing, max(1, torch.get_num_threads() // workers))
        yield from in_order(_write, chunks, workers, stage="sample_pairs", setup=_prepare, arguments=arguments)


def _prepare(writing: Writing, threads: int) -> None:
    import torch

    from litgpt_zh.generate.load import load

    global _own
    if multiprocessing.parent_process():  # a single chunk is written in the parent, which keeps its threads
        torch.set_num_threads(threads)
    _own = writing, load(writing.checkpoint_dir, dtype=writing.dtype)


def _write(job: Chunk) -> tuple[int, list[Answered]]:
    first, chunk = job
    writing, loaded = _own
    return first, of_checkpoint(chunk, loaded, writing.seed, first, writing.samples, writing.decoding)


_own: tuple[Writing, Loaded]


def of_checkpoint(
    chunk: Sequence[Request | None], loaded: Loaded, seed: int, first: int, samples: int, decoding: dict[str, Any]
) -> list[Answered]:
    """Each request with its prompt's ids and its samples, not yet scored, or why it is left out; in order."""
    from litgpt_zh.generate.batch import generate

    prompts = {n: loaded.encode(request.prompt) for n, request in enumerate(chunk) if request}
    kept = {n: ids for n, ids in prompts.items() if len(ids) + ROOM <= loaded.model.max_seq_length}
    answers = iter(
        generate(
            loaded.model,
            [ids for ids in kept.values() for _ in range(samples)],
            stop_ids=(loaded.eos_id,),
            seed=[_seed(seed, first + n, k) for n in kept for k in range(samples)],
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
            told = [
                sampled(loaded, a.ids, a.finished, {SURPRISE: surprise(a.logprobs)} if a.logprobs else {})
                for a in islice(answers, samples)
            ]
            results.append((request, kept[n], told))
    return results


def of_server(
    chunk: Sequence[Request | None], loaded: Loaded, first: int, samples: int, served: Served
) -> list[Answered]:
    """As ``of_checkpoint``. A call that failed is an empty sample: it counts as a failure and is never paired."""
    results: list[Answered] = []
    for request, given in zip(chunk, served.answers(chunk, first, samples), strict=True):
        if request is None:
            results.append("nothing is asked")
            continue
        prompt = loaded.encode(request.prompt)
        if len(prompt) + ROOM > loaded.model.max_seq_length:
            results.append("prompt too long")
        elif not any(given):
            results.append("the endpoint gave no answer")
        else:
            texts = [
                (one.text.strip(), one.finish == "stop" or not one.text.strip()) if one else ("", True) for one in given
            ]
            told = [sampled(loaded, loaded.encode(plain(text)) if text else [], end) for text, end in texts]
            results.append((request, prompt, told))
    return results


def _seed(seed: int, request: int, sample: int) -> int:
    """The same sample in every run, whatever else is sampled."""
    return xxhash.xxh3_64_intdigest(f"{seed}:{request}:{sample}".encode())


def sampled(loaded: Loaded, ids: Sequence[int], finished: bool, known: dict[str, float] | None = None) -> Scored:
    """A sample without its reward; ``known`` are parts that cannot be seen from its text."""
    text = loaded.tokenizer.processor.decode(list(ids), skip_special_tokens=False)
    return Scored(tuple(ids), text, finished, 0.0, known or {})


def scored(answers: list[Answered], rules: Rules) -> list[Answered]:
    """The answers with the rewards of their samples."""
    return [a if isinstance(a, str) else (a[0], a[1], [score(a[0], s, rules) for s in a[2]]) for a in answers]


def score(request: Request, sample: Scored, rules: Rules) -> Scored:
    """A sample with its reward; one with a failure has none (0), nor has one that the judge gave no score.

    Args:
        request: what was asked.
        sample: its ``parts`` are those that cannot be seen from its text.
        rules: the parts that count.
    """
    sample = replace(sample, reward=0.0, scored=True)
    if sample.failure:
        return replace(sample, parts={})
    if rules.judged and JUDGE not in sample.parts:
        return replace(sample, scored=False)
    parts = measure(request.asked, sample.text, rules.parts, rules.band, sample.parts)
    return replace(sample, reward=combine(parts, rules.weights), parts={**parts, **sample.parts})
