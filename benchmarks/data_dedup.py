"""The bars of near-duplicate removal, on stories of the built-in world with planted copies.

    python benchmarks/data_dedup.py            # and a million stories, or --stories N: the same bars, time, memory
    python benchmarks/data_dedup.py --dense 4  # what a million would lose, from 4 of the world's plots
    python benchmarks/data_dedup.py --quick    # 26,000 stories, within a minute on 2 cores

The rows of datasketch need it: ``pip install datasketch`` (a virtual environment of its own will do: no part of
litgpt-zh uses it). One line a figure, ``name: value (bar: ...)``; the exit status is 1 if a bar is missed. Seconds are of
the processor (one core) where the line says so. Memory is read from /proc, so on Linux alone.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import re
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from dedup_parts import KINDS, MISSED, SEED, THRESHOLD, divided, figure, given, planted, stage, told
from dedup_peers import peers

from litgpt_zh.corpus import near, thin
from litgpt_zh.corpus.clean import Limits, content
from litgpt_zh.corpus.prepare import Job, blocks
from litgpt_zh.corpus.shards import read_shards
from litgpt_zh.corpus.staged import STAGED, Stories
from litgpt_zh.corpus.thin import Division, divide
from litgpt_zh.corpus.world.plots import PLOTS


def quality(home: Path, count: int, each: int) -> None:
    """Speed of signatures, recall, false merges, the split, the spread, the number of workers."""
    stories = told(count)
    copies = planted(stories, each)
    texts = [story["text"] for story in stories]
    began = time.process_time()
    for at in range(0, count, 500):
        near.signatures([content(text) for text in texts[at : at + 500]])
    speed = count / (time.process_time() - began)
    figure("signatures, stories a second and core", f"{speed:,.0f}", ">= 10,000", speed >= 10_000)

    outputs = []
    for workers in (2, 1):
        folder = home / f"workers{workers}"
        stage(folder, given([*stories, *copies]), workers)
        began = time.perf_counter()
        counts = divide(folder, Division("first", THRESHOLD, 0.01), workers)
        seconds = time.perf_counter() - began
        outputs.append([counts, [path.read_bytes() for path in sorted(folder.glob("[tv]*.jsonl"))]])
        figure(
            f"{count + len(copies):,} stories searched, divided and written, {workers} processes", f"{seconds:.1f} s"
        )
    figure("same result with 1 and 2 processes", str(outputs[0] == outputs[1]), "True", outputs[0] == outputs[1])
    stay = staying(folder)
    found_again(copies, stay, count)
    lost(sum(story["group"] not in stay for story in stories), count)
    kept(folder, count)
    choices(folder, stories, copies)
    opening(home, stories[: count // 4])


def staying(folder: Path) -> set[str]:
    """The groups of the stories that were not dropped."""
    return {record["group"] for split in ("train", "val") for record in read_shards(folder, split)}


def found_again(copies: list[dict[str, Any]], stay: set[str], count: int) -> None:
    """Per kind, the share of copies that were dropped."""
    for kind, (_, least) in KINDS.items():
        gone = [copy["group"] not in stay for copy in copies if copy["group"].startswith(f"{kind}|")]
        recall = sum(gone) / len(gone)
        name = f"recall, {kind}, {len(gone)} copies among {count:,} stories"
        figure(name, f"{recall:.2%}", f">= {least:.0%}", recall >= least)


def lost(stories: int, of: int) -> None:
    """Stories of the world dropped for another one: each has a plot seed of its own."""
    figure(
        f"stories dropped for one of another plot seed, of {of:,}",
        f"{stories / of:.3%}", "<= 0.10%", stories <= 0.001 * of,
    )  # fmt: skip


def kept(folder: Path, count: int) -> None:
    """All near-duplicates kept: no cluster on both sides of the split, none of two plots, all far apart."""
    counts, clusters = divided(folder, 1)
    sides = [{r["split"] for r in cluster} for cluster in clusters.values()]
    straddling = sum(len(side) > 1 for side in sides)
    figure("clusters on both sides of the split", f"{straddling} of {len(sides)}", "0", straddling == 0)
    two_plots(clusters, count)
    apart, largest = counts["near"]["distance"]["train"], max(map(len, clusters.values()))
    least = 0.9 * apart["of"] / largest
    figure(
        "near-duplicates kept, stories between neighbours: least, median",
        f"{apart['min']:,}, {apart['median']:,.0f} of {apart['of']:,}; largest cluster {largest}",
        f"least >= {least:,.0f}", apart["min"] >= least,
    )  # fmt: skip


def two_plots(clusters: dict[int, list[dict[str, Any]]], count: int) -> None:
    """Stories of two plots are never alike."""
    plots = sum(len({record["plot"] for record in cluster}) > 1 for cluster in clusters.values())
    figure(f"clusters with two plots, of {count:,} stories", str(plots), "0", plots == 0)


def choices(folder: Path, stories: list[dict[str, Any]], copies: list[dict[str, Any]]) -> None:
    """What it would be with fewer bands, and without comparing."""
    marks = np.array(Stories(folder).signatures())
    index = {story["group"]: n for n, story in enumerate(stories)}
    pairs = np.array([(index[copy["group"].split("|")[1]], len(stories) + n) for n, copy in enumerate(copies)])
    contents = [content(record["text"]) for record in [*stories, *copies]]
    alike = near.jaccard(contents, pairs) >= THRESHOLD
    agree = (marks[pairs[:, 0]] == marks[pairs[:, 1]]).reshape(len(pairs), near.BANDS, near.ROWS).all(axis=2)
    kinds = np.array([copy["group"].split("|")[0] for copy in copies])
    for bands in (32, near.BANDS):
        met = alike & agree[:, :bands].any(axis=1)
        figure(f"recall with {bands} bands", ", ".join(f"{kind} {met[kinds == kind].mean():.2%}" for kind in KINDS))
    parts = [part for band in range(near.BANDS) for part in near.candidates(marks[: len(stories)], band)[0]]
    merged = 1 - len(np.unique(near.clusters(len(stories), np.concatenate(parts)))) / len(stories)
    figure("stories merged if nothing were compared", f"{merged:.2%}")


def opening(home: Path, stories: list[dict[str, Any]]) -> None:
    """All stories begin with the same 44 characters: the hard case."""
    start = "从前，在一片很大很大的森林里，住着许多快乐的小动物，它们每天都在一起唱歌、跳舞、做游戏。"
    for share, name in (
        (thin._USUAL, "behind one opening of 44 characters"),
        (1.0, "the same, if the opening counted"),
    ):
        thin._USUAL = share
        folder = home / f"opening {share}"
        stage(folder, given(story | {"text": start + story["text"]} for story in stories), 1)
        counts = divide(folder, Division("first", THRESHOLD, 0.01), 1)
        share_lost = counts["dropped"] / len(stories)
        bar = ("none", True) if share == 1 else ("<= 0.10%", share_lost <= 0.001)
        figure(f"stories dropped, {name}, of {len(stories):,}", f"{share_lost:.3%}", *bar)


def dense(home: Path, count: int, plots: int) -> None:
    """Some plots, drawn by lot, told as often as among ``count`` stories of all plots: only those of one plot are alike.

    The common stock is that of all plots, as it would be there.
    """
    every = [plot.name for plot in PLOTS]
    names = random.Random(0).sample(every, 12)[:plots]
    size = count // len(every) * len(names)
    for folder, stories, among in (("mixed", 20_000, ()), ("dense", size, tuple(names))):
        jobs = (Job(block, Limits(), SEED, signed=True) for block in blocks(SEED, 0, stories, "short", among))
        stage(home / folder, jobs, 0)
    compare = replace(thin.comparison(home / "mixed", THRESHOLD, 0), folder=home / "dense")
    order = np.arange(size)
    found = thin.centred(thin.find(compare), compare, order, THRESHOLD)
    gone = int((near.stars(order, found.pairs) != order).sum())
    print(f"{len(names)} plots as dense as among {count:,} stories: {'、'.join(names)}")
    lost(gone, size)


# a million


class Memory:
    """The most memory that this process and its children held at once while it ran, in bytes (shared pages once)."""

    def __enter__(self) -> Memory:
        self.most, self._stop = 0, threading.Event()
        self.before = self._now()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.2):
            self.most = max(self.most, self._now() - self.before)

    def _now(self) -> int:
        total, waiting = 0, [os.getpid()]
        while waiting:
            process = waiting.pop()
            try:
                text = Path(f"/proc/{process}/smaps_rollup").read_text()
                total += int(re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)[1]) * 1024  # type: ignore[index]
                for task in Path(f"/proc/{process}/task").iterdir():
                    waiting += map(int, (task / "children").read_text().split())
            except OSError:
                continue
        return total


def beginning(whole: Path, count: int, folder: Path) -> Path:
    """The first ``count`` stories of a staged folder, as another one."""
    folder.mkdir()
    total = len(Stories(whole))
    for pattern in STAGED:
        for path in whole.glob(pattern):
            os.link(path, folder / path.name)
    for name in (".facts", ".signatures"):
        with open(whole / name, "rb") as file:
            data = file.read((whole / name).stat().st_size // total * count)
        (folder / name).unlink()
        (folder / name).write_bytes(data)
    return folder


def core_seconds() -> float:
    """Processor time of this process and of its children that have ended."""
    return sum(os.times()[:4])


def volume(home: Path, count: int, each: int) -> None:
    """Time, memory and stories lost for a quarter, half and all of ``count`` stories; copies planted among all of them."""
    began = time.perf_counter()
    jobs = (Job(block, Limits(), SEED, signed=True) for block in blocks(SEED, 0, count, "short"))
    copies = planted(told(min(count, 26_000)), each)
    stage(home / "whole", itertools.chain(jobs, given(copies)), 0)
    figure(f"{count:,} stories told, cleaned, signed and staged", f"{time.perf_counter() - began:.0f} s")
    sizes, taken = [count // 4, count // 2, count], []
    for size in sizes:
        folder = home / "whole" if size == count else beginning(home / "whole", size, home / f"first{size}")
        began, core_began = time.perf_counter(), core_seconds()
        with Memory() as memory:
            counts = divide(folder, Division("first", THRESHOLD, 0.01), 0)
        seconds = time.perf_counter() - began
        taken.append(core_seconds() - core_began)
        told_of(counts["near"], size)
        figure(f"{size:,} stories searched, divided and written", f"{seconds:.1f} s, {taken[-1]:.1f} core-seconds")
        figure(
            f"memory, {size:,} stories", f"{memory.most / size:,.0f} bytes a story", "<= 1,500 at a million",
            memory.most <= 1500 * size or size < 1_000_000,
        )  # fmt: skip
        if size < count:
            lost(counts["dropped"], size)
    stay = staying(home / "whole")
    gone = count - sum("|" not in group for group in stay)
    lost(gone, count)
    if count < 4_000_000:  # pairs grow with the square, so the share of stories with the number
        share = gone / count * 4_000_000 / count
        figure("the same at four million, extrapolated in proportion", f"{share:.3%}", "<= 0.10%", share <= 0.001)
    found_again(copies, stay, count)
    linear, square = np.linalg.lstsq(np.array([[n, n * n] for n in sizes], float), np.array(taken), rcond=None)[0]
    figure(
        "four million stories searched, divided and written, fitted (a n + b n**2)",
        f"{(4e6 * max(linear, 0) + 16e12 * max(square, 0)) / 60:.1f} core-minutes",
    )
    two_plots(divided(home / "whole", 0)[1], count)


def told_of(found: dict[str, Any], size: int) -> None:
    """What the manifest says of ``size`` stories."""
    figure(
        f"near-duplicates, {size:,} stories",
        f"{found['stories']:,} in {found['clusters']:,} clusters of {json.dumps(found['sizes'])};"
        f" {found['pairs met in a band']:,} pairs met, {found['pairs left out of crowded bands']:,} left out",
    )
    figure(f"at other thresholds, {size:,} stories", json.dumps(found["thresholds"]))


def main() -> int:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="26,000 stories alone")
    parser.add_argument("--stories", type=int, default=1_000_000, help="how many in the run of volume")
    parser.add_argument(
        "--dense", type=int, default=0, help="only: this many plots (12 at most) as dense as in --stories"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        if options.dense:
            dense(Path(home), options.stories, options.dense)
            return 1 if MISSED else 0
        quality(Path(home), 26_000, 500 if options.quick else 2000)
        peers(Path(home), 6000, 150)
        if not options.quick:
            volume(Path(home), options.stories, 2000)
    return 1 if MISSED else 0


if __name__ == "__main__":
    sys.exit(main())
