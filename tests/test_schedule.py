"""The learning rate of every step: by hand, for any length of warm-up and run, and as litgpt's loops are given it."""

from __future__ import annotations

import math

import pytest

from litgpt_zh.schedule import check, fitted_warmup, learning_rate
from litgpt_zh.stage import UserError


def rates(warmup: int, steps: int, floor: float = 0.0, share: float = 0.0, peak: float = 1.0) -> list[float]:
    return [learning_rate(step, peak, warmup, steps, floor, share) for step in range(steps)]


def test_cosine_by_hand() -> None:
    cosine = [0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * k / 4)) for k in (1, 2, 3, 4)]
    assert rates(2, 6, 0.1) == pytest.approx([0.5, 1.0, *cosine])
    assert rates(2, 6, 0.1)[-1] == pytest.approx(0.1)
    assert rates(0, 1) == [0.0]  # one step, no warm-up: nothing divides by zero
    assert rates(3, 3) == pytest.approx([1 / 3, 2 / 3, 1.0])


def test_warm_up_stable_decay_by_hand() -> None:
    assert rates(2, 10, 0.2, share=0.4) == pytest.approx([0.5, 1, 1, 1, 1, 1, 0.8, 0.6, 0.4, 0.2])
    assert rates(0, 4, share=1.0) == pytest.approx([0.75, 0.5, 0.25, 0.0])
    assert rates(3, 4, share=1.0) == pytest.approx([1 / 3, 2 / 3, 1.0, 0.0])  # the fall waits for the warm-up
    assert rates(0, 1, 0.3, share=0.2) == pytest.approx([0.3])


@pytest.mark.parametrize("share", [0.0, 0.01, 0.2, 1.0])
@pytest.mark.parametrize("steps", [1, 2, 3, 7, 50])
def test_it_never_climbs_again_and_stays_between_floor_and_peak(steps: int, share: float) -> None:
    for warmup in {0, 1, steps // 2, steps - 1, steps}:
        for floor in (0.0, 0.1, 1.0):
            found = rates(warmup, steps, floor, share)
            assert found[warmup:] == sorted(found[warmup:], reverse=True)
            assert found[:warmup] == sorted(found[:warmup]) and all(rate > 0 for rate in found[:warmup])
            assert max(found) <= 1.0 and min(found[warmup:], default=floor) >= floor
            if warmup < steps:
                assert found[-1] == pytest.approx(floor)
                assert learning_rate(steps, 1.0, warmup, steps, floor, share) == pytest.approx(floor)


def test_a_floor_above_the_peak_is_the_peak() -> None:
    """litgpt's own min_lr of 6e-5 must not lift the 1e-6 of a preference recipe."""
    assert rates(1, 5, floor=6e-5, peak=1e-6) == pytest.approx([1e-6] * 5)


def test_a_warm_up_as_long_as_the_run_is_shortened() -> None:
    assert [fitted_warmup(wanted, 50) for wanted in (0, 49, 50, 10**6)] == [0, 49, 5, 5]
    assert fitted_warmup(3, 3) == 0


def test_what_is_no_schedule_is_refused() -> None:
    with pytest.raises(UserError, match="schedule: 'linear' is not known; use cosine or wsd"):
        check("linear", 0.2)
    with pytest.raises(UserError, match="decay_share: 0 is not a share"):
        check("wsd", 0)
