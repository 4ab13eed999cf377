"""Stage ``pairs`` from samples that were kept: another margin, other weights or another kind, without sampling again."""

from __future__ import annotations

import shutil
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Literal

from litgpt_zh.instruct.writer import TOKENIZER
from litgpt_zh.language import stage_line
from litgpt_zh.preference.answers import scored
from litgpt_zh.preference.choose import Rules
from litgpt_zh.preference.rewards import BAND, JUDGE, WEIGHTS
from litgpt_zh.preference.sample import fill, require
from litgpt_zh.preference.samples import FILE, Answered, read_samples
from litgpt_zh.preference.stage import STAGE, summary
from litgpt_zh.stage import Manifest, UserError, open_stage, require_files


def pair_samples(
    checkpoint_dir: Path,
    samples_dir: Path,
    out_dir: Path = Path("data/pairs"),
    kind: Literal["best-worst", "classic", "graded"] = "best-worst",
    margin: float = 0.2,
    pairs_per_prompt: int = 2,
    length_ratio: float = 0.8,
    weights: dict[str, float] | None = None,
    band: tuple[int, int] = BAND,
    no_worse: list[str] | None = None,
    balanced: list[str] | None = None,
    val_share: float = 0.05,
    seed: int = 42,
    overwrite: bool = False,
) -> Manifest:
    """Pair the samples that ``sample_pairs --keep_samples true`` kept, by other rules than it did.

    Args:
        checkpoint_dir: the model that wrote the samples.
        samples_dir: the folder that ``sample_pairs`` made.
        out_dir: the folder that appears when all is done.
        kind: "best-worst" pairs samples; "classic" rejects a sample in favour of the record's own story; "graded"
            keeps every sample with its advantage.
        margin: least difference of the rewards of a pair (best-worst), of the best and the worst sample (graded).
        pairs_per_prompt: pairs a request gives at most, 1 or 2.
        length_ratio: lengths of chosen and rejected differ by this factor at most.
        weights: part of the reward -> weight; every sample is scored again.
        band: characters of a story whose length is right.
        no_worse: parts of the reward, such as repetition, in which a chosen side must not be worse than its rejected one,
            whatever its reward (best-worst).
        balanced: parts, such as surprise, in which the chosen sides of all pairs together must not be worse: a pair that
            would make them so is left out (best-worst).
        val_share: share of the requests that go to validation.
        seed: of the split.
        overwrite: move a folder made with other settings aside instead of refusing.

    Returns:
        The manifest: as that of ``sample_pairs``.

    Raises:
        UserError: no samples were kept, or they were not judged and judge is weighed; else as ``sample_pairs``.
    """
    require_files(samples_dir, (FILE,), made_by="litgpt-zh sample_pairs with --keep_samples true")
    sampled = Manifest.read(samples_dir)
    rules = Rules(
        kind, sampled.settings["samples"], margin, pairs_per_prompt, length_ratio, weights or WEIGHTS, (band[0], band[1]),
        tuple(no_worse or ()), tuple(balanced or ()),
    )  # fmt: skip
    settings = {"form": rules.form, **rules.settings(), "val_share": val_share, "seed": seed}
    require(settings)
    if rules.judged and JUDGE not in sampled.settings:
        raise UserError(f"{samples_dir}: these samples were not judged; sample again with --judge, or leave judge out")
    inputs = {"checkpoint": Path(checkpoint_dir), "samples": Path(samples_dir)}
    with open_stage(STAGE, out_dir, inputs=inputs, settings=settings, overwrite=overwrite) as stage:
        if not stage.finished:
            from litgpt_zh.generate.load import load
            from litgpt_zh.preference import held_out

            loaded = load(checkpoint_dir)
            shutil.copyfile(Path(samples_dir) / TOKENIZER, stage.folder / TOKENIZER)
            asked = (None if isinstance(a, str) else a[0] for a in read_samples(samples_dir))
            held_out.write(stage.folder, asked, val_share, seed)

            def answer(chunks: Iterator[tuple[int, list[Answered]]]) -> Generator[list[Answered]]:
                yield from (scored(chunk, rules) for _, chunk in chunks)

            fill(stage, loaded, read_samples(samples_dir), answer, rules, sampled.counts["read"])
    print(stage_line(out_dir, summary(stage.counts), stage.finished))
    return stage.manifest
