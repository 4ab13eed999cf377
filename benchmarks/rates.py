"""The learning rate of an arm: used by learning.py and lora.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence

STEP = 10**0.5


def best_rate(grid: Sequence[float], loss: Callable[[float], float]) -> tuple[float, float]:
    """(loss, rate) of the best of a grid, which grows by half a decade while the best stands at its end.

    Args:
        grid: rising, half a decade apart.
        loss: of a rate; asked again for the same rate when the grid has grown, so it should remember.
    """
    rates = list(grid)
    while True:
        found = {rate: loss(rate) for rate in rates}
        best = min(rates, key=found.__getitem__)
        if best == rates[0]:
            rates.insert(0, float(f"{rates[0] / STEP:.3g}"))
        elif best == rates[-1]:
            rates.append(float(f"{rates[-1] * STEP:.3g}"))
        else:
            return found[best], best
