"""All plots of the story world, in a fixed order."""

from __future__ import annotations

from litgpt_zh.corpus.world import (  # noqa: F401
    plots_creatures,
    plots_days,
    plots_deeds,
    plots_family,
    plots_fancy,
    plots_friends,
    plots_games,
    plots_home,
    plots_lost,
    plots_nature,
    plots_outdoors,
    plots_school,
    plots_share,
    plots_sky,
    plots_wit,
)
from litgpt_zh.corpus.world.engine import PLOTS

__all__ = ["PLOTS"]
