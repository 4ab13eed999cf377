"""The command ``evaluate_stories``: checkpoint folders in, a folder with ``score.json`` and ``score.html`` out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import xxhash

from litgpt_zh.evaluate import cards
from litgpt_zh.evaluate.page import render, summary
from litgpt_zh.evaluate.score import read_records, require_fields
from litgpt_zh.stage import MANIFEST, Manifest, UserError, open_stage, write_text

MOST_WORDS = 5
"""Required words of a held-out request, at most (at least 3, as in training)."""

CARD, PAGE = "score.json", "score.html"


def evaluate_stories(
    checkpoint_dir: dict[str, Path] | list[Path] | Path,
    out_dir: Path,
    corpus_dir: Path | None = None,
    train_dir: Path | None = None,
    seed: int = 987_654_321,
    count: int = 200,
    plots: list[str] | None = None,
    fields: list[str] | None = None,
    max_new_tokens: int | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Score checkpoints on the same held-out requests; writes ``score.json`` and ``score.html`` into ``out_dir``.

    Each checkpoint's score card (see ``measure.card``) with the bits per character of the records' own stories, and how
    much every further checkpoint differs from the first, paired by request. ``score.json`` is the first one's card; the
    others stand in its ``others``, each with its ``differences``.

    Args:
        checkpoint_dir: a checkpoint folder (a run's ``final/``), a list of them, or ``name: folder`` pairs; the first is the
            baseline.
        out_dir: the folder that will hold ``score.json``, ``score.html`` and their manifest.
        corpus_dir: a corpus folder, whose held-out stories are asked for, or a jsonl file; by default the built-in story world
            makes new requests.
        train_dir: a corpus folder (its training stories) or a jsonl file that copying is measured against; that of
            ``corpus_dir`` by default, where it has training stories.
        seed: of the story world; another one than the training corpus was made with.
        count: stories.
        plots: plots of the story world to ask for, as in the corpus; all by default.
        fields: constraint fields that the prompt shows (words, features, summary, sentence); words by default.
        max_new_tokens: of one story; None goes on to the end of the block.
        overwrite: move an older score in ``out_dir`` aside; checkpoints it scored with the same settings are taken over.

    Raises:
        UserError: see ``score``; a checkpoint is given twice or is none; no training stories in ``train_dir``.
    """
    checkpoints, shown = cards.named(checkpoint_dir), fields or ["words"]
    require_fields(shown)
    single = len(checkpoints) == 1
    roles = {"checkpoint" if single else f"checkpoint {name}": path for name, path in checkpoints.items()}
    read = {"records": corpus_dir, "train": train_dir}
    settings: dict[str, Any] = {
        "count": count, "fields": shown, "max_new_tokens": max_new_tokens, "world_seed": None if corpus_dir else seed,
    }  # fmt: skip
    settings |= {"plots": plots} if plots else {}
    order = {} if single else {"checkpoints": list(checkpoints)}
    inputs = roles | {role: Path(path) for role, path in read.items() if path is not None}
    with open_stage("evaluate", out_dir, inputs=inputs, settings=settings | order, overwrite=overwrite) as work:
        if work.finished:
            return json.loads((Path(out_dir) / CARD).read_text(encoding="utf-8"))
        _require(checkpoints.values())
        training = _training(corpus_dir, train_dir)
        records = _held_out(corpus_dir, 2 * count, seed, plots or [])
        written = {}
        for (name, folder), role in zip(checkpoints.items(), roles, strict=True):
            made_by = [work.manifest.inputs[role], work.manifest.inputs.get("records"), settings]
            key = xxhash.xxh3_128_hexdigest(json.dumps(made_by, sort_keys=True).encode())
            card = _kept(work.folder, Path(out_dir), key)
            if card is None:
                card = {"key": key} | cards.written(
                    name, folder, records, count=count, fields=shown, max_new_tokens=max_new_tokens,
                    source=str(corpus_dir or "the story world"),
                )  # fmt: skip
                write_text(work.folder / f"card-{key}.json", json.dumps(card, ensure_ascii=False))
            written[name] = card | {"checkpoint": str(folder)}
        result = cards.compared(written, records, training) | {"synthetic": _synthetic(corpus_dir)}
        write_text(work.folder / CARD, json.dumps(result, ensure_ascii=False, indent=1))
        write_text(work.folder / PAGE, render(result))
        work.counts.update(stories=result["count"], dropped=result["dropped"])
        for kept in work.folder.glob("card-*.json"):
            kept.unlink()
    print(summary(result))
    print(Path(out_dir) / PAGE)
    return result


def _require(folders: Iterable[Path]) -> None:
    """All of them, before the first is scored."""
    from litgpt_zh.checkpoints import require_checkpoint

    for folder in folders:
        require_checkpoint(folder)


def _kept(work: Path, out_dir: Path, key: str) -> dict[str, Any] | None:
    """What a stopped run, or the older score that is about to be replaced, has written with the same settings."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in work.glob(f"card-{key}.json")]
    if not found and (out_dir / CARD).is_file():
        older = json.loads((out_dir / CARD).read_text(encoding="utf-8"))
        found = [card for card in (older, *older.get("others", ())) if card.get("key") == key]
    return cards.raw(found[0]) if found else None


def _training(corpus_dir: Path | None, train_dir: Path | None) -> Iterator[str] | None:
    """The stories that copying is measured against; None where there are none."""
    from litgpt_zh.corpus.shards import read_shards, shard_files

    source = Path(train_dir or corpus_dir or "")
    if train_dir is not None and source.is_file():
        from litgpt_zh.instruct.records import read_records as stream

        found = (record.get("text") for _, record in stream(source) if isinstance(record, dict))
        return (text for text in found if isinstance(text, str))
    if (train_dir or corpus_dir) and shard_files(source, "train"):
        return (record.get("text") or "" for record in read_shards(source, "train"))
    if train_dir is not None:
        raise UserError(
            f"{train_dir}: no train-*.jsonl; give a corpus folder that has training stories, or a jsonl file"
        )
    return None


def _synthetic(corpus_dir: Path | None) -> bool:
    """Whether the requests are known to come from the built-in story world."""
    if corpus_dir is None:
        return True
    known = (Path(corpus_dir) / MANIFEST).is_file()
    return known and Manifest.read(corpus_dir).settings.get("source") == "world"


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
