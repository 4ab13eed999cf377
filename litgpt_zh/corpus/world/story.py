"""Stories with their instructions, drawn from a seed and an index alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from litgpt_zh.corpus.world.engine import Length, Plot, World
from litgpt_zh.corpus.world.lexicon import Entry, Lexicon
from litgpt_zh.corpus.world.plots import PLOTS

__all__ = ["BOUNDS", "Story", "generate", "sentences", "story"]

#: The fewest and most Chinese characters of a story of each length.
BOUNDS: dict[str, tuple[int, int]] = {"short": (70, 150), "full": (200, 450)}

_CHINESE = re.compile("[一-鿿]+")
_SENTENCE = re.compile(r"“[^”]*”[^“”。！？\n]*(?:[，：]“[^”]*”|[。！？])|[^“”。！？\n]*(?:[：，]“[^”]*”|[。！？])")
#: What no story may hold: a slip of two pieces that do not join.
_SLIPS = re.compile(
    "的的|地地|在在|了了|很很|小小[兔猫狗鸡鸭羊猪马熊象虎狮]|，，|，。|。。|：。|[，。]！|一一[^鸣]|[。！？”]“”"
)
_ATTEMPTS = 200


@dataclass(frozen=True, slots=True)
class Story:
    """One story and the constraints it obeys.

    Attributes:
        seed: the seed it was drawn with.
        index: its place in the stream of that seed.
        plot: the name of its plot.
        text: the story; paragraphs are parted by a newline.
        words: words that occur in the text, in its order: three to five, or (two stories in five) all lexicon words.
        features: what the story has, of 对话, 转折, 坏结局, 冲突, 伏笔, 道德价值.
        summary: one or two sentences that tell the plot.
        sentence: one whole sentence of the text.
    """

    seed: int
    index: int
    plot: str
    text: str
    words: tuple[str, ...]
    features: tuple[str, ...]
    summary: str
    sentence: str

    def record(self) -> dict[str, object]:
        """The story as a JSON object of the corpus."""
        return {
            "text": self.text,
            "words": list(self.words),
            "features": list(self.features),
            "summary": self.summary,
            "sentence": self.sentence,
            "plot": self.plot,
            "group": f"{self.seed}-{self.index}",
        }


def story(seed: int, index: int, length: Length = "short", plots: Sequence[str] = ()) -> Story:
    """The story with an index in the stream of a seed.

    Args:
        seed: the stream.
        index: the place in the stream, from 0.
        length: ``short`` (one paragraph) or ``full`` (two to five).
        plots: names of the plots that may be told; all by default.

    Raises:
        ValueError: there is no such length or plot.
    """
    if length not in BOUNDS:
        raise ValueError(f"length must be one of {', '.join(BOUNDS)}, not {length!r}")
    if unknown := set(plots) - {plot.name for plot in PLOTS}:
        raise ValueError(f"no such plot: {', '.join(sorted(unknown))}")
    told = [plot for plot in PLOTS if plot.name in plots] if plots else PLOTS
    rng = Random(f"{seed}:{index}:{length}")
    for _ in range(_ATTEMPTS):
        plot = rng.choice(told)
        world = World(rng, length, Lexicon.load(), rng.choice(plot.realms))
        plot.run(world)
        world.close()
        found = _finish(seed, index, plot, world)
        if found is not None:
            return found
    raise RuntimeError(f"no story of the asked length in {_ATTEMPTS} attempts (seed {seed}, index {index})")


def generate(
    seed: int, start: int = 0, count: int = 1000, length: Length = "short", plots: Sequence[str] = ()
) -> Iterator[Story]:
    """The stories ``start`` to ``start + count`` of a seed, one after another."""
    for index in range(start, start + count):
        yield story(seed, index, length, plots)


def sentences(text: str) -> list[str]:
    """The whole sentences of a story, a quotation with its speaker counted as one."""
    return _SENTENCE.findall(text)


def _finish(seed: int, index: int, plot: Plot, world: World) -> Story | None:
    """The told story with its constraints, or None if it does not keep to the bounds."""
    text = world.text
    low, high = BOUNDS[world.length]
    if not low <= sum(map(len, _CHINESE.findall(text))) <= high or _SLIPS.search(text):
        return None
    words = _choose_words(world, text)
    quotable = [sentence for sentence in sentences(text) if 8 <= len(sentence) <= 40]
    if len(words) < 3 or not quotable:
        return None
    sentence = world.rng.choice(quotable)
    return Story(seed, index, plot.name, text, words, world.features, world.summary, sentence)


#: How readily a word of each class is asked for: the less often the plots tell a class, the more readily.
#: (Whole numbers: sums of floats differ between versions of Python.)
_ALL_WORDS, _MOST_WORDS = 0.4, 10
_WEIGHTS = {"animal": 35, "mood": 45, "person": 35, "weather": 60, "sound": 70, "place": 80, "manner": 80}
_WEIGHTS |= {"adj": 200, "trait": 300, "action": 150, "nature": 200, "plant": 160, "activity": 140, "idiom": 140}
#: A word drawn from at least so many is asked for with its full weight.
_MANY = 40


def _weight(world: World, entry: Entry) -> int:
    """How readily a word is asked for: by its class, and less if it was one of few that could stand in its place."""
    rivals = _MANY // 3 if entry.has("family") else world.rivals.get(entry.word, _MANY)
    return _WEIGHTS.get(entry.kind, 100) * min(_MANY, rivals)


def _choose_words(world: World, text: str) -> tuple[str, ...]:
    """Three to five of the lexicon words that the text holds, or (two stories in five) all of them, in the order of the text.

    In order, a model learns to use them one after the other; where all are given, every content word can be copied from
    the request, and copying is learnt sooner (docs/LOG.md).
    """
    rng = world.rng
    offered = [
        (word, _weight(world, entry))
        for word, entry in world.used.items()
        if entry.kind not in ("name", "time", "moral") and word in text
    ]
    if len(offered) <= _MOST_WORDS and rng.random() < _ALL_WORDS:
        return tuple(sorted((word for word, _ in offered), key=text.index))
    words: list[str] = []
    for _ in range(min(3 + rng.randrange(3), len(offered))):
        left = rng.randrange(sum(weight for _, weight in offered))
        place = 0
        while place < len(offered) - 1 and left >= offered[place][1]:
            left -= offered[place][1]
            place += 1
        words.append(offered.pop(place)[0])
    return tuple(sorted(words, key=text.index))
