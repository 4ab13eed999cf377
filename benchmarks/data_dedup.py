"""The bars of near-duplicate removal, on stories of the built-in world with planted copies.

    python benchmarks/data_dedup.py            # and a million stories: time, memory, what four million would take
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
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from litgpt_zh.corpus import near, prepare, thin
from litgpt_zh.corpus.clean import Limits, content
from litgpt_zh.corpus.prepare import Job, batches, blocks
from litgpt_zh.corpus.readers import Record
from litgpt_zh.corpus.shards import read_shards
from litgpt_zh.corpus.staged import STAGED, Staged, Stories
from litgpt_zh.corpus.thin import Division, divide
from litgpt_zh.pool import in_order

SEED, THRESHOLD = 11, 0.5
_CHINESE, _END = re.compile("[一-鿿]"), 5
OK = True


def figure(name: str, value: str, bar: str = "none", good: bool = True) -> None:
    """Print one line, and remember a miss."""
    global OK
    OK = OK and good
    print(f"{name}: {value} (bar: {bar}){'' if good else '  MISSED'}", flush=True)


# stories and copies


def tell(job: tuple[int, int]) -> list[dict[str, Any]]:
    """Stories ``start`` to ``start + count`` of the world, as records."""
    from litgpt_zh.corpus.world import generate

    return [story.record() for story in generate(SEED, *job)]


def told(count: int) -> list[dict[str, Any]]:
    """The first stories of the world."""
    jobs = ((at, min(1000, count - at)) for at in range(0, count, 1000))
    return list(itertools.chain.from_iterable(in_order(tell, jobs, 0, stage="benchmark")))


class Copies:
    """Ways to copy a story with changes; characters and spans come from other stories.

    Edits are of Chinese characters and leave the last few of a story alone, which cleaning might take for an ending that
    broke off; a share is one of its Chinese characters.
    """

    def __init__(self, texts: list[str]) -> None:
        self.rng = random.Random(5)
        self.texts = texts

    def _character(self) -> str:
        return self.rng.choice(_CHINESE.findall(self.rng.choice(self.texts)))

    def _places(self, chars: list[str]) -> list[int]:
        return [at for at, char in enumerate(chars[:-_END]) if _CHINESE.match(char)]

    def edited(self, text: str, share: float) -> str:
        """So many edits a hundred characters: replaced, inserted and deleted ones, a third each."""
        chars = list(text)
        for n in range(round(share * len(_CHINESE.findall(text)))):
            at = self.rng.choice(self._places(chars))
            chars[at : at + (n % 3 > 0)] = [self._character()] if n % 3 < 2 else []
        return "".join(chars)

    def replaced(self, text: str, share: float) -> str:
        """So many characters replaced, no place twice: the hardest way to spend the same edits."""
        chars = list(text)
        for at in self.rng.sample(self._places(chars), round(share * len(_CHINESE.findall(text)))):
            chars[at] = self._character()
        return "".join(chars)

    def rewritten(self, text: str, share: float) -> str:
        """One span of the text gives way to as long a span of another story."""
        span = round(share * len(text))
        other = ""
        while len(other) < span:
            other = self.rng.choice(self.texts)
        at, start = self.rng.randrange(len(text) - span - _END), self.rng.randrange(len(other) - span + 1)
        return text[:at] + other[start : start + span] + text[at + span :]


KINDS: dict[str, tuple[Callable[[Copies, str], str], float]] = {
    "5% edits": (lambda copies, text: copies.edited(text, 0.05), 0.99),
    "10% edits": (lambda copies, text: copies.edited(text, 0.10), 0.90),
    "10% replaced": (lambda copies, text: copies.replaced(text, 0.10), 0.90),
    "20% rewritten span": (lambda copies, text: copies.rewritten(text, 0.20), 0.99),
}


def planted(stories: list[dict[str, Any]], each: int) -> list[dict[str, Any]]:
    """``each`` copies of every kind, of stories drawn by lot; ``group`` tells kind and original."""
    copies = Copies([story["text"] for story in stories])
    return [
        {"text": change(copies, story["text"]), "plot": story["plot"], "group": f"{kind}|{story['group']}"}
        for kind, (change, _) in KINDS.items()
        for story in copies.rng.sample(stories, each)
    ]


# our path


def stage(folder: Path, jobs: Iterator[Job], workers: int) -> None:
    """Clean, hash and stage stories as the corpus command does."""
    folder.mkdir(parents=True, exist_ok=True)
    staged = Staged(folder, signed=True)
    for done in in_order(prepare.work, jobs, workers, stage="benchmark"):
        for story in done.results:
            assert isinstance(story, prepare.Kept)
            staged.add(story)
    staged.flush()
    staged.close()


def given(records: Iterable[dict[str, Any]]) -> Iterator[Job]:
    items = (Record(record, "benchmark", n) for n, record in enumerate(records))
    return (Job(batch, Limits(), SEED, signed=True) for batch in batches(items))


def divided(folder: Path, workers: int) -> tuple[dict[str, Any], dict[int, list[dict[str, Any]]]]:
    """Divide what is staged, all near-duplicates kept; the counts, and the records of each cluster."""
    counts = divide(folder, Division("keep", THRESHOLD, 0.01), workers)
    clusters: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for split in ("train", "val"):
        for record in read_shards(folder, split):
            if "cluster" in record:
                clusters[record["cluster"]].append(record | {"split": split})
    return counts, clusters


def recalls(groups: dict[str, Any], copies: list[dict[str, Any]]) -> dict[str, float]:
    """Per kind, the share of copies that are in one cluster with their original."""
    found: dict[str, list[bool]] = {kind: [] for kind in KINDS}
    for copy in copies:
        kind, original = copy["group"].split("|")
        found[kind].append(groups.get(copy["group"], -1) == groups.get(original, -2))
    return {kind: sum(hits) / len(hits) for kind, hits in found.items()}


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
        counts, clusters = divided(folder, workers)
        seconds = time.perf_counter() - began
        outputs.append([counts, [path.read_bytes() for path in sorted(folder.glob("[tv]*.jsonl"))]])
        figure(
            f"{count + len(copies):,} stories searched, divided and written, {workers} processes", f"{seconds:.1f} s"
        )
    figure("same result with 1 and 2 processes", str(outputs[0] == outputs[1]), "True", outputs[0] == outputs[1])

    groups = {record["group"]: number for number, cluster in clusters.items() for record in cluster}
    for kind, recall in recalls(groups, copies).items():
        figure(f"recall, {kind}, {each} copies", f"{recall:.2%}", f">= {KINDS[kind][1]:.0%}", recall >= KINDS[kind][1])
    false_merges([[r for r in cluster if "|" not in r["group"]] for cluster in clusters.values()], count, True)
    sides = [{r["split"] for r in cluster} for cluster in clusters.values()]
    straddling = sum(len(side) > 1 for side in sides)
    figure("clusters on both sides of the split", f"{straddling} of {len(sides)}", "0", straddling == 0)
    apart, largest = counts["near"]["distance"]["train"], max(map(len, clusters.values()))
    least = 0.9 * apart["of"] / largest
    figure(
        "near-duplicates kept, stories between neighbours: least, median",
        f"{apart['min']:,}, {apart['median']:,.0f} of {apart['of']:,}; largest cluster {largest}",
        f"least >= {least:,.0f}", apart["min"] >= least,
    )  # fmt: skip
    choices(home / "workers1", stories, copies)
    opening(home, stories[: count // 4])


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
    lost = 1 - len(np.unique(near.clusters(len(stories), np.concatenate(parts)))) / len(stories)
    figure("stories merged if nothing were compared", f"{lost:.2%}")


def false_merges(clusters: list[list[dict[str, Any]]], count: int, small: bool) -> None:
    """Stories of the world lost to another one: each has a plot seed of its own."""
    lost = sum(max(0, len(cluster) - 1) for cluster in clusters)
    plots = sum(len({record["plot"] for record in cluster}) > 1 for cluster in clusters)
    bar = ("<= 0.10%", lost <= 0.001 * count) if small else ("none", True)
    figure(f"stories merged into one of another plot seed, of {count:,}", f"{lost / count:.3%}", *bar)
    figure(f"clusters with two plots, of {count:,} stories", str(plots), "0", plots == 0)


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
        counts, _ = divided(folder, 1)
        lost = (counts["near"]["stories"] - counts["near"]["clusters"]) / len(stories)
        bar = ("none", True) if share == 1 else ("<= 0.10%", lost <= 0.001)
        figure(f"stories merged into another one, {name}, of {len(stories):,}", f"{lost:.3%}", *bar)


# peers


def ours(home: Path, records: list[dict[str, Any]]) -> dict[str, Any]:
    """All of it in this process: cleaning, signatures, search, comparison, writing."""
    stage(home / "ours", given(records), 1)
    _, clusters = divided(home / "ours", 1)
    return {record["group"]: number for number, cluster in clusters.items() for record in cluster}


def grams(text: str) -> set[str]:
    letters = content(text).decode()
    return {letters[at : at + 3] for at in range(len(letters) - 2)}


def text_dedup_grams(text: str) -> set[str]:
    """As text-dedup cuts a text: tokens between non-word characters, 5 of them a gram, nothing of a text with fewer."""
    tokens = [token for token in re.split(r"\W", text.lower()) if token]
    return {" ".join(tokens[at : at + 5]) for at in range(len(tokens) - 4)}


def with_datasketch(
    records: list[dict[str, Any]], cut: Callable[[str], set[str]], hashes: int, threshold: float, **bands: Any
) -> dict[str, Any]:
    """datasketch's MinHash and MinHashLSH, each candidate compared exactly, union-find."""
    from datasketch import MinHash, MinHashLSH

    lsh = MinHashLSH(num_perm=hashes, **(bands or {"threshold": threshold}))
    sets = [cut(record["text"]) for record in records]
    pairs = []
    for n, parts in enumerate(sets):
        if parts:
            mark = MinHash(num_perm=hashes)
            mark.update_batch([part.encode() for part in parts])
            pairs += [(m, n) for m in lsh.query(mark) if len(sets[m] & parts) >= threshold * len(sets[m] | parts)]
            lsh.insert(n, mark)
    labels = near.clusters(len(records), np.array(pairs, dtype=np.int64).reshape(-1, 2))
    return {record["group"]: label for record, label in zip(records, labels.tolist(), strict=True)}


