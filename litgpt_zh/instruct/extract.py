"""Requests made from plain stories, at no cost: words, dialogue and one sentence that a story is known to contain."""

from __future__ import annotations

import itertools
import random
import re
from typing import Any, Protocol

import xxhash

from litgpt_zh.constraints import Constraints, check
from litgpt_zh.corpus.world.lexicon import Lexicon
from litgpt_zh.segment import Segmenter

SHARE = {"words": 0.85, "features": 0.5, "sentence": 0.3}
"""How often a field is asked for when the story offers it."""

_TAGS = frozenset({"n", "v", "a", "vn", "an", "z"})
# jieba tags 小狗, 乌龟, 山坡 as names: what the story world knows as a thing is one.
_THINGS = ("animal", "plant", "food", "thing", "place", "nature", "adj")
_FUNCTION = tuple("一不没很最正再这那每")  # 一个男孩, 不好意思: not words to build a story on
# Frequent words that a story says whatever it is about.
_COMMON = (
    "没有 可以 知道 觉得 看到 看见 看着 听到 听见 说道 告诉 时候 东西 开始 起来 出来 回来 出去 过来 过去 "
    "下来 上来 进来 进去 能够 需要 应该 可能 成为 感到 变得 想要 决定 发现 来到 继续 问道 回答 使用 进行 "
    "希望 认为 以为 看看 想到 得到 有人 回到 住在 放在 坐在 大家 事情 样子 地方 名字 故事 问题 办法 有点 "
    "不能 不会 不要 不是 就是 还有 只有 真的 所有 一样 一定 有趣"
)
_STOP = frozenset(_COMMON.split())
_SENTENCE = re.compile(r"[^。！？!?\n]+[。！？!?…]+[”」』\"]*")
_QUOTES = (("“", "”"), ("「", "」"), ("『", "』"))


class Tagger(Protocol):
    """What ``extract`` needs: tagged words of a text, and how rare a word is in the language."""

    def words(self, text: str) -> list[tuple[str, str]]: ...

    def rarity(self, word: str) -> float: ...


class Jieba:
    """Words with their part of speech. Only words of the dictionary come out: a guess would ask for a piece of a name."""

    def __init__(self) -> None:
        self._segmenter = Segmenter()
        lexicon = Lexicon.load()
        self._tags = self._segmenter.tags()
        self._tags.update((entry.word, "n") for kind in _THINGS for entry in lexicon.of(kind))
        self.rarity = self._segmenter.rarity

    def words(self, text: str) -> list[tuple[str, str]]:
        return [(word, self._tags.get(word, "x")) for word in self._segmenter.cut(text)]


def rng_for(text: str, seed: int) -> random.Random:
    """The same text and seed give the same choices on every machine, in any order of the corpus."""
    return random.Random(xxhash.xxh3_64_intdigest(text.encode(), seed=seed & 0xFFFFFFFFFFFFFFFF))


def extract(text: str, rng: random.Random, segmenter: Tagger) -> dict[str, Any]:
    """A request that ``text`` fulfils.

    Args:
        text: a story.
        rng: decides what is asked for; see ``rng_for``.
        segmenter: ``Jieba()``, or anything like it.

    Returns:
        The fields ``words``, ``features``, ``sentence`` that were picked (see ``Constraints.of``), one at least; empty
        when the story offers none.
    """
    words = pick_words(text, rng, segmenter)
    spoken = check(Constraints(features=("对话",)), text)["feature:对话"]
    whole = sentences(text)
    found: dict[str, Any] = {"words": words, "features": ["对话"] if spoken else [], "sentence": ""}
    if whole:
        found["sentence"] = whole[int(rng.random() * len(whole))]
    offered = [name for name, value in found.items() if value]
    asked = [name for name in offered if rng.random() < SHARE[name]]
    if offered and not asked:
        asked = [offered[int(rng.random() * len(offered))]]
    return {name: found[name] for name in asked}


def pick_words(text: str, rng: random.Random, segmenter: Tagger) -> list[str]:
    """3 to 5 content words, one from each part of the story, rarer ones more often; fewer than 3 count as none."""
    places: dict[str, int] = {}
    for place, (word, tag) in enumerate(segmenter.words(text)):
        if tag in _TAGS and 2 <= len(word) <= 4 and word not in _STOP and not word.startswith(_FUNCTION):
            places.setdefault(word, place)
    ranked = list(places)  # in the order of the story
    count = min(3 + int(rng.random() * 3), len(ranked))
    if count < 3:
        return []
    bounds = [len(ranked) * part // count for part in range(count + 1)]
    return [_weighted(ranked[low:high], rng, segmenter) for low, high in itertools.pairwise(bounds)]


def _weighted(words: list[str], rng: random.Random, segmenter: Tagger) -> str:
    """One of ``words``, with weight rarity squared."""
    weights = [segmenter.rarity(word) ** 2 for word in words]
    point = rng.random() * sum(weights)
    for word, weight in zip(words, weights, strict=True):
        point -= weight
        if point < 0:
            return word
    return words[-1]


def sentences(text: str) -> list[str]:
    """Whole sentences of 8 to 40 characters that open no quotation they do not close."""
    found = (match.group().strip() for match in _SENTENCE.finditer(text))
    return [s for s in found if 8 <= len(s) <= 40 and _is_closed(s)]


def _is_closed(sentence: str) -> bool:
    if sentence.count('"') % 2:
        return False
    for left, right in _QUOTES:
        if sentence.count(left) != sentence.count(right) or sentence.find(right) < sentence.find(left):
            return False
    return True
