"""Packing documents into rows of equal length: pure functions on lengths and arrays."""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

SPARE = 0.02
"""The gap that best fit may leave before a second way is tried."""


@dataclass
class Packed:
    """Rows and what became of the documents.

    ``rows`` is (R, T + 1) uint16; ``filler`` counts the tokens that fill gaps with the head of another document;
    ``cut`` counts documents that do not stand whole in one row, ``headless`` rows that begin inside a document;
    ``places`` is (P, 2) int64: row and document of each piece, filling left out.
    """

    rows: np.ndarray
    filler: int
    cut: int
    headless: int
    places: np.ndarray


def best_fit(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Best-fit decreasing: each item goes where it leaves the least room.

    Args:
        lengths: item lengths, each in 1..``capacity``.
        capacity: room of a row.

    Returns:
        Item indices for each row.

    Raises:
        ValueError: an item is empty or longer than a row.
    """
    if len(lengths) and not 1 <= min(lengths) <= max(lengths) <= capacity:
        raise ValueError(f"item lengths must lie in 1..{capacity}")
    rows: list[list[int]] = []
    by_room: list[list[int]] = [[] for _ in range(capacity + 1)]
    rooms = 0  # bit r is set while some row has exactly r places left
    for item in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        length = lengths[item]
        fitting = rooms >> length
        if fitting:
            room = length + (fitting & -fitting).bit_length() - 1
            row = by_room[room].pop()
            if not by_room[room]:
                rooms &= ~(1 << room)
            rows[row].append(item)
        else:
            room, row = capacity, len(rows)
            rows.append([item])
        if left := room - length:
            by_room[left].append(row)
            rooms |= 1 << left
    return rows


def exact_fit(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Long items first, then the few items whose lengths add up best to the room that is left.

    Where several items share a row and lengths lie close together, :func:`best_fit` leaves no small item to fill with,
    and this leaves less than a quarter of its gap (``tests/test_tokens.py``).

    Args:
        lengths: item lengths, each in 1..``capacity``.
        capacity: room of a row.

    Returns:
        Item indices for each row.
    """
    stock = _Stock(lengths, capacity)
    rows: list[list[int]] = []
    while stock.lengths:
        row: list[int] = []
        room = capacity
        while stock.lengths and stock.lengths[-1] <= room:
            longest = stock.lengths[0]
            chosen = [longest] if longest <= room and (not row or room >= 3 * longest) else stock.addends(room)
            for length in chosen:
                if stock.items[length]:  # one length can be asked for more often than it is there
                    row.append(stock.items[length].pop())
                    room -= length
                    stock.spent |= not stock.items[length]
            stock.forget_empty()
        rows.append(row)
    return rows


_SORT_EVERY = 16  # rows; sorting the lengths for each one took most of the time


class _Stock:
    """Items by length, and which sums of at most ``MOST`` lengths exist (bit s of ``sums[k]``: k lengths make s)."""

    MOST = 6

    def __init__(self, lengths: Sequence[int], capacity: int) -> None:
        self.items: list[list[int]] = [[] for _ in range(capacity + 1)]
        for item in reversed(range(len(lengths))):
            self.items[lengths[item]].append(item)
        self.lengths = [length for length in range(capacity, 0, -1) if self.items[length]]
        self.sums: list[int] = []
        self.reached, self.spent = 0, False
        self.plentiful: list[int] = []
        self.asked = 0

    def forget_empty(self) -> None:
        if self.spent:
            self.lengths = [length for length in self.lengths if self.items[length]]
            self.sums, self.asked, self.spent = [], 0, False

    def addends(self, room: int) -> list[int]:
        """At most ``MOST`` lengths with the largest sum that is not above ``room``.

        The most plentiful lengths come first, so that the choice stays wide to the end.
        """
        if not self.sums:
            whole = (1 << len(self.items)) - 1
            self.sums = [1]
            for _ in range(self.MOST):
                self.sums.append(functools.reduce(operator.or_, (self.sums[-1] << n for n in self.lengths)) & whole)
            self.reached = functools.reduce(operator.or_, self.sums[1:])
        left = (self.reached & ((1 << (room + 1)) - 1)).bit_length() - 1
        k = next(k for k in range(1, self.MOST + 1) if self.sums[k] >> left & 1)
        if self.asked % _SORT_EVERY == 0:
            self.plentiful = sorted(self.lengths, key=lambda n: -len(self.items[n]))
        self.asked += 1
        chosen = []
        for fewer in reversed(self.sums[:k]):
            chosen.append(next(n for n in self.plentiful if n <= left and fewer >> (left - n) & 1))
            left -= chosen[-1]
        return chosen


def pack_best_fit(
    flat: np.ndarray, lengths: Sequence[int], width: int, seed: int, clusters: Sequence[int] | None = None
) -> Packed:
    """Whole documents in rows, each gap filled with the head of another document.

    A document longer than a row is cut into full rows and a rest, which is packed like a document. Inside a row the
    order is drawn by lot, so that place does not tell length.

    Args:
        flat: (N,) uint16, all documents one after another, each with its end token.
        lengths: length of each document, summing to N.
        width: row length T + 1.
        seed: seed of order and filling.
        clusters: number of the near-duplicates each document belongs to, -1 for none. Two of one number share no row
            while there is a piece of equal length to change places with.
    """
    rng, sizes, starts = np.random.default_rng(seed), *_spans(lengths)
    document, offset, size = _pieces(sizes, width)
    order = fit(size.tolist(), width)
    if clusters is not None:
        _part(order, size.tolist(), np.asarray(clusters)[document].tolist())
    row = np.repeat(np.arange(len(order)), np.fromiter(map(len, order), np.int64, len(order)))
    item = np.fromiter(chain.from_iterable(order), np.int64, len(size))
    item = item[np.argsort(row + rng.random(len(item)))]
    document, offset, size = document[item], offset[item], size[item]
    filling = _filling(width - np.bincount(row, size, len(order)).astype(np.int64), sizes, starts, rng)
    rows = _rows(flat, width, (row, starts[document] + offset, size), *filling)
    headless = int(np.count_nonzero(offset[np.searchsorted(row, np.arange(len(order)))]))
    cut = int(np.count_nonzero(sizes > width))
    return Packed(rows, _total(filling), cut, headless, np.column_stack((row, document)))


def fit(sizes: Sequence[int], width: int) -> list[list[int]]:
    """Best fit; where that leaves more than `SPARE`, the better of it and :func:`exact_fit`, which takes longer."""
    rows = best_fit(sizes, width)
    if len(rows) * width <= (1 + SPARE) * sum(sizes):
        return rows
    return min(rows, exact_fit(sizes, width), key=len)


def predicted(lengths: Sequence[int], width: int) -> tuple[float, float]:
    """What packing documents with these lengths comes to, from lengths alone.

    Args:
        lengths: of a sample, at least one.
        width: row length T + 1.

    Returns:
        Share of the row tokens that is filling; share of the documents that are longer than a row.
    """
    sizes = _pieces(np.asarray(lengths), width)[2].tolist()
    return 1 - sum(sizes) / (len(fit(sizes, width)) * width), sum(n > width for n in lengths) / len(lengths)


def concatenated(lengths: Sequence[int], width: int) -> tuple[int, int]:
    """Documents cut, and rows that begin inside a document, if all are put one after another and cut at each row's end."""
    sizes, starts = _spans(lengths)
    if not len(sizes):
        return 0, 0
    stops = starts + sizes
    cut, heads = np.count_nonzero(starts // width != (stops - 1) // width), np.count_nonzero(starts % width == 0)
    return int(cut), int(-(-stops[-1] // width) - heads)


def pack_concatenate(
    flat: np.ndarray, lengths: Sequence[int], width: int, seed: int, clusters: Sequence[int] | None = None
) -> Packed:
    """Documents one after another, cut wherever a row ends; the last row is filled like any gap."""
    sizes, starts = _spans(lengths)
    count = -(-len(flat) // width)
    gaps = np.arange(1, count + 1) * width - len(flat)
    filling = _filling(np.maximum(gaps, 0), sizes, starts, np.random.default_rng(seed))
    rows = _rows(flat, width, (np.zeros(1, np.int64), np.zeros(1, np.int64), np.array([len(flat)])), *filling)
    first, last = starts // width, (starts + sizes - 1) // width
    document = np.repeat(np.arange(len(sizes)), last - first + 1)
    row = np.arange(len(document)) - np.repeat(np.cumsum(last - first + 1) - last - 1, last - first + 1)
    return Packed(rows, _total(filling), *concatenated(lengths, width), np.column_stack((row, document)))


PACKINGS = {"best-fit": pack_best_fit, "concatenate": pack_concatenate}


def _spans(lengths: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Sizes and starts of the documents in the flat token array."""
    sizes = np.asarray(lengths, np.int64)
    return sizes, np.cumsum(sizes) - sizes


def _pieces(sizes: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Documents in pieces of at most a row: document of each piece, where in it the piece starts, its size."""
    count = -(-sizes // width)
    document = np.repeat(np.arange(len(sizes)), count)
    offset = (np.arange(len(document)) - np.repeat(np.cumsum(count) - count, count)) * width
    return document, offset, np.minimum(sizes[document] - offset, width)


Copies = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Parts of the flat token array that are put into rows: row, start, size."""


def _rows(flat: np.ndarray, width: int, *copies: Copies) -> np.ndarray:
    """(R, width) rows in which the parts stand in the order in which they are given."""
    if not len(flat):
        return np.empty((0, width), flat.dtype)
    row, start, size = map(np.concatenate, zip(*copies, strict=True))
    order = np.argsort(row, kind="stable")
    first, stop = start[order] * flat.itemsize, (start + size)[order] * flat.itemsize
    tokens = memoryview(flat.tobytes())
    joined = b"".join([tokens[a:b] for a, b in zip(first.tolist(), stop.tolist(), strict=True)])
    return np.frombuffer(joined, flat.dtype).reshape(-1, width)


def _total(filling: list[Copies]) -> int:
    return int(sum(size.sum() for _, _, size in filling))


def _part(order: list[list[int]], sizes: Sequence[int], clusters: Sequence[int]) -> None:
    """Change pieces of equal size over until no row holds two of one cluster, as far as that goes."""

    def clashes(row: int, slot: int, item: int) -> bool:
        return clusters[item] >= 0 and any(
            clusters[other] == clusters[item] for n, other in enumerate(order[row]) if n != slot
        )

    twice = [(r, s) for r, items in enumerate(order) for s, item in enumerate(items) if clashes(r, s, item)]
    if not twice:
        return
    by_size: dict[int, list[tuple[int, int]]] = {}
    for row, items in enumerate(order):
        for slot, item in enumerate(items):
            by_size.setdefault(sizes[item], []).append((row, slot))
    for row, slot in twice:
        item = order[row][slot]
        if not clashes(row, slot, item):  # its twin has moved
            continue
        for other_row, other_slot in by_size[sizes[item]]:
            other = order[other_row][other_slot]
            if other_row != row and not clashes(row, slot, other) and not clashes(other_row, other_slot, item):
                order[row][slot], order[other_row][other_slot] = other, item
                break


def _filling(gaps: np.ndarray, sizes: np.ndarray, starts: np.ndarray, rng: np.random.Generator) -> list[Copies]:
    """For the gap at the end of each row the head of a random document that is long enough, or else whole ones first."""
    by_size = np.argsort(sizes, kind="stable")
    sizes, starts = sizes[by_size], starts[by_size]
    gaps, found = gaps.copy(), []
    while len(row := np.flatnonzero(gaps)):
        first = np.searchsorted(sizes, gaps[row])
        first[first == len(sizes)] = 0  # none is long enough: any
        chosen = rng.integers(first, len(sizes))
        found.append((row, starts[chosen], np.minimum(sizes[chosen], gaps[row])))
        gaps[row] -= found[-1][2]
    return found
