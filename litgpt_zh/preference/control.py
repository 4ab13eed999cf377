"""What preference optimisation must beat: SFT on the better side alone, as folders for ``Instructions``.

``chosen`` takes the chosen side of pairs; ``best_of`` the best of each request's samples (best-of-K, rejection sampling).
Both keep the tokens that were sampled or tokenised before: nothing is tokenised again.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from litgpt_zh.instruct import stage as instructions
from litgpt_zh.instruct.encode import LEARNT, Encoder, asked_words, mark_asked
from litgpt_zh.instruct.formats import Bad
from litgpt_zh.instruct.work import Encoded
from litgpt_zh.instruct.writer import SIDES, TOKENIZER, Writer
from litgpt_zh.language import stage_line
from litgpt_zh.preference.dataset import PairRecords
from litgpt_zh.preference.samples import Answered, read_samples
from litgpt_zh.preference.stage import STAGE, check
from litgpt_zh.prompts import ASSISTANT, EOS, USER, plain
from litgpt_zh.stage import Manifest, UserError, open_stage


def chosen(pairs_dir: Path, out_dir: Path = Path("data/chosen"), overwrite: bool = False) -> Manifest:
    """The chosen side of pairs as SFT records, for ``litgpt finetune_full --config recipes/sft.yaml``.

    Args:
        pairs_dir: a folder made by ``litgpt-zh pairs``, ``sample_pairs`` or ``pair_samples``.
        out_dir: the folder that appears when all is done.
        overwrite: move a folder made with other settings aside instead of refusing.

    Raises:
        UserError: not a folder of pairs.
    """
    made = Manifest.read(pairs_dir)
    if made.stage != STAGE or made.settings["form"] != "pairs":
        raise UserError(f"{pairs_dir}: holds no pairs; give a folder made by `litgpt-zh pairs` or `sample_pairs`")
    encoder = Encoder(pairs_dir)

    def records() -> Iterator[tuple[str, Encoded | Bad]]:
        for side in SIDES:
            pairs = PairRecords(Path(pairs_dir), side, encoder.tokenizer)
            for n, prompt in enumerate(pairs.prompts.tolist()):
                yield side, learnt(encoder, pairs.sequence(2 * n), prompt, f"{side}:{n + 1}")

    return _write({"pairs": pairs_dir}, {"kind": "chosen"}, out_dir, overwrite, encoder, records())


def best_of(
    samples_dir: Path,
    out_dir: Path = Path("data/best"),
    level: float = 0.9,
    val_share: float = 0.05,
    seed: int = 42,
    overwrite: bool = False,
) -> Manifest:
    """The best sample of each request as an SFT record, for ``litgpt finetune_full --config recipes/sft.yaml``.

    Args:
        samples_dir: a folder made by ``litgpt-zh sample_pairs --keep_samples true``.
        out_dir: the folder that appears when all is done.
        level: least reward of a sample that is taken; a request without such a sample is left out.
        val_share: share of the requests that go to validation.
        seed: of the split.
        overwrite: move a folder made with other settings aside instead of refusing.

    Raises:
        UserError: no samples were kept, none is good enough, or a setting is out of range.
    """
    settings = {"kind": "best-of", "level": level, "val_share": val_share, "seed": seed}
    check(settings)
    if not 0 <= level <= 1:
        raise UserError(f"best_of: --level {level} is out of range, use 0 to 1")
    Manifest.read(samples_dir)
    encoder = Encoder(samples_dir)

    def records() -> Iterator[tuple[str, Encoded | Bad]]:
        for n, answered in enumerate(read_samples(samples_dir), start=1):
            found = _best(encoder, answered, level, n)
            side = "train" if isinstance(found, Bad) else instructions.side_of(found.group, val_share, seed)
            yield side, found

    return _write({"samples": samples_dir}, settings, out_dir, overwrite, encoder, records())


def _best(encoder: Encoder, answered: Answered, level: float, number: int) -> Encoded | Bad:
    if isinstance(answered, str):
        return Bad("request", number, answered)
    request, prompt, samples = answered
    good = [s for s in samples if s.failure is None]
    if not good:
        return Bad("request", number, "no sample without a failure")
    best = max(good, key=lambda s: s.reward)
    if best.reward < level:
        return Bad("request", number, f"no sample with a reward of {level} or more")
    ids = np.array([*prompt, *best.ids, encoder.control[EOS]], dtype=np.uint16)
    return learnt(encoder, ids, len(prompt), f"reward {best.reward:.3f}:{number}", request.group)


def learnt(encoder: Encoder, ids: np.ndarray, prompt: int, source: str, group: str = "") -> Encoded:
    """A record of which everything behind the first ``prompt`` tokens is learnt; words that are asked for are marked."""
    mask = np.zeros(len(ids), dtype=np.uint8)
    mask[prompt:] = LEARNT
    asked = encoder.decode(ids[:prompt]).rpartition(USER)[2].removesuffix(ASSISTANT)
    words = [encoder.tokenizer.encode(plain(w), add_special_tokens=False).ids for w in asked_words([("user", asked)])]
    mark_asked(ids, mask, words)
    return Encoded(np.asarray(ids), mask, group, source)


def _write(
    inputs: dict[str, Path],
    settings: dict[str, object],
    out_dir: Path,
    overwrite: bool,
    encoder: Encoder,
    records: Iterator[tuple[str, Encoded | Bad]],
) -> Manifest:
    """A folder of stage ``instructions``.

    Raises:
        UserError: no record on one side.
    """
    with open_stage(instructions.STAGE, out_dir, inputs=inputs, settings=settings, overwrite=overwrite) as stage:
        if not stage.finished:
            shutil.copyfile(encoder.path, stage.folder / TOKENIZER)
            writer, longest = Writer(stage.folder, resume=False), 1
            for side, record in records:
                writer.state.read += 1
                if isinstance(record, Bad):
                    writer.drop(record)
                else:
                    writer.add(side, record)
                    longest = max(longest, len(record.ids))
            stage.counts.update(writer.finish(encoder, longest))
            for side in SIDES:
                if not stage.counts[side]:
                    dropped = instructions.reasons(stage.counts)
                    raise UserError(f"{out_dir}: no {side} record of {stage.counts['read']} read; dropped: {dropped}")
    print(stage_line(out_dir, instructions.summary(stage.counts), stage.finished))
    return stage.manifest
