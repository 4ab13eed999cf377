"""Stories, planted copies and our own path, as benchmarks/data_dedup.py and dedup_peers.py measure them."""

from __future__ import annotations

import itertools
import random
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from litgpt_zh.corpus import prepare
from litgpt_zh.corpus.clean import Limits
from litgpt_zh.corpus.prepare import Job, batches
from litgpt_zh.corpus.readers import Record
from litgpt_zh.corpus.shards import read_shards
from litgpt_zh.corpus.staged import Staged
from litgpt_zh.corpus.thin import Division, divide
from litgpt_zh.pool import in_order

SEED, THRESHOLD = 11, 0.5
_CHINESE, _END = re.compile("[一-鿿]"), 5
MISSED: list[str] = []
"""The names of the figures that missed their bar."""


def figure(name: str, value: str, bar: str = "none", good: bool = True) -> None:
    """Print one line, and remember a miss."""
    if not good:
        MISSED.append(name)
    print(f"{name}: {value} (bar: {bar}){'' if good else '  MISSED'}", flush=True)


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
