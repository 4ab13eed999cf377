"""From stories read to train and val: near-duplicates are found, all but one of a cluster dropped, the rest split.

Bands are searched and pairs compared in parallel; what comes out does not depend on the number of workers.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from litgpt_zh.corpus import near
from litgpt_zh.corpus.clean import content
from litgpt_zh.corpus.shards import Shards
from litgpt_zh.corpus.staged import Stories
from litgpt_zh.language import say
from litgpt_zh.pool import in_order
from litgpt_zh.stage import UserError, progress

Near = Literal["first", "longest", "keep", "off"]
NEAR_DUPLICATE = "near-duplicate"
THRESHOLD = 0.5
THRESHOLDS = (THRESHOLD, 0.6, 0.7, 0.8, 0.9)
_MARGIN = 0.13
"""Three standard deviations of an estimate: a pair that looks this much below the threshold is compared all the same."""
_USUAL, _SAMPLE = 0.05, 20_000
"""Grams in more than this share of the stories, as counted in a sample, are common stock and no sign of a copy."""
_PAIRS, _SMALL, _PARTNERS = 20_000, 20_000, 16
_EXAMPLES, _SHOWN = 5, 200


@dataclass(frozen=True)
class Division:
    """What to do with near-duplicates, which stories are that, and the share of places that goes to validation.

    Raises:
        UserError: a threshold that the bands cannot serve, or one where nothing is compared.
    """

    near: Near
    near_threshold: float
    val_share: float

    def __post_init__(self) -> None:
        if not 0.4 <= self.near_threshold <= 1:
            raise UserError(
                f"corpus: --near_threshold {self.near_threshold} is out of range, use 0.4 to 1, such as {THRESHOLD}"
            )
        if not self.signed and self.near_threshold != THRESHOLD:
            raise UserError(
                "corpus: --near_threshold does nothing with --near off, which compares no stories; leave it out"
            )

    @property
    def signed(self) -> bool:
        """Whether stories need a signature."""
        return self.near != "off"

    def settings(self) -> dict[str, Any]:
        """For the manifest; a threshold that does nothing is left out."""
        return {key: value for key, value in asdict(self).items() if self.signed or key != "near_threshold"}


@dataclass(frozen=True)
class _Band:
    folder: Path
    band: int
    least: float


@dataclass(frozen=True)
class _Pairs:
    folder: Path
    pairs: near.Pairs
    usual: np.ndarray
    least: float


@dataclass(frozen=True)
class Comparison:
    """Compares stories of ``folder``: `near.similarity` from ``least`` on, without the grams that are ``usual``."""

    folder: Path
    usual: np.ndarray
    least: float
    workers: int

    def __call__(self, pairs: near.Pairs) -> np.ndarray:
        """The similarity of each pair."""
        parts = (pairs[at : at + _PAIRS] for at in range(0, len(pairs), _PAIRS))
        jobs = [_Pairs(self.folder, part, self.usual, self.least) for part in parts]
        return np.concatenate([np.empty(0), *in_order(_compare, jobs, self.workers, stage="corpus")])


@dataclass
class Found:
    """Pairs that are alike, with their similarity, and how many there were to look at."""

    pairs: near.Pairs
    similar: np.ndarray
    met: int
    left_out: int


def _search(job: _Band) -> tuple[np.ndarray, np.ndarray, int, int]:
    """The pairs of a band that look similar enough, with their estimates; how many met; how many were left out."""
    marks = Stories(job.folder).signatures()
    parts, left_out = near.candidates(marks, job.band)
    codes, estimates, met = [np.empty(0, np.int64)], [np.empty(0, np.float32)], 0
    for pairs in parts:
        met += len(pairs)
        found = near.estimates(marks, pairs)
        alike = found >= job.least
        codes.append(pairs[alike, 0] * len(marks) + pairs[alike, 1])
        estimates.append(found[alike])
    return np.concatenate(codes), np.concatenate(estimates), met, left_out


def strongest(codes: np.ndarray, estimates: np.ndarray, count: int, most: int) -> tuple[np.ndarray, int]:
    """Which pairs to compare: each once, and of every story at most ``most`` with earlier ones, the likeliest.

    A crowd of copies has more pairs than anybody can compare, and a few to each member hold it together.

    Args:
        codes: a pair (i, j), i < j, as ``i * count + j``; may repeat.
        estimates: of each code.

    Returns:
        indices into ``codes``, in the order of the codes; how many pairs that leaves out.
    """
    _, first = np.unique(codes, return_index=True)
    later = codes[first] % count
    order = np.lexsort((codes[first], -estimates[first], later))
    starts = np.searchsorted(later[order], later[order])
    chosen = first[np.sort(order[np.arange(len(order)) - starts < most])]
    return chosen, len(first) - len(chosen)


def _compare(job: _Pairs) -> np.ndarray:
    """The exact similarity of each pair."""
    which, pairs = np.unique(job.pairs, return_inverse=True)
    return near.similarity(_contents(Stories(job.folder), which), pairs.reshape(-1, 2), job.least, job.usual)


def _contents(stories: Stories, which: np.ndarray) -> list[bytes]:
    return [content(json.loads(line)["text"]) for line in stories.lines(which.tolist())]


def comparison(folder: Path, least: float, workers: int) -> Comparison:
    """How the stories in ``folder`` are compared; the common stock is counted in a sample."""
    count = len(Stories(folder))
    sample = np.unique(np.linspace(0, count - 1, min(count, _SAMPLE)).astype(np.int64))
    usual = near.common(_contents(Stories(folder), sample), _USUAL)
    return Comparison(folder, usual, least, 1 if count < _SMALL else workers)


def find(compare: Comparison) -> Found:
    """All pairs of stories that share a band and have a similarity of ``compare.least`` or more."""
    folder, threshold, workers = compare.folder, compare.least, compare.workers
    count = len(Stories(folder))
    bands = [_Band(folder, band, threshold - _MARGIN) for band in range(near.BANDS)]
    codes, estimates, met, left_out = np.empty(0, np.int64), np.empty(0, np.float32), 0, 0
    with progress(near.BANDS, desc=say("corpus：找近似重复", "corpus: near-duplicates"), unit=say("带", "band")) as bar:
        searched = in_order(_search, bands, workers, stage="corpus")
        for n, (more, looks, some, missed) in enumerate(searched, 1):
            codes, estimates = np.concatenate([codes, more]), np.concatenate([estimates, looks])
            met, left_out = met + some, left_out + missed
            if len(codes) > 2 * _PARTNERS * count or n == near.BANDS:
                chosen, missed = strongest(codes, estimates, count, _PARTNERS)
                left_out += missed
                codes, estimates = codes[chosen], estimates[chosen]
            bar.update()
    pairs = np.stack(np.divmod(codes, count), axis=1)
    similar = compare(pairs)
    close = similar >= threshold
    return Found(pairs[close], similar[close], met, left_out)


def centred(found: Found, compare: Comparison, order: np.ndarray, threshold: float) -> Found:
    """``found``, and the pairs that say who is alike to the one that stays: in a crowd they may have been left out.

    The first story of each cluster in ``order`` is compared with all the others of it; those that are alike go, and of
    what is left there are new clusters, `_PARTNERS` times at most.
    """
    rank = np.argsort(order)
    alike = found.pairs[found.similar >= threshold]
    which, left = np.unique(rank[alike], return_inverse=True)
    left = np.sort(left.reshape(-1, 2), axis=1)
    for _ in range(_PARTNERS):
        first = near.clusters(len(which), left)
        settled = np.zeros(len(which), dtype=bool)
        settled[left[first[left[:, 1]] == left[:, 0], 1]] = True
        asked = np.flatnonzero((first != np.arange(len(which))) & ~settled)
        if not len(asked):
            break
        pairs = np.sort(order[which[np.stack([first[asked], asked], axis=1)]], axis=1)
        similar = compare(pairs)
        close = similar >= compare.least
        found.pairs, found.similar = (
            np.concatenate([found.pairs, pairs[close]]),
            np.append(found.similar, similar[close]),
        )
        settled[asked[similar >= threshold]] = True
        settled[first] = True
        left = left[~settled[left].any(axis=1)]
    return found


@dataclass
class Plan:
    """What becomes of each story: whether it stays, whether it goes to val, its cluster (-1: alone), and the order."""

    stays: np.ndarray
    val: np.ndarray
    cluster: np.ndarray
    order: np.ndarray


def plan(facts: np.ndarray, labels: np.ndarray, division: Division) -> Plan:
    """Who stays, and on which side: a group is never divided, nor a cluster that is kept.

    Args:
        facts: (n,) of `staged.FACTS`.
        labels: (n,) the story that stays for each one, or, where near-duplicates are kept, the first of its cluster.
        division: what to do.
    """
    count, place = len(facts), facts["place"]
    cluster, order = np.full(count, -1), np.arange(count)
    stays = labels == order
    if division.near == "keep":
        stays[:] = True
        place = _together(place, labels)
        cluster = np.where(np.bincount(labels, minlength=count)[labels] > 1, labels, -1)
        order = near.spread(labels)
    return Plan(stays, _split(place, stays, division.val_share), cluster, order)


def _together(place: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Places such that the stories of a cluster, and all of the groups that meet in it, follow the first among them."""
    _, first, group = np.unique(place, return_index=True, return_inverse=True)  # a group is one place
    joined = near.clusters(
        len(place), np.stack([np.concatenate([labels, first[group]]), np.tile(np.arange(len(place)), 2)], axis=1)
    )
    return place[joined]


