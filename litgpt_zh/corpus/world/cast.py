"""The characters of the story world, and how the text may call them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from litgpt_zh.corpus.world.lexicon import Entry, Lexicon

__all__ = ["ELDERS", "PLURAL", "Realm", "Who", "animal_word"]

Realm = Literal["child", "animal"]

#: The plural of each pronoun, for a group whose members share it.
PLURAL = {"他": "他们", "她": "她们", "它": "它们"}

#: The grown-up animals whom young animals ask for advice: how they are called, and their class.
ELDERS: tuple[tuple[str, str], ...] = (
    ("老山羊", "山羊"),
    ("老乌龟", "乌龟"),
    ("老黄牛", "黄牛"),
    ("大象伯伯", "大象"),
    ("猫头鹰爷爷", "猫头鹰"),
    ("熊大婶", "熊"),
    ("袋鼠阿姨", "袋鼠"),
    ("河马大叔", "河马"),
    ("绵羊奶奶", "绵羊"),
    ("长颈鹿阿姨", "长颈鹿"),
    ("老水牛", "水牛"),
    ("白鹤婆婆", "白鹤"),
    ("骆驼爷爷", "骆驼"),
    ("母鸡大婶", "母鸡"),
    ("刺猬奶奶", "刺猬"),
    ("海龟爷爷", "海龟"),
    ("老马", "马"),
    ("喜鹊阿姨", "喜鹊"),
    ("獾大叔", "獾"),
    ("犀牛伯伯", "犀牛"),
)

_OWN_PREFIX = ("小", "大", "老", "白", "黑", "花", "丑")


@dataclass(frozen=True, slots=True)
class Who:
    """A character.

    Attributes:
        key: the name of the character's slot in the plot.
        name: how the text calls the character.
        first: how the text calls the character at the first mention.
        pronoun: 他, 她 or 它.
        one: the phrase that brings the character on, such as 一个叫小明的男孩.
        call: how others address the character.
        kid: 男孩, 女孩 or the kind of young animal.
        entry: the word of the lexicon behind the character, if any.
        common: whether the character is met so often that its word is not offered as a required one.
    """

    key: str
    name: str
    first: str
    pronoun: str
    one: str
    call: str
    kid: str
    entry: Entry | None = None
    common: bool = False


def animal_word(entry: Entry) -> str:
    """How a young animal is called: 小兔子 for 兔子."""
    return entry.word if entry.word.startswith(_OWN_PREFIX) else "小" + entry.word


#: Names that say what their bearer looks or sounds like, and a part of the words for those who may bear them.
_SPEAKING = {
    **dict.fromkeys("旺财 来福 旺旺 汪汪".split(), "狗 犬"),
    **dict.fromkeys("咪咪 喵喵".split(), "小猫"),
    **dict.fromkeys("嘎嘎 库库".split(), "鸭 鹅"),
    **dict.fromkeys("叽叽 喳喳 啾啾".split(), "鸡 雀 燕 鸟 鹊 八哥"),
    **dict.fromkeys("长耳 大耳朵".split(), "兔 驴 象"),
    **dict.fromkeys("毛球 绒绒 卷卷 小绒球".split(), "羊 兔 猫 狗 熊 鼠"),
    "红鼻子": "鹿",
    "短尾": "兔 猴 鼠",
    "小雪团": "兔 羊 小猫",
    "小火球": "狐 虎 狮",
    "滚滚": "熊 猪",
    "吱吱": "鼠 猴",
    "小花": "小猫 狗 鹿 鸡 牛",
    "飞飞": "鸟 雀 燕 鹰 鸽 鹊 雁 鹤",
}
_HUES = "黑白灰黄花金银棕"
_SURNAMES = "王李张陈孙"


def bears(animal: Entry, name: str) -> bool:
    """Whether an animal may bear a name: no dog's name for a wolf, no 小黑 for a white horse."""
    if name in _SPEAKING and not any(part in animal.word for part in _SPEAKING[name].split()):
        return False
    hues = set(_HUES) & set(animal.word)
    return not (hues and set(_HUES) & set(name))


def child_of(key: str, name: Entry) -> Who:
    """A child with a name."""
    kid = "女孩" if name.pronoun == "她" else "男孩"
    return Who(key, name.word, name.word, name.pronoun, f"一个叫{name.word}的{kid}", name.word, kid)


def animal_of(key: str, animal: Entry, name: Entry | None) -> Who:
    """A young animal, with or without a name of its own."""
    kid = animal_word(animal)
    measure = animal.measure or "只"
    if name is None:
        return Who(key, kid, kid, "它", f"一{measure}{kid}", kid, kid, animal)
    return Who(key, name.word, kid + name.word, "它", f"一{measure}叫{name.word}的{kid}", name.word, kid, animal)


def adult_of(key: str, person: Entry) -> Who:
    """A grown-up of the lexicon."""
    word = person.word
    if person.has("family") or word.endswith(("爷爷", "奶奶", "叔叔", "阿姨", "伯伯", "婆婆", "老师", "医生", "警察")):
        call = word
    elif person.has("elder"):
        call = "奶奶" if person.pronoun == "她" else "爷爷"
    else:
        call = "阿姨" if person.pronoun == "她" else "叔叔"
    one = word if word[0] in _SURNAMES else f"一{person.measure or '位'}{word}"
    return Who(key, word, word, person.pronoun, one, call, word, person)


def elder_animal_of(key: str, index: int, lexicon: Lexicon) -> Who:
    """One of the wise animals."""
    name, species = ELDERS[index]
    return Who(key, name, name, "它", name, name, name, lexicon.get(species), common=True)
