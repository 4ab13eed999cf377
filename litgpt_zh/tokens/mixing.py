"""From the settings of a recipe to the stream of rows: which folders, in which shares, one after another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from litgpt_zh.language import say
from litgpt_zh.stage import Manifest, UserError
from litgpt_zh.tokens.order import Order, Source, Stage, Stream, distances

Weights = Mapping[Path, float]
Part = tuple[Weights, int | None]
"""Weights of the folders, and for how many tokens (None: to the end)."""


def stages_of(
    tokens_dir: Path | str, mix: Mapping[str, float] | None, stages: Sequence[Mapping[str, Any]] | None
) -> tuple[list[Path], list[Part]]:
    """The folders of a mixture, ``tokens_dir`` first, and its parts.

    Raises:
        UserError: both settings at once; a weight that is no positive number; a part without ``mix``, or one but the last
            without ``tokens``; ``tokens_dir`` in none of them.
    """
    main = Path(tokens_dir)
    if mix and stages:
        raise UserError("mix and stages: give one of them; a stage has a mix of its own")
    given = stages or [{"mix": mix or {str(main): 1.0}}]
    parts: list[Part] = []
    for n, stage in enumerate(given, 1):
        if (
            not isinstance(stage, Mapping)
            or stage.keys() - {"tokens", "mix"}
            or not isinstance(stage.get("mix"), Mapping)
        ):
            raise UserError(f"stages, number {n}: give {{tokens: how many, mix: {{folder: weight}}}}, and nothing else")
        tokens = stage.get("tokens")
        if (tokens is None) != (n == len(given)) or (
            tokens is not None and (not isinstance(tokens, int) or tokens < 1)
        ):
            raise UserError(
                f"stages, number {n}: every stage but the last has tokens, a number above 0; the last has none"
            )
        parts.append((_weights(stage["mix"]), tokens))
    folders = list(dict.fromkeys([main, *(folder for weights, _ in parts for folder in weights)]))
    if not any(main in weights for weights, _ in parts):
        raise UserError(f"mix: {main} (tokens_dir) is not in it; add it, or set tokens_dir to one of its folders")
    return folders, parts


def _weights(mix: Mapping[str, Any]) -> dict[Path, float]:
    found: dict[Path, float] = {}
    for folder, weight in mix.items():
        if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 < weight < float("inf"):
            raise UserError(f"mix: {folder}: {weight!r} is no weight; give a number above 0")
        if Path(folder) in found:
            raise UserError(f"mix: {folder} is there twice")
        found[Path(folder)] = float(weight)
    if not found:
        raise UserError("mix: no folder in it; give {folder: weight}")
    return found


def stream(folders: Sequence[Path], parts: Sequence[Part], width: int, seed: int, order: Order) -> Stream:
    """The stream of training rows.

    Raises:
        UserError: ``order`` length with a folder that does not tell lengths; a weight too small to be kept exactly.
    """
    sources = [source(folder, width) for folder in folders]
    if order == "length" and (without := [s.name for s in sources if s.lengths is None]):
        raise UserError(
            f"{without[0]}: does not tell the length of its stories; run `litgpt-zh tokens` again for order"
        )
    stages = []
    for weights, tokens in parts:
        shares = tuple(weights.get(folder, 0.0) / sum(weights.values()) for folder in folders)
        stages.append(Stage(shares, None if tokens is None else max(1, tokens // (width - 1))))
    try:
        return Stream(sources, seed, order, stages)
    except ValueError as error:
        raise UserError(f"mix: {error}; give the folder more weight or leave it out") from None


def source(folder: Path, width: int) -> Source:
    """The training rows of a tokens folder."""
    outputs = Manifest.read(folder).outputs
    rows = sum(made["bytes"] for name, made in outputs.items() if name.startswith("train-") and name.endswith(".bin"))
    found = [np.load(folder / name) if name in outputs else None for name in ("lengths.npy", "clusters.npy")]
    return Source(str(folder), rows // (2 * width), *found)


def told(stream: Stream, rows: int) -> list[str]:
    """One line for each source: its share and epochs in ``rows`` rows; one for its kept near-duplicates, if any."""
    lines = []
    for n, (source, taken) in enumerate(zip(stream.sources, stream.taken(rows), strict=True)):
        share, several = f"{taken / max(rows, 1):.1%}", len(stream.sources) > 1
        lines.append(
            say(
                f"{source.name}：{f'占训练的 {share}，' if several else ''}{source.rows:,} 行过 {taken / source.rows:.2f} 遍",
                f"{source.name}: {f'{share} of the training, ' if several else ''}{taken / source.rows:.2f} epochs of "
                f"{source.rows:,} rows",
            )
        )
        if source.clusters is not None:
            apart = spacing(distances(stream.epoch(n, 0), source.clusters), source)
            lines.append(say(f"{source.name}：{apart}", f"{source.name}: {apart}"))
    return lines


def spacing(apart: np.ndarray, source: Source) -> str:
    """How far apart an order keeps near-duplicates, in words."""
    if source.clusters is None or not len(apart):
        return say("没有近似重复出现在两处", "no near-duplicates in two places")
    numbers, sizes = np.unique(source.clusters[:, 1], return_counts=True)
    best = source.rows // sizes.max()
    return say(
        f"{len(numbers):,} 簇的 {len(source.clusters):,} 处近似重复：相邻的至少隔 {apart.min():,} 行，中位数 "
        f"{int(np.median(apart)):,} 行；最大的一簇（{sizes.max():,} 处）最好也只能隔 {best:,} 行",
        f"{len(source.clusters):,} near-duplicates of {len(numbers):,} clusters: neighbours are at least {apart.min():,}"
        f" rows apart, the median {int(np.median(apart)):,}; at best the largest cluster ({sizes.max():,}) could have"
        f" {best:,}",
    )
