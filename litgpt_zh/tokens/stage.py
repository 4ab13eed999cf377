"""The tokens command: a corpus in parallel through a tokenizer into packed rows."""

from __future__ import annotations

import contextlib
import functools
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from litgpt_zh.constraints import require_shares
from litgpt_zh.language import say
from litgpt_zh.pool import cores, in_order
from litgpt_zh.prompts import ASSISTANT, USER
from litgpt_zh.stage import MANIFEST, Manifest, UserError, Workspace, open_stage, progress, require_whole
from litgpt_zh.tokenizer import files
from litgpt_zh.tokenizer.read import shards
from litgpt_zh.tokens import gap
from litgpt_zh.tokens.encode import EXAMPLES, SLICE, Plan, Slice, encode, one_thread, slices
from litgpt_zh.tokens.order import SEED, Source, distances, epoch_order

if TYPE_CHECKING:
    import tokenizers

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
    max_bad: int | None = None,
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
        max_bad: Stop when more lines than this cannot be read. By default they are counted and the first ones named.
        workers: Processes; 0 is one for each core. The output does not depend on it.
        overwrite: Move an ``out_dir`` made with other settings aside instead of refusing.

    Returns:
        The manifest of ``out_dir``; ``counts`` holds rows, tokens, characters, documents, documents cut, gap, rows that
        begin inside a document (and both if concatenated) by split.

    Raises:
        UserError: No corpus or tokenizer, a corpus file that is not as it was written, no text in a split, more bad lines
            than ``max_bad``, a vocabulary that 16 bits cannot hold, or a setting that cannot be honoured.
    """
    corpus_dir, tokenizer_dir = Path(corpus_dir), Path(tokenizer_dir)
    if block_size < 1 or not 0 <= prompt_share <= 1 or workers < 0:
        raise UserError("block_size must be at least 1, prompt_share lie in 0..1, workers be 0 or more")
    if not 0 <= seed < 2**64:
        raise UserError(f"seed {seed} is out of range, use 0 to 2**64 - 1")
    require_shares("prompt_fields", prompt_fields)
    if prompt_fields and not prompt_share:
        raise UserError(
            "prompt_fields does nothing without prompt_share, the share of stories with a request; give both"
        )
    tokenizer = files.load(tokenizer_dir)
    vocab_size = tokenizer.get_vocab_size()
    _require_fit(tokenizer_dir, tokenizer, prompt_share)
    settings: dict[str, Any] = {
        "block_size": block_size, "packing": packing, "prompt_share": prompt_share, "prompt_fields": prompt_fields, "seed": seed,
        "slice_bytes": SLICE, "vocab_size": vocab_size, "vocabulary": files.vocabulary_hash(tokenizer),
        "eos_id": files.eos_id(tokenizer_dir, tokenizer),
    }  # fmt: skip
    if (corpus_dir / MANIFEST).is_file():
        require_whole(corpus_dir)
    work_list = {split: slices(shards(corpus_dir, split), split, SLICE) for split in SPLITS}
    inputs = {"corpus": corpus_dir, "tokenizer": tokenizer_dir / files.TOKENIZER}
    with open_stage("tokens", out_dir, inputs=inputs, settings=settings, overwrite=overwrite) as work:
        if not work.finished:
            width, eos = block_size + 1, settings["eos_id"]
            plan = Plan(tokenizer_dir, work.folder, eos, width, packing, prompt_share, seed, prompt_fields)
            _run(work_list, plan, workers, max_bad, work, corpus_dir)
    manifest = Manifest.read(out_dir)
    _report(manifest, corpus_dir)
    return manifest


def _require_fit(tokenizer_dir: Path, tokenizer: tokenizers.Tokenizer, prompt_share: float) -> None:
    """Refuse a tokenizer whose ids do not fit 16 bits, or that lacks the pieces that requests need."""
    vocab_size = tokenizer.get_vocab_size()
    if vocab_size > MAX_VOCAB:
        raise UserError(f"{tokenizer_dir}: {vocab_size:,} entries do not fit 16 bits; use one of at most {MAX_VOCAB:,}")
    if prompt_share and None in (tokenizer.token_to_id(USER), tokenizer.token_to_id(ASSISTANT)):
        raise UserError(
            f"{tokenizer_dir}: no piece {USER} or {ASSISTANT}; use our tokenizer or leave out --prompt_share"
        )


def _run(
    work_list: dict[str, list[Slice]], plan: Plan, workers: int, max_bad: int | None, work: Workspace, corpus_dir: Path
) -> None:
    """Encode all slices and put their counts into the manifest."""
    parts = [part for split in SPLITS for part in work_list[split]]
    found: dict[str, dict[str, Any]] = {}
    total = sum(part.stop - part.start for part in parts)
    expected = gap.predict(work_list["train"], plan) if plan.packing == "best-fit" else None
    workers = min(workers or cores(), len(parts))
    encoded = in_order(functools.partial(encode, plan=plan), parts, workers, stage="tokens", setup=one_thread)
    with progress(total, desc="tokens", unit="B", smoothing=0.05) as bar, contextlib.closing(encoded):
        for part, counts in zip(parts, encoded, strict=True):
            found[part.name] = counts
            _require_few(list(found.values()), max_bad, corpus_dir)
            _show(bar, part.stop - part.start, sum(done["tokens"] for done in found.values()))
    work.counts["examples"] = [example for part in parts for example in found[part.name]["examples"]][:EXAMPLES]
    for split in SPLITS:
        work.counts[split] = _sum([found[part.name] for part in work_list[split]], plan.width)
        if not work.counts[split]["documents"]:
            raise UserError(
                f"{corpus_dir}: no text in {split}-*.jsonl; give the corpus more text or a larger {split} share"
            )
    if expected:
        work.counts["train"]["gap_predicted"] = round(expected, 5)
    _join(work_list["train"], found, work)
    for part in parts:
        (work.folder / f"{part.name}.json").unlink()
        (work.folder / f"{part.name}.npz").unlink()
        if not found[part.name]["rows"]:
            (work.folder / f"{part.name}.bin").unlink()


def _show(bar: Any, size: int, tokens: int) -> None:
    """The bar tells bytes a second itself; tokens a second are ours."""
    bar.update(size)
    seconds = max(bar.format_dict["elapsed"], 1e-3)
    millions = tokens / 1e6
    told = say(
        f"{millions:.1f}M 词元，每秒 {millions / seconds:.2f}M 词元",
        f"{millions:.1f}M tokens, {millions / seconds:.2f}M tokens/s",
    )
    bar.set_postfix_str(told, refresh=False)


def _require_few(done: list[dict[str, Any]], max_bad: int | None, corpus_dir: Path) -> None:
    bad = sum(counts["bad"] for counts in done)
    if max_bad is not None and bad > max_bad:
        last = next(counts["examples"][0] for counts in reversed(done) if counts["bad"])
        raise UserError(
            f"{corpus_dir}/{last['file']}:{last['line']}: {last['reason']}; that makes {bad}, more than --max_bad"
            f" {max_bad}: mend the file or allow more"
        )


def _join(parts: list[Slice], found: dict[str, dict[str, Any]], work: Workspace) -> None:
    """What the order of training rows needs, from all slices: ``lengths.npy``, and ``clusters.npy`` if there are any."""
    lengths, clusters, first = [], [], 0
    for part in parts:
        with np.load(work.folder / f"{part.name}.npz") as arrays:
            lengths.append(arrays["lengths"])
            clusters.append(arrays["clusters"] + (first, 0))
        first += found[part.name]["rows"]
    np.save(work.folder / "lengths.npy", np.concatenate(lengths))
    pairs = np.concatenate(clusters)
    if len(pairs):
        np.save(work.folder / "clusters.npy", pairs)
        kept = Source(str(work.folder), first, clusters=pairs)
        apart = distances(epoch_order(kept, SEED, 0), pairs)
        work.counts["near_duplicates"] = {"clusters": len(np.unique(pairs[:, 1])), "rows_with_one": len(pairs)}
        if len(apart):
            work.counts["near_duplicates"] |= {
                "least_distance": int(apart.min()),
                "median_distance": int(np.median(apart)),
            }


def _sum(slices_counts: list[dict[str, Any]], width: int) -> dict[str, Any]:
    total: Counter[str] = Counter()
    for counts in slices_counts:
        total.update({key: value for key, value in counts.items() if key not in ("slice", "examples")})
    names = ("documents", "bad", "empty", "prompts", "characters", "tokens", "rows", "filler", "cut", "headless")
    result: dict[str, Any] = {name: total[name] for name in (*names, "cut_if_concatenated", "headless_if_concatenated")}
    result["gap"] = round(total["filler"] / max(total["rows"] * width, 1), 5)
    return result


def _report(manifest: Manifest, corpus_dir: Path) -> None:
    """What became of each split; where packing suits the lengths badly, what to do."""
    for split in SPLITS:
        c = manifest.counts[split]
        print(
            say(
                f"{split}：{c['documents']:,} 篇文档，{c['characters']:,} 字，{c['tokens']:,} 个词元，{c['rows']:,} 行，"
                f"填充 {c['filler']:,} 个词元（{c['gap']:.2%}），{c['cut']:,} 篇被切开，{c['headless']:,} 行从一篇的中间开始",
                f"{split}: {c['documents']:,} documents, {c['characters']:,} characters, {c['tokens']:,} tokens,"
                f" {c['rows']:,} rows, {c['filler']:,} tokens of filling ({c['gap']:.2%}), {c['cut']:,} documents cut,"
                f" {c['headless']:,} rows begin inside a document",
            )
        )
    train, block = manifest.counts["train"], manifest.settings["block_size"]
    if manifest.settings["packing"] == "best-fit":
        print(
            say(
                f"train：要是首尾相接再切开，会切开 {train['cut_if_concatenated']:,} 篇，"
                f"{train['headless_if_concatenated']:,} 行从一篇的中间开始",
                f"train: concatenated and cut it would be {train['cut_if_concatenated']:,} documents cut,"
                f" {train['headless_if_concatenated']:,} rows that begin inside a document",
            )
        )
        if train["gap"] > gap.HIGH or train["cut"] > gap.HIGH * train["documents"]:
            print(
                say(
                    f"block_size {block} 对这些文章太短；{2 * block} 会少填充，少切开",
                    f"block_size {block} is short for these texts; {2 * block} would repeat and cut less",
                )
            )
    if near := manifest.counts.get("near_duplicates"):
        least, median = near.get("least_distance", 0), near.get("median_distance", 0)
        print(
            say(
                f"train：{near['clusters']:,} 簇近似重复，在 {near['rows_with_one']:,} 处；第一遍里相邻的至少隔 {least:,} 行，"
                f"中位数 {median:,} 行",
                f"train: near-duplicates of {near['clusters']:,} clusters in {near['rows_with_one']:,} places; neighbours are"
                f" at least {least:,} rows apart in the first epoch, the median {median:,}",
            )
        )
    if bad := sum(manifest.counts[split]["bad"] for split in SPLITS):
        named = "; ".join(f"{b['file']}:{b['line']}: {b['reason']}" for b in manifest.counts["examples"][:5])
        named += " ..." if bad > 5 else ""
        print(
            say(
                f"{corpus_dir}：{bad:,} 行读不了，没有用（{named}）",
                f"{corpus_dir}: {bad:,} lines could not be read and were left out ({named})",
            )
        )
