"""A sample in which every combination of constraints has its fair share."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import xxhash

from litgpt_zh.translate.read import Item, Unread

Key = TypeVar("Key", bound=Hashable)


@dataclass
class Sample:
    """Which inputs were chosen, and how many each combination had (``before``) and has (``after``)."""

    indices: set[int]
    before: Counter[str] = field(default_factory=Counter)
    after: Counter[str] = field(default_factory=Counter)

    def table(self) -> str:
        width = max((len(name) for name in self.before), default=0)
        rows = [f"  {name:<{width}} {n:>9,} {self.after[name]:>9,}" for name, n in self.before.most_common()]
        return "\n".join([f"  {'constraints':<{width}} {'before':>9} {'after':>9}", *rows])


def fair_shares(available: Mapping[Key, int], total: int) -> dict[Key, int]:
    """``total`` over the keys as evenly as ``available`` allows (water filling); what is over goes to the first keys."""
    shares: dict[Key, int] = {}
    left, keys = total, sorted(available, key=lambda key: (available[key], str(key)))
    for number, key in enumerate(keys):
        shares[key] = min(available[key], left // (len(keys) - number))
        left -= shares[key]
    for key in keys[::-1]:
        more = min(left, available[key] - shares[key])
        shares[key] += more
        left -= more
    return shares


def choose(items: Iterable[Item | Unread], total: int, seed: int) -> Sample:
    """``total`` items, even over the combinations of constraints, and in each over the sets of features.

    The same seed takes the same stories whatever their order; a larger total takes at least these of each set. What cannot
    be read is taken besides, to be named among the dead letters.
    """
    heaps: dict[tuple[str, tuple[str, ...]], list[tuple[int, int]]] = {}
    counts: Counter[tuple[str, tuple[str, ...]]] = Counter()
    unread: set[int] = set()
    for item in items:
        if isinstance(item, Unread):
            unread.add(item.index)
        else:
            kind = (" + ".join(item.asked()) or "none", tuple(sorted(item.features)))
            counts[kind] += 1
            entry = (-xxhash.xxh3_64_intdigest(item.group.encode(), seed=seed), item.index)
            heap = heaps.setdefault(kind, [])
            (heapq.heappush if len(heap) < total else heapq.heappushpop)(heap, entry)
    before: Counter[str] = Counter()
    for (name, _), n in counts.items():
        before[name] += n
    sample = Sample(unread, before)
    for name, share in fair_shares(before, total).items():
        sets = {kind: n for kind, n in counts.items() if kind[0] == name}
        for kind, part in fair_shares(sets, share).items():
            sample.indices.update(index for _, index in sorted(heaps[kind], reverse=True)[:part])
            sample.after[name] += part
    return sample
