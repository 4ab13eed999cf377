"""Stage ``instructions``: records in, token ids and loss masks out, for training and for validation."""

from __future__ import annotations

import contextlib
import shutil
from collections import Counter
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal

import xxhash

from litgpt_zh.constraints import require_shares
from litgpt_zh.instruct import drill
from litgpt_zh.instruct.encode import Encoder
from litgpt_zh.instruct.formats import Bad, Conversation, read_all
from litgpt_zh.instruct.records import Source, sources
from litgpt_zh.instruct.work import Encoded, Settings, setup_worker, too_long_reason, work
from litgpt_zh.instruct.writer import TOKENIZER, Writer
from litgpt_zh.language import say, stage_line
from litgpt_zh.pool import in_order
from litgpt_zh.stage import Manifest, UserError, Workspace, open_stage, progress

STAGE = "instructions"
CHUNK = 1000
"""Records a worker gets at a time, and between two points a stopped run can go on from."""


def instructions(
    source: list[str] | str,
    tokenizer_dir: Path,
    out_dir: Path = Path("data/sft"),
    kind: Literal["auto", "corpus"] = "auto",
    block_size: int = 512,
    too_long: Literal["drop", "refuse"] = "drop",
    max_records: int | None = None,
    drills: int = 0,
    prompt_fields: dict[str, float] | None = None,
    val_share: float = 0.02,
    seed: int = 42,
    workers: int = 0,
    overwrite: bool = False,
) -> Manifest:
    """Tokenise instruction data, once, with a mask of what is to be learned.

    Reads Alpaca, ShareGPT, OpenAI messages, prompt/completion and story records as json or jsonl, compressed or not.

    Args:
        source: files and folders. A corpus folder keeps its own split into training and validation stories.
        tokenizer_dir: folder with the tokenizer.json of the model that will be tuned.
        out_dir: the folder that appears when all is done.
        kind: "auto" sees the form of each record; "corpus" takes plain stories and makes the requests itself.
        block_size: longest record in tokens, the model's block size.
        too_long: leave longer records out and count them, or refuse.
        max_records: stop after so many records were kept.
        drills: so many copy drills among the first training records: the words of a request answered by themselves, from
            the words the sources ask for. A tiny model learns to use a request's words much sooner with them.
        prompt_fields: share of the story requests that show each field, such as ``{summary: 0.2, sentence: 0.2}``; a
            field not named is always shown, and a request is never left empty.
        val_share: share of the groups (stories) that go to validation.
        seed: of the split, the requests made and the constraints left out.
        workers: processes, 0 for one a core. The result does not depend on it.
        overwrite: move a folder made with other settings aside instead of refusing.

    Returns:
        The manifest: counts, reasons, lengths.

    Raises:
        UserError: nothing usable, an empty side of the split, records too long under "refuse", a setting out of range.
    """
    settings = {
        "kind": kind, "block_size": block_size, "too_long": too_long, "max_records": max_records,
        "drills": drills, "prompt_fields": prompt_fields, "val_share": val_share, "seed": seed,
    }  # fmt: skip
    _check(settings)
    found, encoder = sources(source, kind), Encoder(tokenizer_dir)
    names = [source] if isinstance(source, str) else source
    inputs: dict[str, Path | str] = {
        "tokenizer": encoder.path,
        **{f"source {n}": name for n, name in enumerate(names, 1)},
    }
    with open_stage(STAGE, out_dir, inputs=inputs, settings=settings, overwrite=overwrite) as stage:
        if not stage.finished:
            shutil.copyfile(encoder.path, stage.folder / TOKENIZER)
            job = Settings(str(tokenizer_dir), block_size, prompt_fields or {}, seed)
            _fill(stage, found, encoder, job, workers)
            stage.counts["sources"] = names
    print(stage_line(out_dir, summary(stage.counts), stage.finished))
    return stage.manifest


def _check(settings: dict[str, Any]) -> None:
    require_shares("prompt_fields", settings["prompt_fields"])
    for name, low, high in (
        ("block_size", 8, 1 << 20),
        ("max_records", 2, 10**10),
        ("drills", 0, 10**8),
        ("val_share", 1e-6, 0.999),
        ("seed", 0, 2**63 - 1),
    ):
        if settings[name] is not None and not low <= settings[name] <= high:
            raise UserError(f"instructions: --{name} {settings[name]} is out of range, use {low} to {high}")


