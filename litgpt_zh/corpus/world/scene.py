"""When and in what weather a story happens: season, part of the day and sky always agree."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from random import Random
from typing import Protocol

from litgpt_zh.corpus.world.lexicon import Entry, Lexicon

__all__ = ["SEASONS", "Scene", "in_season", "lateness"]

SEASONS = ("spring", "summer", "autumn", "winter")
_DAYS = ("morning", "morning", "morning", "noon", "afternoon", "afternoon", "afternoon", "evening")
_DRY = ("sunny", "sunny", "sunny", "sunny", "windy", "cloudy", "season")
_ANY = ("sunny", "sunny", "windy", "cloudy", "foggy", "rainy", "snowy", "season")

#: What a time word says about the sky, by a part of the word.
_TIME_SKY: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("雨", ("rainy",)),
    ("雪", ("snowy",)),
    ("晴", ("sunny",)),
    ("有风", ("windy",)),
    ("春日", ("sunny", "windy", "season")),
)
_TIME_SKY += (("太阳", ("sunny",)), ("炎热", ("sunny", "season")), ("星星", ("night",)), ("月圆", ("night",)))
#: Time words that belong to the children's world only, by a part of the word.
_CHILD_TIME = ("学", "课", "星期", "周", "假", "国庆", "儿童节", "母亲节", "植树节", "运动会", "圣诞", "春游", "秋游")
#: Time words of special days, by a part of the word: told only where the plot says that they fit.
_OCCASIONS = (
    "节",
    "除夕",
    "大年",
    "新年",
    "元旦",
    "七夕",
    "生日",
    "春游",
    "秋游",
    "运动会",
    "第一天",
    "体育课",
    "午睡",
    "睡觉以前",
)
#: Days without school.
_FREE = ("假", "周", "星期六", "星期天")
#: Weather that is no matter of an hour, and so goes with no time of the day: 太阳落山的时候，草木发芽.
_SIGNS = frozenset(
    "草木发芽 小草发芽了 柳树绿了 春暖花开 桃花盛开 鸟语花香 秋高气爽 天高云淡 枫叶红了 稻田一片金黄 果子都熟了 桂花飘香 荷花开了 "
    "天气很冷 天气寒冷 天寒地冻 冰天雪地 白雪皑皑 天气凉爽 天气暖和".split()
)
#: Weather that belongs to one part of the day, by a part of the word.
_WEATHER_DAY = (
    ("朝霞", ("morning",)),
    ("刚刚升起", ("morning",)),
    ("晨雾", ("morning",)),
    ("晚霞", ("evening",)),
    ("烈日", ("noon", "afternoon")),
    ("骄阳", ("noon", "afternoon")),
    ("火辣", ("noon", "afternoon")),
    ("明媚", ("morning", "noon", "afternoon")),
    ("日丽", ("morning", "noon", "afternoon")),
    ("高照", ("noon", "afternoon", "night")),
    ("知了", ("noon", "afternoon", "morning")),
    ("阳", ("morning", "noon", "afternoon")),
    ("太阳", ("morning", "noon", "afternoon")),
)

#: Words for the sky once the story has already told its weather.
_AFTER: dict[str, tuple[str, ...]] = {
    "sunny": ("天上飘着几朵白云", "风轻轻地吹着", "到处都亮堂堂的", "空气里有花草的香味", "小鸟在枝头唱着歌"),
    "windy": ("树枝摇来摇去", "风呼呼地吹过耳边", "叶子在地上打着转", "风把云朵赶得飞快"),
    "cloudy": ("太阳躲在云后面不出来", "天色有些暗", "云一层一层地堆着", "四周静悄悄的"),
    "foggy": ("远处的树只剩下淡淡的影子", "几步以外就看不清了", "四周静悄悄的", "草叶上挂满了水珠"),
    "rainy": ("雨点敲着窗户", "屋檐上挂下一串串水珠", "路上积起了小水洼", "雨水顺着瓦片往下流"),
    "snowy": ("屋顶上像盖了一层棉被", "雪地上留下一串串脚印", "树枝都变白了", "呼出的气变成了白雾"),
    "season": ("风轻轻地吹着", "四周静悄悄的", "小鸟在枝头唱着歌", "远处升起了淡淡的炊烟"),
    "night": ("四周静悄悄的", "远处传来几声虫叫", "月亮照着窗台", "风轻轻地摇着树叶"),
}
#: How a beat begins that tells of later, the latest last.
_LATER: tuple[tuple[str, ...], ...] = (
    ("太阳下山", "临走", "回来的", "天黑"),
    ("回家", "放学"),
    ("晚上", "那天晚上", "那天夜里", "那一夜", "夜里"),
    ("第二天", "早上"),
)
_LATER += (("后来", "从此", "从那", "现在", "雪化"),)


def lateness(template: str) -> int:
    """A number that grows with how much later than the story's moment a beat is."""
    return next((rank for rank, starts in enumerate(_LATER, 1) if template.startswith(starts)), 0)


