"""The sizes of quickstart fit the story world."""

from __future__ import annotations

import pytest

from litgpt_zh.configs import config_dict
from litgpt_zh.corpus.world.plots import PLOTS
from litgpt_zh.scales import SCALES, Scale


@pytest.mark.parametrize("scale", SCALES.values(), ids=SCALES)
def test_a_scale_tells_plots_of_the_world_and_learns_from_no_more_stories_than_it_tells(scale: Scale) -> None:
    assert set(scale.plots) <= {plot.name for plot in PLOTS} and len(set(scale.plots)) == len(scale.plots)
    assert scale.sft_records < 0.99 * scale.stories  # the rest is for validation


@pytest.mark.parametrize("scale", SCALES.values(), ids=SCALES)
def test_the_model_of_a_scale_has_room_for_its_vocabulary(scale: Scale) -> None:
    assert scale.vocab_size <= config_dict(scale.model)["padded_vocab_size"]