def _split(place: np.ndarray, stays: np.ndarray, val_share: float) -> np.ndarray:
    """Which stories go to val. A small corpus can leave a side empty: it gets the group that falls nearest to it."""
    val = place < val_share
    if stays.any() and not val[stays].any():
        val = place == place[stays].min()
    elif stays.any() and val[stays].all():
        val = place != place[stays].max()
    return val


def write(folder: Path, stories: Stories, chosen: Plan) -> dict[str, int]:
    """Write the shards of train and val; how many stories each holds."""
    splits = {split: Shards(folder, split) for split in ("train", "val")}
    order = chosen.order[chosen.stays[chosen.order]].tolist()
    numbers = {label: n for n, label in enumerate(np.unique(chosen.cluster[chosen.cluster >= 0]).tolist())}
    with progress(len(order), desc=say("corpus：写出", "corpus: writing"), unit=say("篇", "story")) as bar:
        for index, line in zip(order, stories.lines(order), strict=True):
            if (label := int(chosen.cluster[index])) >= 0:
                record = json.loads(line) | {"cluster": numbers[label]}
                line = json.dumps(record, ensure_ascii=False).encode("utf-8") + b"\n"
            splits["val" if chosen.val[index] else "train"].write(line)
            bar.update()
    for shards in splits.values():
        shards.close()
    return {split: shards.records for split, shards in splits.items()}


