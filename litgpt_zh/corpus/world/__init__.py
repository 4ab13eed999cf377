"""The story world: seeded Chinese children's stories whose instructions are known by construction.

    from litgpt_zh.corpus.world import generate

    for story in generate(seed=1, start=0, count=3):
        print(story.text)

A story depends on its seed, its index and its length alone: the same on every machine and in every worker.
"""

from __future__ import annotations

from litgpt_zh.corpus.world.story import Story, generate, story

__all__ = ["Story", "generate", "story"]
