"""The figures of the story world: duplicates, variety, speed, use of the lexicon, obeyed constraints.

    python benchmarks/world_quality.py            # 50,000 short stories
    python benchmarks/world_quality.py --quick    # 5,000

Every figure is one line, ``name: value (bar: ...)``; the exit status is 1 if a bar is missed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter, defaultdict

import numpy as np

from litgpt_zh.constraints import Constraints, check
from litgpt_zh.corpus.world import Story, generate
from litgpt_zh.corpus.world.lexicon import Lexicon

HASHES, BANDS = 128, 32
ROWS = HASHES // BANDS
SAME = 0.5
_KINDS_NOT_ASKED = ("name", "time", "moral")


def shingles(text: str) -> np.ndarray:
    """The set of character 3-grams of a text, each as one 64-bit number."""
    codes = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32).astype(np.uint64)
    return np.unique((codes[:-2] << np.uint64(42)) | (codes[1:-1] << np.uint64(21)) | codes[2:])


def signatures(sets: list[np.ndarray]) -> np.ndarray:
    """The MinHash signature of each set: one row of 128 numbers."""
    generator = np.random.Generator(np.random.PCG64(20240501))
    factors = generator.integers(1, 2**63, size=HASHES, dtype=np.uint64) | np.uint64(1)
    offsets = generator.integers(0, 2**63, size=HASHES, dtype=np.uint64)
    found = np.empty((len(sets), HASHES), dtype=np.uint32)
    with np.errstate(over="ignore"):
        for row, members in enumerate(sets):
            mixed = members * np.uint64(0x9E3779B97F4A7C15)
            mixed ^= mixed >> np.uint64(29)
            hashed = mixed[:, None] * factors[None, :] + offsets[None, :]
            found[row] = (hashed >> np.uint64(32)).min(axis=0).astype(np.uint32)
    return found


def near_duplicates(texts: list[str]) -> set[int]:
    """The texts that have a near-duplicate (Jaccard of 3-gram sets of at least 0.5), each candidate verified exactly."""
    sets = [shingles(text) for text in texts]
    marks = signatures(sets)
    plain: dict[int, frozenset[int]] = {}
    found: set[int] = set()
    tried: set[tuple[int, int]] = set()

    def members(index: int) -> frozenset[int]:
        if index not in plain:
            plain[index] = frozenset(sets[index].tolist())
        return plain[index]

    for band in range(BANDS):
        buckets: dict[bytes, list[int]] = defaultdict(list)
        for index, row in enumerate(np.ascontiguousarray(marks[:, band * ROWS : (band + 1) * ROWS])):
            buckets[row.tobytes()].append(index)
        for bucket in buckets.values():
            for at, one in enumerate(bucket):
                for other in bucket[at + 1 :]:
                    if (one, other) in tried or (one in found and other in found):
                        continue
                    tried.add((one, other))
                    shared = len(members(one) & members(other))
                    if shared >= SAME * (len(sets[one]) + len(sets[other]) - shared):
                        found.update((one, other))
    return found


def distinct_grams(texts: list[str], size: int = 4) -> float:
    """The share of character n-grams that are distinct, over the first 5,000 texts (a fixed sample, so it compares)."""
    seen: set[str] = set()
    total = 0
    for text in texts[:5000]:
        grams = [text[at : at + size] for at in range(len(text) - size + 1)]
        total += len(grams)
        seen.update(grams)
    return len(seen) / total


def obeys(story: Story) -> bool:
    """Whether the checker finds every constraint of the story kept."""
    asked = Constraints(story.words, story.features, story.summary, story.sentence)
    return all(kept is not False for kept in check(asked, story.text).values())


class Report:
    """Prints figures and remembers whether a bar was missed."""

    def __init__(self) -> None:
        self.missed = False

    def line(self, name: str, value: str, bar: str = "none", *, good: bool = True) -> None:
        """One figure."""
        self.missed = self.missed or not good
        print(f"{name}: {value} (bar: {bar}){'' if good else '  MISSED'}", flush=True)


def measure(count: int, seed: int, length: str) -> bool:
    """Print all figures; whether every bar was reached."""
    report = Report()
    start = time.perf_counter()
    stories = list(generate(seed, 0, count, length))
    speed = count / (time.perf_counter() - start)
    texts = [story.text for story in stories]
    least = 2000 if length == "short" else 1000
    report.line("stories", f"{count} {length}, seed {seed}")
    report.line("stories per second", f"{speed:.0f}", f">= {least}", good=speed >= least)
    exact = count - len(set(texts))
    report.line("exact duplicates", str(exact), "0", good=exact == 0)
    near = len(near_duplicates(texts)) / count
    report.line("stories with a near-duplicate", f"{near:.2%}", "< 2%", good=near < 0.02)
    report.line("distinct 4-grams of 5,000 stories", f"{distinct_grams(texts):.1%}")
    passed = sum(map(obeys, stories)) / count
    report.line("checker pass rate", f"{passed:.2%}", "100%", good=passed == 1.0)
    wanted = [entry.word for entry in Lexicon.load() if entry.kind not in _KINDS_NOT_ASKED]
    used = Counter(word for story in stories for word in story.words)
    share = sum(word in used for word in wanted) / len(wanted)
    enough = count >= 50000
    report.line(
        "lexicon words asked for", f"{share:.2%} of {len(wanted)}", ">= 98% at 50,000", good=share >= 0.98 or not enough
    )
    uses = sorted(used[word] for word in wanted)
    report.line(
        "uses of a word: 10th, 50th, 90th percentile, most",
        " ".join(str(uses[min(len(uses) - 1, int(len(uses) * point))]) for point in (0.1, 0.5, 0.9, 1.0)),
    )
    report.line("mean length in characters", f"{np.mean([len(text) for text in texts]):.1f}")
    features = Counter(feature for story in stories for feature in story.features)
    report.line("features", " ".join(f"{name} {number / count:.0%}" for name, number in features.most_common()))
    plots = Counter(story.plot for story in stories)
    report.line("plots told", str(len(plots)), ">= 40", good=len(plots) >= 40)
    for name, number in plots.most_common():
        report.line(f"plot {name}", str(number))
    unused = [word for word in wanted if word not in used]
    if unused:
        print("never asked for:", " ".join(unused[:400]))
    return not report.missed


def main() -> int:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=50_000, help="how many stories (default 50000)")
    parser.add_argument("--quick", action="store_true", help="5,000 stories")
    parser.add_argument("--seed", type=int, default=1, help="the seed (default 1)")
    parser.add_argument("--length", choices=("short", "full"), default="short")
    options = parser.parse_args()
    return 0 if measure(5000 if options.quick else options.count, options.seed, options.length) else 1


if __name__ == "__main__":
    sys.exit(main())
