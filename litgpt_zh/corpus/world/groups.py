"""Groups of words that the tags alone do not make: places one can stroll in, animals of the land, what a season has."""

from __future__ import annotations

from functools import cache

from litgpt_zh.corpus.world.lexicon import Entry, Lexicon
from litgpt_zh.corpus.world.scene import in_season

__all__ = ["PLACES", "SEASONAL", "insect_heroes", "land_heroes", "places", "seasonal", "water_heroes"]

#: The classes whose words are drawn with regard to the season and the part of the day.
SEASONAL = frozenset(("activity", "nature", "plant"))

_NOT_WALKED = frozenset(
    "甲板 小船 帆船 轮船 礁石 海面 湖面 草丛 迷宫 乡村 村子 稻草人 办公室 课堂 宿舍 食堂 瓜田 玉米地 稻田 田埂 花圃 花坛 假山 温室 电梯 悬崖 铁路 马路 公路 斑马线 人行道 十字路口 铁轨 工地 停车场 鸡窝 猪圈 鸟窝 蚂蚁窝 狐狸洞 树枝 树梢 树杈 树上 旋转木马 过山车 "
    "摩天轮 缆车 温泉 草垛 落叶堆 狗窝 树洞 沼泽 泥潭 屋顶 房顶 天台 墙头 路灯 电话亭 桥洞 月光 星空 滑雪场 夜市 露营地 密林 站牌 "
    "邮筒 信箱 售货亭 书报亭 岗亭 城楼 钟楼 马厩 牛棚 羊圈 谷仓 牲口棚 雪山 水坑 大石头 岩石 长椅 长凳 树桩 水塘 湖水 泳池 荷叶 "
    "床铺 被窝 衣柜 柜子 沙坑 公交站 秋千架 雕像 石阶 稻草堆 草堆 门廊 空中 半空中 天空 云朵 白云 云端 门外 窗外 火箭 灯塔 银河".split()
)

#: Each group: the tag sets of which one must hold (``-tag`` forbids).
PLACES: dict[str, tuple[tuple[str, ...], ...]] = {
    "stroll": (
        ("park", "outdoor", "-water", "-far"),
        ("forest", "outdoor", "-far", "-dark"),
        ("farm", "outdoor", "-water", "-far"),
    ),
    "park": (("park", "outdoor", "-water", "-far"), ("school", "outdoor"), ("town", "outdoor", "fun", "-night")),
    "wild": (("forest", "outdoor", "-dark"), ("mountain", "outdoor", "-water")),
    "shore": (("water", "outdoor", "-far", "-hide", "-town"),),
    "room": (("home", "indoor", "-dark"),),
    "yard": (("home", "outdoor"), ("farm", "outdoor", "-water", "-far")),
    "town": (("town", "-dark", "-far", "-night"),),
    "shop": (("shop", "indoor"), ("shop", "outdoor", "-night")),
    "dark": (("dark", "indoor"), ("dark", "outdoor")),
    "journey": (("far", "-sky"),),
    "sky": (("sky", "far"),),
    "hiding": (("hide", "home"), ("hide", "forest"), ("hide", "farm"), ("hide", "park")),
    "play": (
        ("park", "outdoor", "-water", "-hide"),
        ("school", "outdoor"),
        ("farm", "outdoor", "-water", "-far", "-hide"),
    ),
    "hidden_home": (("hide", "home", "indoor"), ("hide", "home", "dark")),
    "hidden_out": (("hide", "forest", "-far"), ("hide", "park"), ("hide", "farm", "outdoor")),
    "told": (("far",), ("forest", "hide"), ("town", "outdoor"), ("farm", "outdoor"), ("sky", "far")),
    "nook": (("home", "indoor", "-dark", "-hide"),),
    "school_fun": (("school", "indoor", "-town", "-night"),),
    "woods": (("forest", "outdoor", "-dark"),),
    "gloom": (("dark", "-fun"),),
    "fun": (("fun",), ("shop",), ("park",)),
    "school": (("school", "indoor"),),
    "roads": (
        ("town", "outdoor"),
        ("mountain", "outdoor"),
        ("farm", "outdoor"),
        ("water", "outdoor", "-far"),
        ("school", "outdoor"),
        ("park", "outdoor"),
    ),
    "elsewhere": (("outdoor", "-home"), ("town",), ("school",), ("water",), ("mountain",)),
    "anywhere": (("indoor",), ("outdoor",), ("far",), ("home",)),
}
#: The groups that may hold the places one does not stroll in.
_UNFILTERED = frozenset(
    (
        "dark",
        "gloom",
        "fun",
        "school",
        "roads",
        "hiding",
        "anywhere",
        "elsewhere",
        "sky",
        "shop",
        "hidden_home",
        "told",
        "nook",
    )
)

_HEROES = frozenset("青蛙 小青蛙 乌龟 小乌龟 河马 小河马".split())
_NOT_HEROES = frozenset(
    "田螺 蛇 水蛇 蟒蛇 小蛇 蚯蚓 泥鳅 蝙蝠 恐龙 巨龙 喷火龙 霸王龙 三角龙 翼龙 秃鹫 独角兽 凤凰 导盲犬 猎犬 看家狗 象龟 野马 老黄牛".split()
)


@cache
def places(lexicon: Lexicon, group: str) -> tuple[Entry, ...]:
    """The places of a group, in file order."""
    return tuple(
        entry
        for entry in lexicon.of("place")
        if any(entry.has(*tags) for tags in PLACES[group])
        and (group in _UNFILTERED or entry.word not in _NOT_WALKED)
        and (group != "woods" or entry.locative == "里")
    )


@cache
def seasonal(lexicon: Lexicon, kind: str, tags: tuple[str, ...], season: str, day: str) -> tuple[Entry, ...]:
    """The words of a class and tags that go with the season and part of the day, in file order."""
    return tuple(entry for entry in lexicon.of(kind, *tags) if in_season(entry, season, day))


@cache
def land_heroes(lexicon: Lexicon) -> tuple[Entry, ...]:
    """The animals that can be the hero of a story told on land."""
    return tuple(
        entry
        for entry in lexicon.of("animal", "hero", "-sea", "-insect")
        if entry.word not in _NOT_HEROES and (entry.word in _HEROES or not entry.has("swims", "-bird", "-runs"))
    )


@cache
def water_heroes(lexicon: Lexicon) -> tuple[Entry, ...]:
    """The animals that can be the hero of a story told under water."""
    return tuple(entry for entry in lexicon.of("animal", "hero", "swims") if entry.has("sea", "-bird"))


@cache
def insect_heroes(lexicon: Lexicon) -> tuple[Entry, ...]:
    """The insects without wings of use that can be the hero of a story told among the grass."""
    return tuple(lexicon.of("animal", "hero", "insect", "-flies"))
