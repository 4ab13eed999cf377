"""Adjectives: which of those that suit a word can be said when it is merely mentioned."""

from __future__ import annotations

from functools import cache

from litgpt_zh.corpus.world.lexicon import Entry, Lexicon
from litgpt_zh.corpus.world.phrases import GROUPS

__all__ = ["PASSING", "looks_of"]

#: Adjectives that say how an animal fares or frightens, not what a hero is like.
PASSING = frozenset("饥饿 迷路 受伤 口渴 饿肚子 凶猛 凶狠 凶巴巴 可怕 吓人 陌生 霸道 湿漉漉 糊涂".split())
#: Adjectives of size, which go ill with 小家伙, and of love, which are not said of how one looks.
PASSING |= frozenset("小小 幼小 弱小 小巧玲珑 巨大 庞大 高大 大大 高个子 亲爱 最亲".split())

#: Adjectives for no animal that is only mentioned.
_UNSETTLED = frozenset((*GROUPS["adj"]["needy"].split(), *"陌生 霸道 湿漉漉 糊涂".split()))

_UNTOLD = ("worn", "wrecked", "mended", "whole", "dear", "priced")
#: Adjectives for no thing that is only mentioned.
_WORN = frozenset(" ".join(GROUPS["adj"][name] for name in _UNTOLD).split())

#: What is said of fine work, and not of what is kicked, thrown or slept in.
_FINE = frozenset("精巧 精致 精美 精细 小巧 别致 美观 新颖 新奇".split())
#: Adjectives that do not go with things of some tags, though another tag of theirs has them: the tags of which one must
#: be there, those of which none may, and the adjectives.
_UNFIT: tuple[tuple[frozenset[str], frozenset[str], frozenset[str]], ...] = (
    (frozenset(("sport",)), frozenset(("craft", "shiny")), _FINE | {"古怪", "可爱", "老式"}),
    (
        frozenset(("clothes", "soft", "warm", "furniture", "book")),
        frozenset(("craft",)),
        frozenset(("精巧", "精致", "精细", "小巧")),
    ),
    (frozenset(("fragile", "paper")), frozenset(), frozenset(("结实", "坚固", "牢固", "耐用"))),
)


@cache
def looks_of(lexicon: Lexicon, word: str) -> tuple[Entry, ...]:
    """The adjectives for the bare mention of a word.

    None shares a character with it (滚烫的热汤, 巨大的大南瓜); none speaks of an animal in need or of a passing state,
    nor of a thing worn out, whole (as if one had feared for it), dear to somebody, or priced; none praises the fine work
    of a football.
    """
    entry = lexicon.get(word)
    if entry is None:
        return ()
    unfit: frozenset[str] = {"animal": _UNSETTLED, "thing": _WORN}.get(entry.kind, frozenset())
    if "treasure" in entry.tags:
        unfit = _WORN | {"平常", "普通", "干净", "脏兮兮", "旧旧"}
    elif word.startswith("小"):
        unfit |= {"巨大", "庞大", "魁梧", "高大"}
    if entry.kind == "thing":
        for some, none, adjectives in _UNFIT:
            if entry.tags & some and not entry.tags & none:
                unfit |= adjectives
    same = set(word) | ({"烫", "热"} if "热" in word else set())
    return tuple(look for look in lexicon.adjectives_for(entry) if look.word not in unfit and not same & set(look.word))
