"""The tokens command: a corpus in parallel through a tokenizer into packed rows."""

from __future__ import annotations

import multiprocessing
import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any, Literal

from litgpt_zh.constraints import require_shares
from litgpt_zh.prompts import ASSISTANT, USER
from litgpt_zh.stage import Manifest, UserError, Workspace, open_stage, progress
from litgpt_zh.tokenizer import files
from litgpt_zh.tokenizer.read import shards
from litgpt_zh.tokens.encode import SLICE, Plan, Slice, encode, one_thread, slices

SPLITS = ("train", "val")
MAX_VOCAB = 65_535  # ids are stored as uint16


def tokens(
    corpus_dir: Path,
    tokenizer_dir: Path,
    out_dir: Path,
    block_size: int = 512,
    packing: Literal["best-fit", "concatenate"] = "best-fit",
    prompt_share: float = 0.0,
    prompt_fields: dict[str, float] | None = None,
    seed: int = 0,
    workers: int = 0,
    overwrite: bool = False,
) -> Manifest:
    """Tokenise a corpus and pack it into rows for pretraining.

    Args:
        corpus_dir: A folder made by ``litgpt-zh corpus`` (``train-*.jsonl``, ``val-*.jsonl``).
        tokenizer_dir: A folder with a ``tokenizer.json``.
        out_dir: The folder to make: ``train-*.bin`` and ``val-*.bin`` (uint16 rows of ``block_size + 1`` tokens).
        block_size: Context length of the model that will train on the rows.
        packing: ``best-fit`` keeps stories whole and fills each gap with the head of another one; ``concatenate`` cuts
            wherever a row ends.
        prompt_share: Share of the records with constraints whose request stands before the story, as in a chat.
        prompt_fields: Share of those requests that show each field, such as ``{summary: 0.2, sentence: 0.2}``; a field
            not named is always shown.
        seed: Seed of the choice of prompts, of the order inside a row and of the filling.
        workers: Processes; 0 is one for each core. The output does not depend on it.
        overwrite: Move an ``out_dir`` made with other settings aside instead of refusing.

    Returns:
        The manifest of ``out_dir``; ``counts`` holds rows, tokens, characters, documents, documents cut, gap by split.

    Raises:
        UserError: No corpus or tokenizer, no text in a split, a vocabulary that 16 bits cannot hold, or a setting that
            cannot be honoured.
    """
    if block_size < 1 or not 0 <= prompt_share <= 1 or workers < 0:
        raise UserError("block_size must be at least 1, prompt_share lie in 0..1, workers be 0 or more")
    corpus_dir, tokenizer_dir = Path(corpus_dir), Path(tokenizer_dir)
    tokenizer = files.load(tokenizer_dir)
    vocab_size = tokenizer.get_vocab_size()
    if vocab_size > MAX_VOCAB:
        raise UserError(f"{tokenizer_dir}: {vocab_size:,} entries do not fit 16 bits; use one of at most {MAX_VOCAB:,}")
    require_shares("prompt_fields", prompt_fields)
    if prompt_share and None in (tokenizer.token_to_id(USER), tokenizer.token_to_id(ASSISTANT)):
        raise UserError(
            f"{tokenizer_dir}: no piece {USER} or {ASSISTANT}; use our tokenizer or leave out --prompt_share"
        )
    settings: dict[str, Any] = {
        "block_size": block_size, "packing": packing, "prompt_share": prompt_share, "prompt_fields": prompt_fields, "seed": seed,
        "slice_bytes": SLICE, "vocab_size": vocab_size, "vocabulary": files.vocabulary_hash(tokenizer),
        "eos_id": files.eos_id(tokenizer_dir, tokenizer),
    }  # fmt: skip
    work_list = {split: slices(shards(corpus_dir, split), split, SLICE) for split in SPLITS}
    inputs = {"corpus": corpus_dir, "tokenizer": tokenizer_dir / files.TOKENIZER}
    with open_stage("tokens", out_dir, inputs=inputs, settings=settings, overwrite=overwrite) as work:
        if not work.finished:
            plan = Plan(
                tokenizer_dir,
                work.folder,
                settings["eos_id"],
                block_size + 1,
                packing,
                prompt_share,
                seed,
                prompt_fields,
            )
            _run(work_list, plan, workers, work, corpus_dir)
    manifest = Manifest.read(out_dir)
    _report(manifest)
    return manifest


def _run(work_list: dict[str, list[Slice]], plan: Plan, workers: int, work: Workspace, corpus_dir: Path) -> None:
    """Encode all slices and put their counts into the manifest."""
    parts = [part for split in SPLITS for part in work_list[split]]
    found: dict[str, dict[str, Any]] = {}
    total = sum(part.stop - part.start for part in parts)
    with progress(total, desc="tokens", unit="B", smoothing=0.05) as bar:
        count = 0
        for part, counts in _encoded(parts, plan, workers):
            found[part.name] = counts
            count += counts["tokens"]
            bar.set_postfix_str(f"{count / 1e6:.1f}M tokens", refresh=False)
            bar.update(part.stop - part.start)
    for split in SPLITS:
        work.counts[split] = _sum([found[part.name] for part in work_list[split]], plan.width)
        if not work.counts[split]["documents"]:
            raise UserError(
                f"{corpus_dir}: no text in {split}-*.jsonl; give the corpus more text or a larger {split} share"
            )
    for part in parts:
        (work.folder / f"{part.name}.json").unlink()
        if not found[part.name]["rows"]:
            (work.folder / f"{part.name}.bin").unlink()


def _encoded(parts: list[Slice], plan: Plan, workers: int) -> Iterator[tuple[Slice, dict[str, Any]]]:
    """Each slice with its counts, in any order."""
    workers = min(workers or len(_cores()), len(parts))
    if workers <= 1:
        yield from ((part, encode(part, plan)) for part in parts)
        return
    context = multiprocessing.get_context("spawn")  # fork is unsafe once a library has started threads
    with ProcessPoolExecutor(workers, mp_context=context, initializer=one_thread) as pool:
        waiting = {pool.submit(encode, part, plan): part for part in parts}
        try:
            for done in as_completed(waiting):
                yield waiting[done], done.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _cores() -> set[int]:
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))


def _sum(slices_counts: list[dict[str, Any]], width: int) -> dict[str, Any]:
    total: Counter[str] = Counter()
    for counts in slices_counts:
        total.update({key: value for key, value in counts.items() if key != "slice"})
    names = ("documents", "empty", "prompts", "characters", "tokens", "rows", "filler", "cut")
    result: dict[str, Any] = {name: total[name] for name in names}
    result["gap"] = round(total["filler"] / max(total["rows"] * width, 1), 5)
    return result


def _report(manifest: Manifest) -> None:
    """One line a split; where packing suits the lengths badly, what to do."""
    for split in SPLITS:
        c = manifest.counts[split]
        print(
            f"{split}: {c['documents']:,} documents, {c['characters']:,} characters, {c['tokens']:,} tokens,"
            f" {c['rows']:,} rows, {c['filler']:,} tokens of filling ({c['gap']:.2%}), {c['cut']:,} documents cut"
        )
    train, block = manifest.counts["train"], manifest.settings["block_size"]
    if manifest.settings["packing"] == "best-fit" and (train["gap"] > 0.05 or train["cut"] > 0.05 * train["documents"]):
        print(f"block_size {block} is short for these texts; {2 * block} would repeat and cut less")
