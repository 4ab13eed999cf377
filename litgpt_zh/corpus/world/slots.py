"""What a story holds: its characters and words by slot, drawn where they fit, and the scene it happens in."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from random import Random
from typing import TypeVar, Union

from litgpt_zh.corpus.world.cast import (
    ELDERS,
    Realm,
    Who,
    adult_of,
    animal_of,
    bears,
    child_of,
    elder_animal_of,
)
from litgpt_zh.corpus.world.groups import PLACES, SEASONAL, land_heroes, places, seasonal
from litgpt_zh.corpus.world.lexicon import Entry, Lexicon
from litgpt_zh.corpus.world.phrases import GROUPS, group
from litgpt_zh.corpus.world.scene import Scene, in_season

__all__ = ["Slots", "Value"]

Value = Union[Who, Entry, str]
T = TypeVar("T")

#: What animals neither eat nor have nor do, by class: meat, what is made for people, herding and riding others.
_NOT_FOR_ANIMALS = {"food": ("-meat",), "thing": ("-human",), "activity": ("-human",)}

#: What boys neither wear nor call theirs.
_ORNAMENTS = frozenset("发卡 蝴蝶结 耳环 项链 手镯 旗袍 纱巾 披肩".split())

#: Two words for one member of the family.
_ONE_PERSON = ({"外婆", "姥姥"}, {"外公", "姥爷"}, {"伯伯", "大伯"}, {"姑姑", "姑妈"})


class Slots:
    """The slots of one story, and the dice with which they are filled."""

    def __init__(self, rng: Random, lexicon: Lexicon, realm: Realm) -> None:
        self.rng = rng
        self.lexicon = lexicon
        self.realm = realm
        self.used: dict[str, Entry] = {}
        #: From how many words each word of the story was drawn.
        self.rivals: dict[str, int] = {}
        #: The animals that young heroes are drawn from, if not those of the land.
        self.folk: Sequence[Entry] = ()
        self._slots: dict[str, Value] = {}
        self._scene: Scene | None = None

    def chance(self, probability: float) -> bool:
        """True with the given probability."""
        return self.rng.random() < probability

    def choice(self, *options: T) -> T:
        """One of the options."""
        return self.rng.choice(options)

    @property
    def animals(self) -> bool:
        """Whether the characters are animals."""
        return self.realm == "animal"

    def pick(self, key: str, kind: str, *tags: str) -> Entry:
        """Fill slot ``key`` with a word of a class and tags that the story does not hold yet."""
        entry = self._fresh(self._candidates(kind, tags))
        self._slots[key] = entry
        return entry

    def put(self, key: str, words: str) -> Entry | str:
        """Fill slot ``key`` with one of the words, parted by blanks, which may or may not be in the lexicon."""
        options = [word for word in words.split() if not (self.animals and self._of_people(word))]
        word = self.rng.choice(options)
        self.rivals[word] = len(options)
        value = self.lexicon.get(word) or word
        self._slots[key] = value
        return value

    def _of_people(self, word: str) -> bool:
        entry = self.lexicon.get(word)
        return entry is not None and not entry.tags.isdisjoint(("human", "meat"))

    def hero(self, key: str = "h") -> Who:
        """Bring on a young hero: a child or a young animal, as the realm has it; no two have like names."""
        taken = {mark for who in self._slots.values() if isinstance(who, Who) for mark in who.first} - {"小"}
        while True:
            who = self._young(key)
            if taken.isdisjoint(who.first) and not self._same_animal(who):
                self._slots[key] = who
                return who

    friend = hero

    def _young(self, key: str) -> Who:
        if self.realm == "child":
            return child_of(key, self.rng.choice(self.lexicon.of("name", "child")))
        animal = self.rng.choice(self.folk or land_heroes(self.lexicon))
        names = _names_of(self.lexicon, animal.word)
        return animal_of(key, animal, self.rng.choice(names) if names and self.chance(0.35) else None)

    def _same_animal(self, who: Who) -> bool:
        if who.entry is None:
            return False
        return any(
            isinstance(other, Who) and (other.entry is who.entry or other.kid == who.kid)
            for other in self._slots.values()
        )

    def elder(self, key: str = "e") -> Who:
        """Bring on a grown-up of the family, or a wise animal."""
        if self.realm == "animal":
            while True:
                who = elder_animal_of(key, self.rng.randrange(len(ELDERS)), self.lexicon)
                if not self._same_animal(who):
                    break
        else:
            who = adult_of(key, self._fresh(self.lexicon.of("person", "family", "-child")))
        self._slots[key] = who
        return who

    def adult(self, key: str, *tags: str) -> Who:
        """Bring on a grown-up of the lexicon with the given tags; in the animals' realm a wise animal."""
        if self.realm == "animal":
            return self.elder(key)
        who = adult_of(key, self._fresh(self.lexicon.of("person", *tags)))
        self._slots[key] = who
        return who

    def person(self, key: str, words: str) -> Who:
        """Bring on one of the grown-ups named, parted by blanks; in the animals' realm a wise animal."""
        if self.realm == "animal":
            return self.elder(key)
        found = [entry for entry in map(self.lexicon.get, words.split()) if entry is not None]
        who = adult_of(key, self._fresh(found))
        self._slots[key] = who
        return who

    def scene(
        self, *, season: str = "", day: str = "", sky: str = "", occasions: str = "", term: bool = False
    ) -> Scene:
        """Settle season, part of the day and weather; what is not given is drawn.

        ``occasions`` names the special days, parted by blanks, on which the story may happen (most may on none);
        ``term`` leaves out holidays and weekends.
        """
        self._scene = Scene.draw(self.rng, self.lexicon, season, day, sky)
        self._scene.occasions = tuple(occasions.split())
        self._scene.term = term
        return self._scene

    @property
    def now(self) -> Scene:
        """The scene, drawn if the plot has not settled it."""
        return self._scene or self.scene()

    def slot(self, key: str) -> Entry:
        """The word in a slot."""
        value = self._slots[key]
        if not isinstance(value, Entry):
            raise TypeError(f"slot {key} holds no word of the lexicon")
        return value

    def skill(self, key: str, *tags: str) -> Entry:
        """Fill slot ``key`` with something one can be good at (not with learning it)."""
        while True:
            entry = self.pick(key, "activity", "skill", *tags)
            if not entry.word.startswith(("学", "认", "数", "系", "穿", "刷", "梳")):
                return entry

    def recall(self, key: str, told: str) -> bool:
        """Fill slot ``key`` with what may bring a story back to mind, and say whether there is any.

        That is the first food, else the first thing one carries about, that the plot filled a slot with and told; the
        slots whose names begin with an underscore belong to the frame, not to the plot.
        """
        own = [value for name, value in self._slots.items() if not name.startswith("_") and isinstance(value, Entry)]
        heard = [entry for entry in own if entry.word in self.used and entry.word in told]
        found = [entry for entry in heard if entry.kind == "food"]
        found += [entry for entry in heard if entry.kind == "thing" and entry.has("losable")]
        if found:
            self._slots[key] = found[0]
        return bool(found)

    def place(self, key: str, group: str) -> Entry:
        """Fill slot ``key`` with a place of a group of :data:`litgpt_zh.corpus.world.groups.PLACES`."""
        entry = self._fresh(places(self.lexicon, group))
        self._slots[key] = entry
        return entry

    def _candidates(self, kind: str, tags: tuple[str, ...]) -> Sequence[Entry]:
        if len(tags) == 1 and kind in GROUPS and tags[0] in GROUPS[kind]:
            return self._situated(kind, tags[0])
        if self.animals:
            tags += _NOT_FOR_ANIMALS.get(kind, ())
        if tags and tags[0] == "all":
            return self.lexicon.of(kind, *tags[1:])
        if kind in SEASONAL:
            return seasonal(self.lexicon, kind, tags, self.now.season, self.now.day)
        if kind == "place" and tags and tags[0] in PLACES:
            return places(self.lexicon, tags[0])
        if kind == "animal" and tags == ("land",):
            return land_heroes(self.lexicon)
        return self.lexicon.of(kind, *tags)

    def _situated(self, kind: str, name: str) -> Sequence[Entry]:
        """The words of a group of :mod:`phrases`, out-of-season activities left out."""
        found = group(self.lexicon, kind, name)
        if self.animals:
            found = tuple(entry for entry in found if "human" not in entry.tags)
        if kind not in SEASONAL:
            return found
        now = self.now
        return [entry for entry in found if in_season(entry, now.season, now.day)]

    def _fresh(self, entries: Sequence[Entry]) -> Entry:
        """One of ``entries``, if possible one that the story does not hold yet."""
        if not entries:
            raise LookupError("no word of the lexicon fits this slot")
        for _ in range(12):
            entry = self.rng.choice(entries)
            if entry.word not in self.used and not self._holds(entry) and not self._for_girls_only(entry):
                break
        self.rivals[entry.word] = len(entries)
        return entry

    def _for_girls_only(self, entry: Entry) -> bool:
        """Whether the word is a skirt or an ornament, and there are boys or men in the story."""
        worn = entry.kind == "thing" and ("裙" in entry.word or entry.word in _ORNAMENTS)
        return worn and any(isinstance(who, Who) and who.pronoun == "他" for who in self._slots.values())

    def _holds(self, entry: Entry) -> bool:
        """Whether a slot or a character is this word already, or the same member of the family."""
        for value in self._slots.values():
            if value is entry or (isinstance(value, Who) and (value.entry is entry or value.kid == entry.word)):
                return True
            if entry.kind == "person" and not isinstance(value, str):
                word = value.name if isinstance(value, Who) else value.word
                if {word, entry.word} in _ONE_PERSON:
                    return True
        return False


@cache
def _names_of(lexicon: Lexicon, word: str) -> tuple[Entry, ...]:
    """The names that a young animal may bear."""
    animal = lexicon.get(word)
    return tuple(name for name in lexicon.of("name", "animal") if animal is not None and bears(animal, name.word))
