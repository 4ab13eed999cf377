"""The sizes of quickstart fit the story world."""

from __future__ import annotations

import pytest

from litgpt_zh.corpus.world.plots import PLOTS
from litgpt_zh.scales import FEWER, SCALES, Scale


@pytest.mark.parametrize("scale", SCALES.values(), ids=SCALES)
def test_a_scale_tells_plots_of_the_world_and_learns_from_no_more_stories_than_it_tells(scale: Scale) -> None:
    assert set(scale.plots) <= {plot.name for plot in PLOTS} and len(set(scale.plots)) == len(scale.plots)
    assert scale.sft_records < 0.99 * scale.stories  # the rest is for validation


def test_without_bfloat16_a_cpu_learns_some_of_the_plots_that_it_learns_with_it() -> None:
    """The page of ``litgpt-zh web`` asks for stories that both can tell."""
    slow, fast = SCALES["cpu"], SCALES["cpu-bf16"]
    assert set(slow.plots) == set(FEWER) < set(fast.plots)
    assert slow.precision == "32-true" and fast.precision == "bf16-mixed"
