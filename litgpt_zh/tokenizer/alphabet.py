"""The fixed part of every vocabulary: control and byte pieces, and the characters that get an entry of their own."""

from __future__ import annotations

from collections import Counter

from litgpt_zh.prompts import CONTROL

RESERVED = tuple(f"<|reserved_{i}|>" for i in range(10))
"""Free entries for a later stage; no text encodes to them."""

BYTES = tuple(f"<0x{byte:02X}>" for byte in range(256))
"""What a character without an entry is spelt with (UTF-8)."""

FIXED = (*CONTROL, *RESERVED, *BYTES)
"""Ids 0..271 of every vocabulary, in this order."""

ASCII = tuple(chr(code) for code in (0x0A, *range(0x20, 0x7F)))
PUNCTUATION = tuple("，。！？；：、“”‘’（）《》〈〉【】「」『』—…·～　％￥")
STORYTELLING = tuple(
    "叽呦呱咔咚咣咧咩咪哐哞唢唰啵啷啾喔喱喵嗒嗖嗝嗯嗷嘀嘟嘭噗噘噜噢嚓忐忑怏惬惴愣懵戛捋掰搡攥杷枇柚桦榄榕"
    "榛橄橘毽狒狲猕猢猬獐獾疣眸瞌笙笸筝箫簪簸粑粽糍缰羯聆芙苜茉荠莓蓿蕨薇薰藓蚓蚣蚪蚯蚱蛐蛳蜇蜈蜊蜍蜓蜢蜥"
    "蜴蜻蝈蝌蝙蝠螂螃螳蟀蟋蟑蟾豚貂跄跚跷踉踝踮踱踹蹑蹒轳辘铛镯隼颌饨饴馄馍鬣鲑鲟鲨鲫鳄鳅鳗鳝鸠鸢鸪鸬鸶鹂"
    "鹈鹉鹌鹑鹕鹚鹞鹦鹧鹫鹭鹳麋鼬鼹"
)
"""Hanzi of GB2312 level 2 that children's stories need: animals, plants, sounds, the body, food, games."""

MAX_SEEN = 100
"""At most so many other characters get an entry: the most frequent ones."""


def gb2312_level1() -> tuple[str, ...]:
    """The 3,755 common simplified Hanzi of GB2312 (level 1, 0xB0A1 to 0xD7F9), in code order."""
    rows = [(row, cell) for row in range(0xB0, 0xD8) for cell in range(0xA1, 0xFF)]
    return tuple(bytes(pair).decode("gb2312") for pair in rows if pair <= (0xD7, 0xF9))


def choose(counts: Counter[str], *, level1: bool, min_count: int = 3, max_seen: int = MAX_SEEN) -> list[str]:
    """The characters with an entry of their own, sorted by code point.

    Args:
        counts: how often each character occurs in the training text.
        level1: force GB2312 level 1 and ``STORYTELLING``, seen or not.
        min_count: rarer characters are left to the bytes.
        max_seen: limit on the characters that only their frequency brings in (with ``level1=False``, on all Hanzi).

    Returns:
        ASCII, Chinese punctuation, the forced Hanzi, and the most frequent others.
    """
    forced = {*ASCII, *PUNCTUATION, *((*gb2312_level1(), *STORYTELLING) if level1 else ())}
    others = [
        (-n, c) for c, n in counts.items() if n >= min_count and c not in forced and (c.isprintable() or c == "\t")
    ]
    limit = max_seen if level1 else max_seen + len(gb2312_level1())
    return sorted(forced | {c for _, c in sorted(others)[:limit]})