def _fill(stage: Workspace, found: list[Source], encoder: Encoder, job: Settings, workers: int) -> None:
    settings = stage.manifest.settings
    writer = Writer(stage.folder, resume=stage.resumed)
    limit = (settings["max_records"] or float("inf")) + settings["drills"]
    sides = _Sides(found, settings)
    source = chain(_drills(found, settings), read_all((source.path for source in found), settings["kind"]))
    records = islice(source, writer.state.read, None)
    with progress(settings["max_records"], desc="instructions", unit=say("条", "record")) as bar:
        bar.update(writer.state.kept)
        todo = iter(lambda: list(islice(records, CHUNK)), [])
        done = in_order(work, todo, workers, stage=STAGE, setup=setup_worker, arguments=(job,))
        with contextlib.closing(done) as chunks:
            while writer.state.kept < limit and (chunk := next(chunks, None)):
                for result in chunk:
                    if writer.state.kept < limit:
                        _take(result, writer, sides)
                writer.commit()
                bar.update(writer.state.kept - bar.n)
    stage.counts["drills"] = settings["drills"]
    stage.counts.update(writer.finish(encoder, settings["block_size"]))
    _refuse(stage.counts, settings)


def _drills(found: list[Source], settings: dict[str, Any]) -> Iterator[Conversation]:
    if not settings["drills"]:
        return iter(())
    words = drill.asked_words(found)
    if not words:
        raise UserError(
            "instructions: no record of the sources has words, so there is nothing to drill; leave out --drills"
        )
    return drill.drills(words, settings["drills"], settings["seed"])


def _take(result: Encoded | Bad, writer: Writer, sides: _Sides) -> None:
    writer.state.read += 1
    if isinstance(result, Bad):
        writer.drop(result)
        return
    side = sides.of(result)
    if side == "val" and writer.count("val") >= sides.most_val:
        writer.drop(Bad("", 0, "validation is full"))
    else:
        writer.add(side, result)


class _Sides:
    """Training or validation: by the corpus folder a record comes from, else by the hash of its group."""

    def __init__(self, found: list[Source], settings: dict[str, Any]) -> None:
        self._fixed = {str(source.path): source.side for source in found if source.side}
        self._fixed[drill.SOURCE] = "train"
        self._share, self._seed = settings["val_share"], settings["seed"]
        few = len(self._fixed) > 1 and settings["max_records"]
        self.most_val = max(1, round(self._share * settings["max_records"])) if few else float("inf")

    def of(self, record: Encoded) -> str:
        """The same group is on the same side in every run with this seed, whatever else is in the data."""
        fixed = self._fixed.get(record.source.rpartition(":")[0])
        return fixed or side_of(record.group, self._share, self._seed)


def side_of(group: str, val_share: float, seed: int) -> str:
    """``train`` or ``val``, by the hash of a group alone."""
    point = xxhash.xxh3_64_intdigest(group.encode("utf-8", "replace"), seed=seed) / 2**64
    return "val" if point < val_share else "train"


def _refuse(counts: dict[str, Any], settings: dict[str, Any]) -> None:
    first = f" (first: {counts['first_dropped'][0].rpartition(': ')[0]})" if counts["first_dropped"] else ""
    if not counts["kept"]:
        raise UserError(f"no usable record among {counts['read']}: {reasons(counts)}{first}")
    long = counts["dropped"].get(too_long_reason(settings["block_size"]))
    if settings["too_long"] == "refuse" and long:
        raise UserError(
            f"{long} of {counts['read']} records have more than {settings['block_size']} tokens; "
            "raise --block_size or pass --too_long drop"
        )
    for side in ("train", "val"):
        if not counts[side]:
            raise UserError(
                f"{side} is empty: none of {counts['kept']} records falls there with --val_share "
                f"{settings['val_share']}; give more data, another --val_share or another --seed"
            )


def reasons(counts: dict[str, Any]) -> str:
    """Why records were dropped, most frequent first."""
    return ", ".join(f"{reason} {n:,}" for reason, n in Counter(counts["dropped"]).most_common()) or "none"


def summary(counts: dict[str, Any]) -> str:
    """One line for the terminal."""
    read, kept, train, val = (counts[name] for name in ("read", "kept", "train", "val"))
    tokens, learned, dropped = counts["tokens"], counts["answer_tokens"], reasons(counts)
    return say(
        f"读到 {read:,} 条，留下 {kept:,} 条（训练 {train:,}，验证 {val:,}），{tokens:,} 个词元，学其中 {learned:,} 个；"
        f"丢弃：{dropped if counts['dropped'] else '无'}",
        f"{read:,} records read, {kept:,} kept ({train:,} train, {val:,} val), {tokens:,} tokens, {learned:,} of them learned; "
        f"dropped: {dropped}",
    )