def peers(home: Path, count: int, each: int) -> None:
    """The same text through us and through datasketch, in one run."""
    stories = told(count)
    copies = planted(stories, each)
    records = [*stories, *copies]
    rows: dict[str, Callable[[], dict[str, Any]]] = {"litgpt-zh": lambda: ours(home, records)}
    if find_spec("datasketch"):
        rows["datasketch, character 3-grams, 128 hashes, 32 x 4"] = lambda: with_datasketch(
            records, grams, 128, THRESHOLD, params=(32, 4)
        )
        rows["text-dedup's setting (\\W tokens, 5-grams, 256 hashes, 0.7)"] = lambda: with_datasketch(
            records, text_dedup_grams, 256, 0.7
        )
    else:
        print("datasketch is not installed: its rows are left out (pip install datasketch)")
    first = 0.0
    for name, run in rows.items():
        began = time.process_time()
        groups = run()
        seconds = time.process_time() - began
        first = first or seconds
        recall = ", ".join(f"{kind} {share:.1%}" for kind, share in recalls(groups, copies).items())
        figure(
            f"{name}, {len(records):,} stories, one core", f"{seconds:.1f} s, {seconds / first:.1f} x ours; {recall}"
        )


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


def volume(home: Path, count: int) -> None:
    """Time and memory of a quarter, half and all of ``count`` stories; what four million would take."""
    began = time.perf_counter()
    jobs = (Job(block, Limits(), SEED, signed=True) for block in blocks(SEED, 0, count, "short"))
    stage(home / "whole", jobs, 0)
    figure(f"{count:,} stories told, cleaned, signed and staged", f"{time.perf_counter() - began:.0f} s")
    sizes, taken = [count // 4, count // 2, count], []
    for size in sizes:
        folder = beginning(home / "whole", size, home / f"first{size}")
        began, core_began = time.perf_counter(), core_seconds()
        with Memory() as memory:
            counts = divide(folder, Division("first", THRESHOLD, 0.01), 0)
        seconds = time.perf_counter() - began
        taken.append(core_seconds() - core_began)
        found = counts["near"]
        figure(f"{size:,} stories searched, divided and written", f"{seconds:.1f} s, {taken[-1]:.1f} core-seconds")
        figure(
            f"memory, {size:,} stories", f"{memory.most / size:,.0f} bytes a story", "<= 1,500 at a million",
            memory.most <= 1500 * size or size < 1_000_000,
        )  # fmt: skip
        figure(
            f"near-duplicates, {size:,} stories",
            f"{counts['dropped'] / size:.3%} dropped in {found['clusters']:,} clusters of {json.dumps(found['sizes'])};"
            f" {found['pairs met in a band']:,} pairs met, {found['pairs left out of crowded bands']:,} left out",
        )
        figure(f"at other thresholds, {size:,} stories", json.dumps(found["thresholds"]))
    linear, square = np.linalg.lstsq(np.array([[n, n * n] for n in sizes], float), np.array(taken), rcond=None)[0]
    figure(
        "four million stories searched, divided and written, extrapolated (a n + b n**2)",
        f"{(4e6 * max(linear, 0) + 16e12 * max(square, 0)) / 60:.1f} core-minutes",
    )
    _, clusters = divided(home / "whole", 0)
    false_merges(list(clusters.values()), count, small=False)


def main() -> int:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="26,000 stories alone")
    parser.add_argument("--stories", type=int, default=1_000_000, help="how many in the run of volume")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        quality(Path(home), 26_000, 500 if options.quick else 2000)
        peers(Path(home), 6000, 150)
        if not options.quick:
            volume(Path(home), options.stories)
    return 0 if OK else 1


if __name__ == "__main__":
    sys.exit(main())
