"""Packing documents into rows of equal length: pure functions on lengths and arrays."""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Piece = tuple[int, int]
"""[start, stop) in the flat token array."""


@dataclass
class Packed:
    """Rows and what became of the documents.

    ``rows`` is (R, T + 1) uint16; ``filler`` counts the tokens that fill gaps with the head of another document;
    ``cut`` counts documents that do not stand whole in one row.
    """

    rows: np.ndarray
    filler: int
    cut: int


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
            stock.forget_empty()
        rows.append(row)
    return rows


class _Stock:
    """Items by length, and which sums of at most ``MOST`` lengths exist (bit s of ``sums[k]``: k lengths make s)."""

    MOST = 6

    def __init__(self, lengths: Sequence[int], capacity: int) -> None:
        self.items: list[list[int]] = [[] for _ in range(capacity + 1)]
        for item in reversed(range(len(lengths))):
            self.items[lengths[item]].append(item)
        self.lengths = [length for length in range(capacity, 0, -1) if self.items[length]]
        self.sums: list[int] = []

    def forget_empty(self) -> None:
        if not all(self.items[length] for length in self.lengths):
            self.lengths = [length for length in self.lengths if self.items[length]]
            self.sums = []

    def addends(self, room: int) -> list[int]:
        """At most ``MOST`` lengths with the largest sum that is not above ``room``.

        The most plentiful lengths come first, so that the choice stays wide to the end.
        """
        if not self.sums:
            whole = (1 << len(self.items)) - 1
            self.sums = [1]
            for _ in range(self.MOST):
                self.sums.append(functools.reduce(operator.or_, (self.sums[-1] << n for n in self.lengths)) & whole)
        found = functools.reduce(operator.or_, self.sums[1:]) & ((1 << (room + 1)) - 1)
        left = found.bit_length() - 1
        k = next(k for k in range(1, self.MOST + 1) if self.sums[k] >> left & 1)
        plentiful = sorted(self.lengths, key=lambda n: -len(self.items[n]))
        chosen = []
        for fewer in reversed(self.sums[:k]):
            chosen.append(next(n for n in plentiful if n <= left and fewer >> (left - n) & 1))
            left -= chosen[-1]
        return chosen


def pack_best_fit(flat: np.ndarray, lengths: Sequence[int], width: int, seed: int) -> Packed:
    """Whole documents in rows, each gap filled with the head of another document.

    A document longer than a row is cut into full rows and a rest, which is packed like a document. Inside a row the
    order is drawn by lot, so that place does not tell length.

    Args:
        flat: (N,) uint16, all documents one after another, each with its end token.
        lengths: length of each document, summing to N.
        width: row length T + 1.
        seed: seed of order and filling.
    """
    documents = _spans(lengths)
    pieces = [(at, min(at + width, stop)) for start, stop in documents for at in range(start, stop, width)]
    rng = np.random.default_rng(seed)
    sizes = [stop - start for start, stop in pieces]
    order = min(best_fit(sizes, width), exact_fit(sizes, width), key=len)
    rows = np.empty((len(order), width), dtype=flat.dtype)
    heads, filler = _Heads(flat, documents, rng), 0
    for row, items in zip(rows, order, strict=True):
        at = 0
        for item in rng.permutation(items):
            start, stop = pieces[item]
            row[at : at + stop - start] = flat[start:stop]
            at += stop - start
        filler += heads.fill(row[at:])
    return Packed(rows, filler, cut=sum(length > width for length in lengths))


def pack_concatenate(flat: np.ndarray, lengths: Sequence[int], width: int, seed: int) -> Packed:
    """Documents one after another, cut wherever a row ends; the last row is filled like any gap."""
    documents = _spans(lengths)
    count = -(-len(flat) // width)
    padded = np.empty(count * width, dtype=flat.dtype)
    padded[: len(flat)] = flat
    filler = _Heads(flat, documents, np.random.default_rng(seed)).fill(padded[len(flat) :])
    cut = sum(start // width != (stop - 1) // width for start, stop in documents)
    return Packed(padded.reshape(count, width), filler, cut)


PACKINGS = {"best-fit": pack_best_fit, "concatenate": pack_concatenate}


def _spans(lengths: Sequence[int]) -> list[Piece]:
    ends = np.cumsum(lengths, dtype=np.int64).tolist()
    return list(zip([0, *ends[:-1]], ends, strict=True)) if ends else []


class _Heads:
    """Fills gaps with the head of a random document that is long enough, or else with whole ones first."""

    def __init__(self, flat: np.ndarray, documents: list[Piece], rng: np.random.Generator) -> None:
        self.flat, self.rng = flat, rng
        self.documents = sorted(documents, key=lambda piece: piece[1] - piece[0])
        self.lengths = np.array([stop - start for start, stop in self.documents])

    def fill(self, gap: np.ndarray) -> int:
        """Fill ``gap`` in place; returns its length."""
        at = 0
        while at < len(gap):
            first = int(np.searchsorted(self.lengths, len(gap) - at))
            start, stop = self.documents[
                int(self.rng.integers(first if first < len(self.lengths) else 0, len(self.lengths)))
            ]
            stop = min(stop, start + len(gap) - at)
            gap[at : at + stop - start] = self.flat[start:stop]
            at += stop - start
        return len(gap)
