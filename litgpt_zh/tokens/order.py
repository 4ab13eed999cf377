"""In which order rows are trained on: pure functions of (seed, place), so that any place can be gone on from exactly.

A `Stream` numbers the rows of all epochs and sources without end. Each source has an endless stream of its own,
epoch after epoch, in which every row comes once an epoch; a mixture draws from them in exact shares.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import numpy as np

from litgpt_zh.corpus import near

SEED = 42
"""Seed of the order unless another is given."""
CYCLE = 1000
"""Rows after which a mixture has its exact shares."""
BANDS = 10
"""``length``: the rows by mean length of their stories in so many parts, each shuffled."""
_CANDIDATES, _RELATIONS = 64, 256  # so many places, and other rows, are compared at most
_MIXTURE = 0x6D6978  # keeps the random numbers of the mixture apart from those of the epochs


@dataclass(frozen=True)
class Source:
    """The rows of one tokens folder.

    ``lengths`` is (rows,) mean tokens of the documents in a row; ``clusters`` is (K, 2) int64, row and number of each
    near-duplicate that was kept.
    """

    name: str
    rows: int
    lengths: np.ndarray | None = None
    clusters: np.ndarray | None = None


@dataclass(frozen=True)
class Stage:
    """A part of the training: shares of the sources, summing to 1, and for how many rows; the last one has no end."""

    shares: tuple[float, ...]
    rows: int | None = None


Order = Literal["shuffle", "length"]


def epoch_order(source: Source, seed: int, epoch: int, number: int = 0, order: Order = "shuffle") -> np.ndarray:
    """The rows of one epoch in their order, a permutation of (seed, epoch, source).

    Args:
        source: the rows.
        seed: of the order.
        epoch: which pass, from 0.
        number: which source of the mixture.
        order: ``length`` tells the rows with the shortest stories first in epoch 0 (`BANDS` parts, each shuffled).

    Returns:
        (rows,) int64.
    """
    rng = np.random.default_rng((seed, epoch, number))
    found = rng.permutation(source.rows)
    if source.clusters is not None and len(source.clusters):
        found = np.argsort(spread(source.rows, source.clusters, rng), kind="stable")
    if order == "length" and epoch == 0 and source.lengths is not None:
        rank = np.empty(source.rows, np.int64)
        rank[np.argsort(source.lengths, kind="stable")] = np.arange(source.rows)
        found = found[np.argsort(rank[found] * BANDS // source.rows, kind="stable")]
    return found


def spread(rows: int, clusters: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Keys in [0, 1) whose order keeps rows that share a cluster far apart.

    The k rows of a cluster get the places (phase + 0, 1, .. k - 1) / k, the largest cluster first. A row that has its
    place from a larger cluster keeps it, and one with relations elsewhere gets the best of some random places.

    Args:
        rows: how many there are.
        clusters: (K, 2) int64, row and number.
        rng: of phases and of the rows that share nothing.

    Returns:
        (rows,) float64.
    """
    pairs = np.unique(clusters, axis=0)
    pairs = pairs[np.argsort(pairs[:, 1], kind="stable")]
    _, first, sizes = np.unique(pairs[:, 1], return_index=True, return_counts=True)
    members = [pairs[a : a + n, 0].tolist() for a, n in zip(first.tolist(), sizes.tolist(), strict=True)]
    of_row: dict[int, list[int]] = {}
    for number, cluster in enumerate(members):
        for row in cluster:
            of_row.setdefault(row, []).append(number)
    placed: dict[int, float] = {}
    for number in np.argsort(-sizes, kind="stable").tolist():
        cluster = rng.permutation(members[number]).tolist()
        for row in (row for row in cluster if row not in placed):
            related = (n for c in of_row[row] if c != number for n in members[c])
            if any(n in placed for n in islice(related, _RELATIONS)):
                placed[row] = _farthest(row, of_row[row], members, placed, rng)
        _fill_in(cluster, placed, float(rng.random()))
    free = np.setdiff1d(np.arange(rows), pairs[:, 0])
    keys = np.empty(rows)
    keys[free] = (rng.permutation(len(free)) + 0.5) / max(1, len(free))
    keys[list(placed)] = list(placed.values())
    return keys


def _farthest(
    row: int, numbers: list[int], members: list[list[int]], placed: dict[int, float], rng: np.random.Generator
) -> float:
    """Of some random places the one farthest from all relations of ``row``."""
    related = (placed[n] for c in numbers for n in members[c] if n != row and n in placed)
    there = np.fromiter(islice(related, _RELATIONS), float)
    places = rng.random(_CANDIDATES)
    way = np.abs(places[:, None] - there)
    return float(places[np.minimum(way, 1 - way).min(1).argmax()])


def _fill_in(cluster: list[int], placed: dict[int, float], phase: float) -> None:
    """Give the rows of a cluster that have no place yet one on its even grid, away from those that have."""
    there = [placed[row] for row in cluster if row in placed]
    phase = there[0] if there else phase
    slots = [(phase + n / len(cluster)) % 1 for n in range(len(cluster))]
    for place in there:
        slots.remove(min(slots, key=lambda slot: _apart(slot, place)))
    for row, slot in zip((row for row in cluster if row not in placed), slots, strict=True):
        placed[row] = slot


def _apart(one: float, other: float) -> float:
    """Distance on a circle of length 1."""
    way = abs(one - other)
    return min(way, 1 - way)


