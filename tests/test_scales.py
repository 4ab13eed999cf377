"""The sizes of quickstart fit the story world."""

from __future__ import annotations

import pytest

from litgpt_zh import pool, processor
from litgpt_zh.configs import config_dict
from litgpt_zh.corpus.world.plots import PLOTS
from litgpt_zh.scales import SCALES, Scale, for_cpu


@pytest.mark.parametrize("scale", SCALES.values(), ids=SCALES)
def test_a_scale_tells_plots_of_the_world_and_learns_from_no_more_stories_than_it_tells(scale: Scale) -> None:
    assert set(scale.plots) <= {plot.name for plot in PLOTS} and len(set(scale.plots)) == len(scale.plots)
    assert scale.sft_records < 0.99 * scale.stories  # the rest is for validation


@pytest.mark.parametrize("scale", SCALES.values(), ids=SCALES)
def test_the_model_of_a_scale_has_room_for_its_vocabulary(scale: Scale) -> None:
    assert scale.vocab_size <= config_dict(scale.model)["padded_vocab_size"]


@pytest.mark.parametrize(
    ("bfloat16", "cores", "expected"),
    [(True, 2, "cpu-bf16"), (True, 16, "cpu-bf16"), (False, 2, "cpu-small"), (False, 4, "cpu"), (False, 16, "cpu")],
)
def test_a_processor_gets_the_scale_that_it_walks_in_time(
    bfloat16: bool, cores: int, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processor, "has_bfloat16", lambda: bfloat16)
    monkeypatch.setattr(pool, "cores", lambda: cores)
    assert for_cpu() == expected and SCALES[expected].name == expected
