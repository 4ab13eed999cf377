"""Words that fit one situation: which idioms, manners and actions can follow a fright, a feast, a race.

The tags of the lexicon say what kind of feeling a word belongs to; a plot needs to know the moment in which it can be
said.  Each group lists words of one class in a fixed order; words that the lexicon does not hold are passed over.
"""

from __future__ import annotations

from functools import cache

from litgpt_zh.corpus.world.lexicon import Entry, Lexicon
from litgpt_zh.corpus.world.phrases_doing import ACTIONS, ACTIVITIES, SOUNDS
from litgpt_zh.corpus.world.phrases_feeling import IDIOMS, MANNERS, MOODS, TRAITS
from litgpt_zh.corpus.world.phrases_morals import MORALS
from litgpt_zh.corpus.world.phrases_naming import ANIMALS, LOOKS, NATURE, PERSONS, PLANTS, THINGS

__all__ = ["GROUPS", "group"]

_SEPARATORS = {"moral": "/"}

#: The groups of each class, by name.
GROUPS: dict[str, dict[str, str]] = {
    "idiom": IDIOMS,
    "manner": MANNERS,
    "action": ACTIONS,
    "activity": ACTIVITIES,
    "sound": SOUNDS,
    "trait": TRAITS,
    "thing": THINGS,
    "plant": PLANTS,
    "moral": MORALS,
    "person": PERSONS,
    "mood": MOODS,
    "adj": LOOKS,
    "animal": ANIMALS,
    "nature": NATURE,
}


@cache
def group(lexicon: Lexicon, kind: str, name: str) -> tuple[Entry, ...]:
    """The words of a group that the lexicon holds in that class, in the order of the group."""
    found = (lexicon.get(word) for word in GROUPS[kind][name].split(_SEPARATORS.get(kind)))
    return tuple(entry for entry in found if entry is not None and entry.kind == kind)
