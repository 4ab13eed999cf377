"""The engine of the story world: it holds what is true in one story, and tells the beats of a plot.

A plot is a function that takes a :class:`World`, fills slots with characters and words, and tells beats; every beat is
given as alternative templates (see :mod:`litgpt_zh.corpus.world.template`).  The rules of shape live here: which beats
a short story leaves out, when a pronoun may stand for a name, how speech is laid out, which words were used.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from random import Random
from typing import Literal

from litgpt_zh.corpus.world.cast import PLURAL, Realm, Who
from litgpt_zh.corpus.world.framing import epilogue, prologue
from litgpt_zh.corpus.world.lexicon import Entry, Lexicon
from litgpt_zh.corpus.world.looks import PASSING, looks_of
from litgpt_zh.corpus.world.noises import crashes, cries
from litgpt_zh.corpus.world.phrases import group
from litgpt_zh.corpus.world.scene import lateness
from litgpt_zh.corpus.world.slots import Slots
from litgpt_zh.corpus.world.speech import VERBS, layout
from litgpt_zh.corpus.world.template import Template, compile_template

__all__ = ["FEATURES", "PLOTS", "Length", "Plot", "World", "plot"]

Length = Literal["short", "full"]

#: The features a story may have, in the order in which they are listed.
FEATURES = ("对话", "转折", "坏结局", "冲突", "伏笔", "道德价值")

#: How much more often than its plots say a feature is told, so that the rarer ones are seen often enough to be learnt.
_LIFT = {"坏结局": 1.7, "冲突": 2.2, "伏笔": 2.2}

_ENDINGS = ("。", "！", "？", "”", "…")


class World(Slots):
    """One story while it is being told."""

    def __init__(self, rng: Random, length: Length, lexicon: Lexicon, realm: Realm) -> None:
        super().__init__(rng, lexicon, realm)
        self.length = length
        self.talks = rng.random() < 0.78
        self._slots["duo"] = "两个" if self.animals else "两个人"
        #: Whether the long form goes without words about the hero, since the plot begins with them.
        self.plain = False
        self._summaries: list[tuple[str, frozenset[str]]] = []
        self._looks: dict[str, Entry] = {}
        self._features: dict[str, None] = {}
        self._parts: list[str] = []
        self._met: dict[str, Who] = {}
        self._last = ""
        #: The pronouns that could also mean somebody who is mentioned and has no slot of a character.
        self._others: set[str] = set()
        #: The ways of saying that the story has used.
        self._ways: set[str] = set()
        self._listening = True
        self._spoken = self._opened = self._closed = False

    # ---- telling ------------------------------------------------------------------------------------------------

    def flag(self, feature: str, probability: float = 1.0) -> bool:
        """Decide whether the story has a feature, and note it if so."""
        if probability < 1.0:
            probability = min(0.85, probability * _LIFT.get(feature, 1.0))
        told = self.rng.random() < probability
        if told:
            self._features[feature] = None
        return told

    @property
    def full(self) -> bool:
        """Whether the long form is being told."""
        return self.length == "full"

    def let(self, key: str, *templates: str) -> None:
        """Fill slot ``key`` with a phrase told now and kept."""
        self._slots[key] = compile_template(self.rng.choice(templates)).tell(self)

    def tell(self, *templates: str) -> None:
        """Tell one beat in one of the given ways."""
        if not self._opened:
            self._opened = True
            if not self.plain and "h" in self._slots and (self.full or self.chance(0.22)):
                prologue(self)
        if not self.talks:
            templates = tuple(source for source in templates if not compile_template(source).quotes)
        elif not self._spoken and self.rng.random() < 0.3:
            templates = tuple(source for source in templates if compile_template(source).quotes) or templates
        template = compile_template(self.rng.choice(templates))
        self._spoken = self._spoken or template.quotes
        text = template.tell(self)
        if not text.endswith(_ENDINGS):
            raise ValueError(f"a beat must end as a sentence: {text!r}")
        self._parts.append(text)

    def more(self, *templates: str) -> None:
        """Tell a beat that only the long form has."""
        if self.length == "full":
            shuffled = list(templates)
            self.rng.shuffle(shuffled)
            told = shuffled[: 1 + (self.rng.random() < 0.85) + (self.rng.random() < 0.35)]
            for template in sorted(told, key=lateness):
                self.try_tell(template)

    def some(self, *templates: str) -> None:
        """Tell a beat that the long form has, and the short form now and then."""
        if self.length == "full" or self.rng.random() < 0.35:
            self.try_tell(*templates)

    def try_tell(self, *templates: str) -> None:
        """Tell a beat, unless all its ways are speech and the story has none."""
        if self.talks or not all(compile_template(source).quotes for source in templates):
            self.tell(*templates)

    def para(self) -> None:
        """End the paragraph (the long form only)."""
        if self.length == "full" and self._parts and self._parts[-1] != "\n":
            self._parts.append("\n")

    def sum(self, *templates: str) -> None:
        """Tell the summary in one of the given ways, if possible one that names nothing the story leaves out."""
        met, last, others, self._listening = self._met, self._last, self._others, False
        shuffled = list(templates)
        self.rng.shuffle(shuffled)
        self._summaries = []
        for source in shuffled:
            self._met, self._last, self._others = {}, "", set()
            self._summaries.append((compile_template(source).tell(self), self._named_in(source)))
        self._met, self._last, self._others, self._listening = met, last, others, True

    def _named_in(self, source: str) -> frozenset[str]:
        """The words of the slots that a template tells."""
        keys = (key for found in re.findall(r"\{([\w&]+)", source) for key in found.split("&"))
        return frozenset(
            value if isinstance(value, str) else value.name if isinstance(value, Who) else value.word
            for value in map(self._slots.get, keys)
            if value is not None and value != self._slots["duo"]
        )

    @property
    def summary(self) -> str:
        """The summary, once :meth:`sum` has told it."""
        text = self.text
        ranked = [(sum(word not in text for word in named), summary) for summary, named in self._summaries]
        return min(ranked, key=lambda pair: pair[0])[1] if ranked else ""

    def moral(self, *groups: str, learner: str = "h", probability: float = 0.45) -> None:
        """Perhaps end with what ``learner`` learnt; this is the feature 道德价值."""
        self.close()
        if not self.flag("道德价值", probability):
            return
        text = self.rng.choice(group(self.lexicon, "moral", self.rng.choice(groups))).word
        self._slots["moral"] = text
        self._slots["learner"] = self._slots[learner]
        self.tell(
            "从那以后，{learner}一直记得：{moral}。",
            "{learner}[终于|这才]明白了：{moral}。",
            "这件事让{learner}懂得了，{moral}。",
            "{learner}把这句话记在心里：{moral}。",
            "{moral}，{learner}再也不会忘记这个道理了。",
            "原来，{moral}。",
            "{learner}[长大了一点|学到了一课]：{moral}。",
        )

    def close(self) -> None:
        """Tell the long form's look back, once: before the moral, or at the end."""
        if self.full and not self._closed:
            self._closed = True
            self.para()
            epilogue(self)

    @property
    def text(self) -> str:
        """The story so far."""
        return "".join(self._parts).strip("\n")

    @property
    def features(self) -> tuple[str, ...]:
        """The features of the story so far, in their fixed order."""
        speech = "“" in self.text
        return tuple(name for name in FEATURES if name in self._features or (name == "对话" and speech))

    # ---- the marks of the template language -----------------------------------------------------------------------

    def pick_branch(self, count: int) -> int:
        """A number below ``count``."""
        return self.rng.randrange(count)

    def tell_slot(self, key: str, form: str) -> str:
        """The text of ``{key.form}``."""
        if "&" in key:
            return self._tell_group(key.split("&"), form)
        value = self._slots.get(key)
        if value is None:
            return self.now.tell(self, key)
        if isinstance(value, Who):
            return self._tell_who(value, form)
        if isinstance(value, Entry):
            return self._tell_entry(value, key, form)
        self._last = ""
        if form in _COUNTING:
            raise ValueError(f"{value}, in slot {key}, is not in the lexicon and has no measure word")
        return value

    def tell_pick(self, kind: str, tags: tuple[str, ...], key: str, form: str, subject: str) -> str:
        """The text of ``{*kind:tags=key.form@subject}``."""
        entry = self._fresh(self._candidates(kind, tags))
        if key:
            self._slots[key] = entry
        if kind == "idiom":
            self._note(entry)
            return entry.usage.replace("{s}", self.tell_slot(subject, "auto") if subject else "").lstrip("，")
        return self._tell_entry(entry, key, form)

    def tell_speech(self, key: str, verb: str, line: Template) -> str:
        """A whole sentence of direct speech."""
        order = self.rng.randrange(5)
        said = self._verb(verb)
        if order < 3:
            speaker = self.tell_slot(key, "auto")
            return f"{speaker}{said}：“{line.tell(self)}”"
        words = line.tell(self)
        return layout(words, self.tell_slot(key, "" if "&" in key else "auto"), said, split=order == 4)

    def _verb(self, verb: str) -> str:
        fresh = [way for way in VERBS[verb] if way not in self._ways or len(way) < 3]
        way = self.rng.choice(fresh or VERBS[verb])
        self._ways.add(way)
        said = compile_template(way).tell(self)
        while len(said) > 4 and said in self._ways:
            said = compile_template(self.rng.choice(VERBS[verb])).tell(self)
        self._ways.add(said)
        return said

    # ---- people and words -----------------------------------------------------------------------------------------

    def _note(self, entry: Entry) -> None:
        if self._listening:
            self.used[entry.word] = entry

    def _alone(self, who: Who) -> bool:
        """Whether the pronoun of ``who`` can mean nobody else who has been named."""
        if who.pronoun in self._others or (who.pronoun == "它" and self._last != who.key):
            return False
        return who.key in self._met and all(
            other.pronoun != who.pronoun or other.key == who.key for other in self._met.values()
        )

    def _tell_who(self, who: Who, form: str) -> str:
        if form == "call":
            return who.call
        if form == "kid":
            return who.kid
        if form == "look":
            return self._look_of(who)
        if form == "ta":
            pronoun = self._alone(who)
        else:
            pronoun = form == "auto" and self._last == who.key and self._alone(who) and self.chance(0.6)
        self._last = who.key
        if pronoun:
            return who.pronoun
        first = who.key not in self._met
        self._met[who.key] = who
        if who.entry is not None and not who.common:
            self._note(who.entry)
        if form == "one":
            return who.one
        return who.first if first else who.name

    def _look_of(self, who: Who) -> str:
        """An adjective for how a young character looks."""
        child = Entry("", "person", tags=frozenset(("child",)))
        fitting = self.lexicon.adjectives_for(who.entry or child)
        look = self._fresh([entry for entry in fitting if entry.word not in PASSING])
        self._note(look)
        return look.word

    def _tell_group(self, keys: Sequence[str], form: str) -> str:
        members = [who for who in map(self._slots.get, keys) if isinstance(who, Who)]
        if len(members) != len(keys):
            raise TypeError(f"a group of {keys} must be characters")
        pronouns = {who.pronoun for who in members}
        known = all(who.key in self._met for who in members)
        outside = any(key not in keys for key in self._met)
        if known and (form == "ta" or (form == "auto" and self._last == "&" and not outside and self.chance(0.7))):
            self._last = "&"
            return PLURAL[members[0].pronoun] if len(pronouns) == 1 else "他们"
        names = [self._tell_who(who, "") for who in members]
        self._last = "&"
        return "、".join(names[:-1]) + "和" + names[-1]

    def look(self, key: str, *tags: str) -> None:
        """Settle the adjective with which the word in slot ``key`` is described."""
        entry = self.slot(key)
        self._looks[key] = self._fresh(self.lexicon.adjectives_for(entry, *tags))

    def _described(self, entry: Entry, key: str) -> str:
        """The word with an adjective, the same one each time for a slot."""
        look = self._looks.get(key) if key else None
        if look is None:
            fitting = looks_of(self.lexicon, entry.word)
            if not fitting:
                return entry.word
            look = self._fresh(fitting)
            if key:
                self._looks[key] = look
        self._note(look)
        return f"{look.word}的{entry.word}"

    def noise(self, sounds: Sequence[Entry]) -> str:
        """One of the sounds, noted as a word of the story."""
        sound = self._fresh(sounds)
        self._note(sound)
        return sound.word

    def _mention(self, entry: Entry) -> None:
        """Note whom or what a pronoun could be taken for from now on."""
        if entry.kind in ("person", "animal"):
            self._others.add(entry.pronoun or "它")
            self._last = ""
        elif self.animals and entry.kind in ("thing", "food", "plant", "nature"):
            self._last = ""

    def _tell_entry(self, entry: Entry, key: str, form: str) -> str:
        self._note(entry)
        self._mention(entry)
        if not form or form == "auto":
            return entry.word
        return _FORMS[form](self, entry, key)


