"""Stage ``pairs``: preference data that people bring, as token ids, for training and for validation."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

from litgpt_zh.instruct.encode import Encoder
from litgpt_zh.instruct.formats import Bad
from litgpt_zh.instruct.records import Source, sources
from litgpt_zh.instruct.stage import reasons, side_of
from litgpt_zh.instruct.work import bad
from litgpt_zh.instruct.writer import TOKENIZER
from litgpt_zh.language import say, stage_line
from litgpt_zh.preference.formats import Answer, Form, Pair, read_preferences
from litgpt_zh.preference.writer import EncodedRecord, PairWriter
from litgpt_zh.stage import Manifest, UserError, Workspace, open_stage, progress

STAGE = "pairs"
CHUNK = 1000
"""Records between two points a stopped run can go on from."""


def pairs(
    source: list[str] | str,
    tokenizer_dir: Path,
    out_dir: Path = Path("data/pairs"),
    form: Form = "pairs",
    block_size: int = 512,
    max_prompt: int | None = None,
    max_records: int | None = None,
    val_share: float = 0.05,
    seed: int = 42,
    overwrite: bool = False,
) -> Manifest:
    """Tokenise preference data, once. Nothing is ever cut: a pair that does not fit is left out and counted.

    Reads TRL (prompt, chosen, rejected; strings or messages), chosen and rejected conversations with a common beginning,
    LLaMA-Factory (conversations or instruction, chosen, rejected), and for ``form`` unpaired TRL's KTO records (prompt,
    completion, label, or messages, label); json or jsonl, compressed or not.

    Args:
        source: files and folders.
        tokenizer_dir: folder with the tokenizer.json of the model that will be tuned (a checkpoint folder is one).
        out_dir: the folder that appears when all is done.
        form: "pairs", or "unpaired" for single answers with a label.
        block_size: longest sequence in tokens (prompt and answer), the model's block size.
        max_prompt: longest prompt in tokens; by default whatever leaves room for an answer.
        max_records: stop after so many records were kept.
        val_share: share of the groups (prompts) that go to validation.
        seed: of the split.
        overwrite: move a folder made with other settings aside instead of refusing.

    Returns:
        The manifest: counts, reasons, lengths.

    Raises:
        UserError: nothing usable, an empty side of the split, a setting out of range.
    """
    settings = {
        "form": form, "kind": "given", "block_size": block_size, "max_prompt": max_prompt, "max_records": max_records,
        "val_share": val_share, "seed": seed,
    }  # fmt: skip
    check(settings)
    found, encoder = sources(source), Encoder(tokenizer_dir)
    names = [source] if isinstance(source, str) else source
    inputs: dict[str, Path | str] = {
        "tokenizer": encoder.path,
        **{f"source {n}": name for n, name in enumerate(names, 1)},
    }
    with open_stage(STAGE, out_dir, inputs=inputs, settings=settings, overwrite=overwrite) as stage:
        if not stage.finished:
            shutil.copyfile(encoder.path, stage.folder / TOKENIZER)
            _fill(stage, found, encoder)
            stage.counts["sources"] = names
    print(stage_line(out_dir, summary(stage.counts), stage.finished))
    return stage.manifest


def check(settings: dict[str, Any]) -> None:
    """Refuse settings out of range.

    Raises:
        UserError: names the setting.
    """
    ranges = {
        "block_size": (8, 1 << 16), "max_prompt": (1, 1 << 16), "max_records": (2, 10**10), "val_share": (1e-6, 0.999),
        "seed": (0, 2**63 - 1),
    }  # fmt: skip
    for name, (low, high) in ranges.items():
        if settings.get(name) is not None and not low <= settings[name] <= high:
            raise UserError(f"pairs: --{name} {settings[name]} is out of range, use {low} to {high}")


def _fill(stage: Workspace, found: list[Source], encoder: Encoder) -> None:
    settings = stage.manifest.settings
    writer = PairWriter(stage.folder, settings["form"], resume=stage.resumed)
    limit = settings["max_records"] or float("inf")
    everything = chain.from_iterable(read_preferences(item.path, settings["form"]) for item in found)
    records = islice(everything, writer.state.read, None)
    with progress(settings["max_records"], desc="pairs", unit=say("条", "record")) as bar:
        bar.update(writer.state.kept)
        while writer.state.kept < limit and (chunk := list(islice(records, CHUNK))):
            for result in encoded(chunk, encoder, settings["block_size"], settings["max_prompt"]):
                if writer.state.kept < limit:
                    writer.state.read += 1
                    take(result, writer, settings)
            writer.commit()
            bar.update(writer.state.kept - bar.n)
    stage.counts.update(writer.finish(encoder, settings["block_size"]))
    refuse_empty(stage.counts, settings)


def take(result: EncodedRecord | Bad, writer: PairWriter, settings: dict[str, Any]) -> None:
    """Write or drop a record."""
    if isinstance(result, Bad):
        writer.drop(result)
    else:
        writer.write(side_of(result.group, settings["val_share"], settings["seed"]), result)


def encoded(
    chunk: Iterable[Pair | Answer | Bad], encoder: Encoder, block_size: int, max_prompt: int | None = None
) -> list[EncodedRecord | Bad]:
    """Records as token ids, or the reason why not; in order."""
    records = list(chunk)
    good = [record for record in records if not isinstance(record, Bad)]
    prompts = iter(encoder.encode_prompts([record.turns for record in good]))
    whole = [(*record.turns, ("assistant", side)) for record in good for side in record.sides]
    sequences = iter([ids for ids, _ in encoder.encode(whole)])
    results: list[EncodedRecord | Bad] = []
    for record in records:
        if isinstance(record, Bad):
            results.append(record)
            continue
        prompt, ids = next(prompts), tuple(next(sequences) for _ in record.sides)
        reason = unfit(prompt, ids, block_size, max_prompt)
        results.append(
            bad(record.source, reason)
            if reason
            else EncodedRecord(len(prompt), ids, record.group, record.source, record.label)
        )
    return results


def unfit(
    prompt: np.ndarray, sequences: tuple[np.ndarray, ...], block_size: int, max_prompt: int | None = None
) -> str | None:
    """Why token sequences cannot be trained on: None where they can.

    Args:
        prompt: ids of the prompt alone, (tokens,).
        sequences: ids of the prompt with each answer.
        block_size: longest sequence.
        max_prompt: longest prompt; None leaves room for one token.
    """
    if len(prompt) > (max_prompt or block_size - 1):
        return "prompt too long"
    if any(not np.array_equal(ids[: len(prompt)], prompt) for ids in sequences):
        return "prompt ids are not the beginning of prompt and answer"
    if any(len(ids) == len(prompt) for ids in sequences):
        return "empty side"
    cut = [ids[:block_size].tobytes() for ids in sequences]
    if len(set(cut)) < len(cut):
        return "equal sides" if max(map(len, sequences)) <= block_size else "equal after truncation"
    if max(map(len, sequences)) > block_size:
        return f"more than {block_size} tokens"
    return None


def refuse_empty(counts: dict[str, Any], settings: dict[str, Any]) -> None:
    """Refuse a folder nobody can train on.

    Raises:
        UserError: no record, or none on one side of the split.
    """
    if not counts["kept"]:
        first = f" (first: {counts['first_dropped'][0]})" if counts["first_dropped"] else ""
        raise UserError(f"no usable pair among {counts['read']} records: {reasons(counts)}{first}")
    for side in ("train", "val"):
        if not counts[side]:
            raise UserError(
                f"{side} is empty: none of {counts['kept']} pairs falls there with --val_share "
                f"{settings['val_share']}; give more data, another --val_share or another --seed"
            )


def summary(counts: dict[str, Any]) -> str:
    """One line for the terminal."""
    read, kept, train, val = (counts[name] for name in ("read", "kept", "train", "val"))
    line = say(
        f"读到 {read:,} 条，留下 {kept:,} 条（训练 {train:,}，验证 {val:,}）；丢弃：{reasons(counts) if counts['dropped'] else '无'}",
        f"{read:,} records read, {kept:,} kept ({train:,} train, {val:,} val); dropped: {reasons(counts)}",
    )
    if "yield" in counts:  # from a model's samples
        line += say(f"；{counts['yield']:.1%} 的要求给出了偏好对", f"; yield {counts['yield']:.1%} of the requests")
    return line
