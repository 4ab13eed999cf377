"""The command ``evaluate_stories``: a checkpoint folder in, a folder with ``score.json`` out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from litgpt_zh.evaluate.bits import bits_per_character
from litgpt_zh.evaluate.score import read_records, score
from litgpt_zh.stage import UserError, open_stage, write_text

MOST_WORDS = 5
"""Required words of a held-out request, at most (at least 3, as in training)."""


def evaluate_stories(
    checkpoint_dir: Path,
    out_dir: Path,
    corpus_dir: Path | None = None,
    seed: int = 987_654_321,
    count: int = 200,
    plots: list[str] | None = None,
    fields: list[str] | None = None,
    max_new_tokens: int | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Score a checkpoint on held-out requests; writes ``score.json`` into ``out_dir``.

    The score card of ``score``, and the bits per character of the records' own stories.

    Args:
        checkpoint_dir: an instruction-tuned checkpoint (a run's ``final/``).
        out_dir: the folder that will hold ``score.json`` and its manifest.
        corpus_dir: a corpus folder, whose held-out stories are asked for, or a jsonl file; by default the built-in story world
            makes new requests.
        seed: of the story world; another one than the training corpus was made with.
        count: stories.
        plots: plots of the story world to ask for, as in the corpus; all by default.
        fields: constraint fields that the prompt shows (words, features, summary, sentence); words by default.
        max_new_tokens: of one story; None goes on to the end of the block.
        overwrite: move an older score in ``out_dir`` aside.

    Raises:
        UserError: see ``score``.
    """
    inputs: dict[str, Path] = {"checkpoint": Path(checkpoint_dir)}
    if corpus_dir is not None:
        inputs["records"] = Path(corpus_dir)
    settings = {
        "count": count, "fields": fields or ["words"], "max_new_tokens": max_new_tokens,
        "world_seed": None if corpus_dir else seed,
    }  # fmt: skip
    settings |= {"plots": plots} if plots else {}
    with open_stage("evaluate", out_dir, inputs=inputs, settings=settings, overwrite=overwrite) as work:
        if work.finished:
            return json.loads((Path(out_dir) / "score.json").read_text(encoding="utf-8"))
        from litgpt_zh.generate.load import load

        loaded, shown = load(checkpoint_dir), fields or ["words"]
        records = _held_out(corpus_dir, 2 * count, seed, plots or [])
        result = score(loaded, records, count=count, fields=shown, max_new_tokens=max_new_tokens)
        if any(record.get("text") for record in records):
            result["bits"] = bits_per_character(loaded, records, count=count, fields=shown if loaded.instruct else ())
        write_text(work.folder / "score.json", json.dumps(result, ensure_ascii=False, indent=1))
        work.counts.update(stories=result["count"], dropped=result["dropped"])
    print(summary(result))
    return result


def _held_out(corpus_dir: Path | None, count: int, seed: int, plots: list[str]) -> list[dict[str, Any]]:
    """Twice what is needed: some stories name no words."""
    if corpus_dir is None:
        return world_records(count, seed, plots)
    if Path(corpus_dir).is_file():
        return read_records(corpus_dir)
    from litgpt_zh.corpus.shards import read_shards, shard_files

    if not shard_files(Path(corpus_dir), "val"):
        raise UserError(f"{corpus_dir}: no val-*.jsonl; give a corpus folder with a validation part, or a jsonl file")
    records = list(islice(read_shards(corpus_dir, "val"), count))
    return records if any(record.get("words") for record in records) else _asked(records, seed)


def _asked(records: list[dict[str, Any]], seed: int) -> list[dict[str, Any]]:
    """Plain stories with requests made from them, as the SFT stage makes them."""
    from litgpt_zh.instruct.extract import Jieba, extract, rng_for

    segmenter = Jieba()
    return [{**record, **extract(record["text"], rng_for(record["text"], seed), segmenter)} for record in records]


def world_records(count: int, seed: int, plots: Sequence[str] = ()) -> list[dict[str, Any]]:
    """New stories of the built-in world, with what they were asked for."""
    from litgpt_zh.corpus.world import generate

    stories = generate(
        seed=seed, start=0, count=2 * count, plots=plots
    )  # two in five ask for all their words; those are left out
    return [story.record() for story in stories if len(story.words) <= MOST_WORDS][:count]


def summary(result: dict[str, Any]) -> str:
    """One line a figure, for the terminal."""
    lines = [f"{result['checkpoint']}: {result['count']} stories, greedy"]
    for name, value in result["figures"].items():
        if isinstance(value, dict):
            lines.append(f"  {name:<20} {value['value']:7.1%}  [{value['low']:.1%}, {value['high']:.1%}]")
        else:
            lines.append(f"  {name:<20} {value:g}")
    if "bits" in result:
        bits = result["bits"]["bits_per_character"]
        lines.append(f"  {'bits_per_character':<20} {bits['value']:7.3f}  [{bits['low']:.3f}, {bits['high']:.3f}]")
    return "\n".join(lines)