_FORMS: dict[str, Callable[[World, Entry, str], str]] = {
    "one": lambda world, entry, key: entry.counted,
    "onea": lambda world, entry, key: f"一{entry.measure}{world._described(entry, key)}",
    "this": lambda world, entry, key: f"这{entry.measure}{entry.word}",
    "that": lambda world, entry, key: f"那{entry.measure}{entry.word}",
    "thisa": lambda world, entry, key: f"这{entry.measure}{world._described(entry, key)}",
    "thata": lambda world, entry, key: f"那{entry.measure}{world._described(entry, key)}",
    "two": lambda world, entry, key: f"两{entry.measure}{entry.word}",
    "few": lambda world, entry, key: f"几{entry.measure}{entry.word}",
    "half": lambda world, entry, key: f"半{entry.measure}{entry.word}",
    "eat": lambda world, entry, key: "喝" if entry.tags & {"drink", "soup"} else "吃",
    "meet": lambda world, entry, key: "看见" if entry.kind == "thing" else _FORMS["eat"](world, entry, key),
    "cry": lambda world, entry, key: world.noise(cries(world.lexicon, entry)),
    "crash": lambda world, entry, key: world.noise(crashes(world.lexicon, entry)),
    "very": lambda world, entry, key: world.rng.choice(("很", "很", "非常", "十分", "特别")) + entry.word,
    "m": lambda world, entry, key: entry.measure,
    "a": lambda world, entry, key: world._described(entry, key),
    "in": lambda world, entry, key: entry.location,
    "it": lambda world, entry, key: entry.word if world.animals else "它",
}


_COUNTING = ("one", "onea", "this", "thisa", "that", "thata", "two", "few", "half", "m", "eat", "very")


# ---- plots ------------------------------------------------------------------------------------------------------------

Teller = Callable[[World], None]


class Plot:
    """A named plot and the realms it can be told in."""

    __slots__ = ("name", "realms", "run")

    def __init__(self, name: str, run: Teller, realms: tuple[Realm, ...]) -> None:
        self.name = name
        self.run = run
        self.realms = realms


#: Every plot, in the order of definition.
PLOTS: list[Plot] = []


def plot(name: str, *realms: Realm) -> Callable[[Teller], Teller]:
    """Register a plot function under a name, for the given realms (both, if none is given)."""

    def register(run: Teller) -> Teller:
        PLOTS.append(Plot(name, run, realms or ("child", "animal")))
        return run

    return register
