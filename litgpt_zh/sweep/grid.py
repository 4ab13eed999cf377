"""The arithmetic of a sweep: the grid, its edges, the parabola through the best, and what is told apart. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

Point = tuple[float, float]
"""A value of the grid and its figure; smaller figures are better here."""


def half_decades(centre: float, reach: int = 2) -> list[float]:
    """``2 * reach + 1`` values, each sqrt(10) times the one before, around ``centre``: 1e-4, 3.16e-4, 1e-3, ..."""
    return [_digits(centre * 10 ** (k / 2), 3) for k in range(-reach, reach + 1)]


def outward(values: Sequence[Any], centre: float | None) -> list[Any]:
    """The values from ``centre`` outwards (by their ratio), so that later trials have a sound one to be compared with."""
    if centre is None or not is_scale(values):
        return list(values)
    return sorted(values, key=lambda value: abs(math.log(value / centre)))


def is_scale(values: Sequence[Any]) -> bool:
    """Whether all values are numbers above 0."""
    return all(isinstance(v, (int, float)) and not isinstance(v, bool) and v > 0 for v in values)


def edge(values: Sequence[Any], best: Any) -> Literal["low", "high"] | None:
    """At which end of the grid the best value stands; None inside it, for one value, and for what has no order."""
    if len(values) < 2 or not is_scale(values) or min(values) < best < max(values):
        return None
    return "low" if best == min(values) else "high"


def beyond(values: Sequence[float], side: str) -> float:
    """The next value of a geometric grid beyond one of its ends."""
    first, second = sorted(set(values), reverse=side == "high")[:2]
    return _digits(first * first / second, 3)


def vertex(points: Sequence[Point]) -> float | None:
    """Where the parabola through three points over the logarithm of the value has its minimum, to two digits.

    None unless the middle point is below both others: only then the minimum lies between them.
    """
    (x0, y0), (x1, y1), (x2, y2) = ((math.log10(x), y) for x, y in sorted(points))
    if not (y1 < y0 and y1 < y2):
        return None
    left, right = (x1 - x0) * (y1 - y2), (x1 - x2) * (y1 - y0)
    return _digits(10 ** (x1 - ((x1 - x0) * left - (x1 - x2) * right) / (2 * (left - right))), 2)


def neighbours(points: Sequence[Point], best: float) -> list[Point] | None:
    """The best point between those next to it; None where it has not two."""
    ordered = sorted(points)
    place = [value for value, _ in ordered].index(best)
    return ordered[place - 1 : place + 2] if 0 < place < len(ordered) - 1 else None


def told_apart(one: Sequence[float], two: Sequence[float]) -> bool | None:
    """Whether two settings differ by more than seeds do: the means lie further apart than the figures of either setting.

    None where a setting has a single seed: nothing is known of the noise then.
    """
    if min(len(one), len(two)) < 2:
        return None
    spread = max(max(figures) - min(figures) for figures in (one, two))
    return abs(sum(one) / len(one) - sum(two) / len(two)) > spread


def _digits(value: float, digits: int) -> float:
    return float(f"{value:.{digits}g}")