def distances(order: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """Rows between each member of a cluster and its next one in ``order``; 0 where two are in one row."""
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    return near.distances(clusters[:, 1], place[clusters[:, 0]])


class Stream:
    """The endless stream of row numbers; the rows of the sources are numbered one source after another."""

    def __init__(
        self, sources: Sequence[Source], seed: int, order: Order = "shuffle", stages: Sequence[Stage] | None = None
    ) -> None:
        """
        Args:
            sources: what there is.
            seed: of everything that is drawn.
            order: of the rows inside a source, see `epoch_order`.
            stages: shares one after another; by default the first source alone.

        Raises:
            ValueError: a share above 0 but too small for one row in `CYCLE`, or a stage after one without end.
        """
        self.sources, self.seed, self.order = list(sources), seed, order
        self.stages = list(stages or [Stage((1.0,) + (0.0,) * (len(self.sources) - 1))])
        if any(stage.rows is None for stage in self.stages[:-1]):
            raise ValueError("only the last stage has no end")
        self.first = np.cumsum([0, *(source.rows for source in self.sources)])
        self._quotas = [_quota(stage.shares) for stage in self.stages]
        self._patterns: dict[tuple[int, int], np.ndarray] = {}
        self._orders: dict[tuple[int, int], np.ndarray] = {}
        self._starts, self._before = [0], [np.zeros(len(self.sources), np.int64)]
        for n, stage in enumerate(self.stages[:-1]):
            self._starts.append(self._starts[-1] + int(stage.rows or 0))
            self._before.append(self._before[-1] + self._drawn(n, int(stage.rows or 0)))

    @property
    def rows(self) -> int:
        """Rows of all sources together."""
        return int(self.first[-1])

    def numbers(self, places: np.ndarray) -> np.ndarray:
        """Row numbers (B,) int64 at the places (B,) of the stream."""
        sources, turns = self._turns(places)
        found = np.empty(len(places), np.int64)
        for source in np.unique(sources).tolist():
            here = sources == source
            epochs, at = np.divmod(turns[here], self.sources[source].rows)
            rows = np.empty(len(at), np.int64)
            for epoch in np.unique(epochs).tolist():
                rows[epochs == epoch] = self.epoch(source, epoch)[at[epochs == epoch]]
            found[here] = self.first[source] + rows
        return found

    def taken(self, place: int) -> list[int]:
        """How many rows of each source come before ``place``."""
        n = int(np.searchsorted(self._starts, place, side="right")) - 1
        return [int(count) for count in self._before[n] + self._drawn(n, place - self._starts[n])]

    def described(self) -> dict[str, str]:
        """What besides seed and rows makes the stream, as text; empty for one source in the usual order."""
        found: dict[str, str] = {"order": self.order} if self.order != "shuffle" else {}
        if len(self.sources) > 1:
            shares = [f"{'/'.join(map(str, stage.shares))} for {stage.rows or 'all'} rows" for stage in self.stages]
            found["mixture"] = f"{'+'.join(str(source.rows) for source in self.sources)} rows: {', then '.join(shares)}"
        return found

    def _turns(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(B,) the source of each place, and how many rows of that source come before it."""
        if len(self.sources) == 1:
            return np.zeros(len(places), np.int64), places
        sources, turns = np.empty(len(places), np.int64), np.empty(len(places), np.int64)
        stages = np.searchsorted(self._starts, places, side="right") - 1
        cycles, at = np.divmod(places - np.asarray(self._starts)[stages], CYCLE)
        for stage, cycle in sorted({*zip(stages.tolist(), cycles.tolist(), strict=True)}):
            here = (stages == stage) & (cycles == cycle)
            pattern = self._pattern(stage, cycle)
            sources[here] = pattern[at[here]]
            for source in range(len(self.sources)):
                mine = here & (sources == source)
                before = np.cumsum(pattern == source)[at[mine]] - 1
                turns[mine] = self._before[stage][source] + cycle * self._quotas[stage][source] + before
        return sources, turns

    def _drawn(self, stage: int, rows: int) -> np.ndarray:
        """(sources,) rows of each that the first ``rows`` places of a stage take."""
        cycles, rest = divmod(rows, CYCLE)
        part = np.bincount(self._pattern(stage, cycles)[:rest], minlength=len(self.sources))
        return cycles * self._quotas[stage] + part

    def _pattern(self, stage: int, cycle: int) -> np.ndarray:
        """(CYCLE,) which source each place takes."""
        key = (stage, cycle)
        if key not in self._patterns:
            turns = np.repeat(np.arange(len(self.sources)), self._quotas[stage])
            drawn = np.random.default_rng((self.seed, _MIXTURE, stage, cycle)).permutation(turns)
            self._patterns = dict([*self._patterns.items()][-7:]) | {key: drawn}
        return self._patterns[key]

    def epoch(self, source: int, epoch: int) -> np.ndarray:
        """(rows,) the order of one epoch of a source."""
        key = (source, epoch)
        if key not in self._orders:
            order = epoch_order(self.sources[source], self.seed, epoch, source, self.order)
            kept = {k: o for k, o in self._orders.items() if k[0] != source or k[1] == epoch - 1}
            self._orders = kept | {key: order}
        return self._orders[key]


def _quota(shares: Sequence[float]) -> np.ndarray:
    """Rows of `CYCLE` for each source, nearest to the shares (largest remainders)."""
    wanted = np.asarray(shares) * CYCLE
    quota = np.floor(wanted).astype(np.int64)
    for source in np.argsort(quota - wanted, kind="stable")[: CYCLE - int(quota.sum())]:
        quota[source] += 1
    if any(share > 0 and count == 0 for share, count in zip(shares, quota, strict=True)):
        raise ValueError(f"a share is smaller than 1/{CYCLE}")
    return quota