def in_season(entry: Entry, season: str, day: str) -> bool:
    """Whether an entry can be met in this season and part of the day."""
    tags = entry.tags
    if season not in tags and any(other in tags for other in SEASONS):
        return False
    return day == "night" or "night" not in tags


@cache
def _weathers(lexicon: Lexicon, season: str, day: str, sky: str) -> tuple[Entry, ...]:
    if sky == "season":
        found = [entry for entry in lexicon.of("weather", season) if entry.tags == {season}]
    else:
        found = [entry for entry in lexicon.of("weather", sky) if sky == "rainy" or "rainy" not in entry.tags]
    return tuple(entry for entry in found if in_season(entry, season, day) and _daily(entry.word, day))


def _daily(word: str, day: str) -> bool:
    return all(day in days for part, days in _WEATHER_DAY if part in word)


@cache
def _times(
    lexicon: Lexicon, season: str, day: str, sky: str, realm: str, occasions: tuple[str, ...], term: bool
) -> tuple[str, ...]:
    return tuple(
        entry.word
        for entry in lexicon.of("time", day)
        if in_season(entry, season, day)
        and not (season == "winter" and "凉爽" in entry.word)
        and all(sky in skies for part, skies in _TIME_SKY if part in entry.word)
        and not (realm == "animal" and any(part in entry.word for part in _CHILD_TIME))
        and (any(part in entry.word for part in occasions) or not any(part in entry.word for part in _OCCASIONS))
        and not (term and any(part in entry.word for part in _FREE))
    )


class Held(Protocol):
    """What a scene needs of the story that it belongs to."""

    rng: Random
    lexicon: Lexicon
    used: dict[str, Entry]

    @property
    def realm(self) -> str: ...


class Scene:
    """Season, part of the day and sky of one story."""

    __slots__ = ("_timed", "_told", "day", "occasions", "season", "sky", "term", "weather")

    def __init__(self, season: str, day: str, sky: str, weather: Entry) -> None:
        self.season = season
        self.day = day
        self.sky = sky
        self.weather = weather
        self.occasions: tuple[str, ...] = ()
        self.term = False
        self._told = self._timed = False

    @classmethod
    def draw(cls, rng: Random, lexicon: Lexicon, season: str, day: str, sky: str) -> Scene:
        """A scene; an empty part is drawn dry and not in winter, ``any`` is drawn from all."""
        day = day or rng.choice(_DAYS)
        if sky in ("", "any"):
            sky = "night" if day == "night" else rng.choice(_ANY if sky else _DRY)
        if sky == "snowy":
            season = "winter"
        elif season in ("", "any"):
            season = rng.choice(SEASONS if season else SEASONS[:3])
        options = _weathers(lexicon, season, day, sky) or _weathers(lexicon, season, day, "season")
        return cls(season, day, sky, rng.choice(options))

    def hush(self) -> None:
        """Say no more about the weather itself."""
        self._told = True

    def tell(self, world: Held, key: str) -> str:
        """The text of the slots ``when`` (an opening, comma included), ``at`` (the time alone) and ``sky`` (a clause about the weather)."""
        if key == "when":
            return self._when(world)
        if key == "at":
            return self._openings_at(world)
        if key == "sky":
            return self._clause(world)
        raise KeyError(key)

    def _when(self, world: Held) -> str:
        die = world.rng.random()
        time = world.rng.choice(self._openings(world))
        if die < 0.12 or self._timed:
            return ""
        self._timed = True
        if die < 0.30 and not self._told:
            return self._clause(world) + "，"
        if die < 0.55 and not self._told:
            if self.weather.word in _SIGNS:
                return self._clause(world) + "，"
            if ("安静" in time and self.sky in ("windy", "rainy")) or any(
                mark in time and mark in self.weather.word for mark in "星月雨雪风雾晴阳云"
            ):
                return time + "，"
            return f"{time}，{self._clause(world)}，"
        return time + "，"

    def _openings_at(self, world: Held) -> str:
        """A time within a sentence, comma included, where the weather would break it."""
        if self._timed:
            return ""
        self._timed = True
        return world.rng.choice(self._openings(world)) + "，"

    def _openings(self, world: Held) -> Sequence[str]:
        found = _times(world.lexicon, self.season, self.day, self.sky, world.realm, self.occasions, self.term)
        return found or ("有一天",)

    def _clause(self, world: Held) -> str:
        if self._told:
            return world.rng.choice(_AFTER[self.sky])
        self._told = True
        world.used[self.weather.word] = self.weather
        return self.weather.word