def divide(folder: Path, division: Division, workers: int) -> dict[str, Any]:
    """Turn what is staged in ``folder`` into train and val (one of them stays empty where all stories are of one group).

    Returns:
        counts: ``train``, ``val``, ``kept``, ``dropped`` (near-duplicates) and, unless they are off, ``near``.
    """
    stories = Stories(folder)
    count = len(stories)
    labels = np.arange(count)
    report: dict[str, Any] = {}
    if division.signed and count:
        labels, report["near"] = _alike(folder, stories, division, workers)
    chosen = plan(stories.facts, labels, division)
    if division.near == "keep" and count:
        report["near"]["distance"] = _distance(chosen)
    kept = int(chosen.stays.sum())
    return {**write(folder, stories, chosen), "kept": kept, "dropped": count - kept, **report}


def _alike(folder: Path, stories: Stories, division: Division, workers: int) -> tuple[np.ndarray, dict[str, Any]]:
    """The labels that `plan` wants, and what the manifest says of near-duplicates."""
    threshold, count = division.near_threshold, len(stories)
    compare = comparison(folder, min(threshold, THRESHOLDS[0]), workers)
    found = find(compare)
    order = np.arange(count)
    if division.near == "longest":
        order = np.argsort(-stories.facts["characters"].astype(np.int64), kind="stable")
    if division.near == "keep":  # not two that are alike on two sides of the split, be it by a chain
        labels = near.clusters(count, found.pairs[found.similar >= threshold])
    else:
        found = centred(found, compare, order, threshold)
        labels = near.stars(order, found.pairs[found.similar >= threshold])
    return labels, _report(found, labels, stories, threshold, order)


