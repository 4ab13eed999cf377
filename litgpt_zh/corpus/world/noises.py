"""The sounds that one animal or one thing makes: pigeons do not chirp, and a rag doll falls without a clang."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from litgpt_zh.corpus.world.lexicon import Entry, Lexicon
from litgpt_zh.corpus.world.phrases import group

__all__ = ["crashes", "cries"]

#: The birds that neither chirp nor twitter, each with its sounds.
_CRIES = {"鸽子": "咕咕", "乌鸦": "呱呱", "喜鹊": "喳喳喳", "野鸡": "咯咯"}


@cache
def cries(lexicon: Lexicon, bird: Entry) -> Sequence[Entry]:
    """What a bird can be heard to call."""
    own = map(lexicon.get, _CRIES.get(bird.word, "").split())
    return tuple(sound for sound in own if sound is not None) or group(lexicon, "sound", "bird")


@cache
def crashes(lexicon: Lexicon, thing: Entry) -> Sequence[Entry]:
    """The sounds with which a thing can fall to the ground, by what it is made of."""
    if thing.has("fragile"):
        return group(lexicon, "sound", "crash")
    if thing.tags & {"soft", "paper", "clothes"}:
        return group(lexicon, "sound", "soft")
    return group(lexicon, "sound", "metal" if thing.has("metal") else "hard")