def _report(found: Found, labels: np.ndarray, stories: Stories, threshold: float, order: np.ndarray) -> dict[str, Any]:
    """What the manifest says of near-duplicates."""
    sizes = np.bincount(labels)
    sizes = sizes[sizes > 1]
    return {
        "clusters": len(sizes),
        "stories": int(sizes.sum()),
        "sizes": {str(size): n for size, n in sorted(Counter(sizes.tolist()).items())},
        "pairs met in a band": found.met,
        "pairs left out of crowded bands": found.left_out,
        "pairs alike": int((found.similar >= threshold).sum()),
        "thresholds": {str(t): _at(found, t, order) for t in sorted({*THRESHOLDS, threshold})},
        "examples": list(_examples(found, stories, threshold)),
    }


def _at(found: Found, threshold: float, order: np.ndarray) -> dict[str, int]:
    """What would go at another threshold, of the pairs that were compared."""
    kept = near.stars(order, found.pairs[found.similar >= threshold])
    dropped = kept[kept != np.arange(len(kept))]
    return {"clusters": len(np.unique(dropped)), "dropped": len(dropped)}


def _examples(found: Found, stories: Stories, threshold: float) -> Iterator[dict[str, Any]]:
    """A few pairs side by side, from the least alike to the most."""
    rank = np.argsort(found.similar, kind="stable")
    rank = rank[found.similar[rank] >= threshold]
    for at in rank[np.linspace(0, len(rank) - 1, min(_EXAMPLES, len(rank))).astype(int)].tolist():
        one, other = (json.loads(line)["text"][:_SHOWN] for line in stories.lines(found.pairs[at].tolist()))
        yield {"similarity": round(float(found.similar[at]), 3), "one": one, "other": other}


def _distance(chosen: Plan) -> dict[str, Any]:
    """How far apart the near-duplicates that were kept stand, in stories, in the order of each split."""
    found = {}
    for split, side in (("train", chosen.val[chosen.order] == 0), ("val", chosen.val[chosen.order])):
        inside = chosen.cluster[chosen.order[side]]
        labels = np.where(inside >= 0, inside, -1 - np.arange(len(inside)))
        apart = near.distances(labels, np.arange(len(labels)))
        if len(apart):
            found[split] = {"min": int(apart.min()), "median": float(np.median(apart)), "of": len(labels)}
    return found


def told(counts: dict[str, Any]) -> str:
    """One line on the near-duplicates in a manifest's counts; nothing where there are none."""
    found = counts.get("near")
    if not found or not found["stories"]:
        return ""
    at = ", ".join(f"{threshold}: {row['dropped']:,}" for threshold, row in found["thresholds"].items())
    apart = "".join(
        say(
            f"；在 {split} 里至少隔 {row['min']:,} 篇，中位数 {row['median']:,.0f} 篇",
            f"; apart in {split}: {row['min']:,} stories or more, {row['median']:,.0f} in the median",
        )
        for split, row in found.get("distance", {}).items()
    )
    return say(
        f"近似重复：{found['stories']:,} 篇，成 {found['clusters']:,} 簇{apart}；换别的阈值要丢的篇数 {at}；例子在 manifest.json",
        f"near-duplicates: {found['stories']:,} stories in {found['clusters']:,} clusters{apart};"
        f" to drop at other thresholds {at}; examples in manifest.json",
    )
