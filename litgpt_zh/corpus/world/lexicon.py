"""The word list of the story world: typed entries read from ``lexicon/*.tsv``.

Every class of words lives in one tab-separated file whose header line names the columns.  The rows keep their file
order everywhere, so a seeded generator that draws from :meth:`Lexicon.of` is reproducible.

Example::

    lexicon = Lexicon.load()
    toys = lexicon.of("thing", "toy", "-fragile")
    adjectives = lexicon.adjectives_for(toys[0])
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

__all__ = ["COLUMNS", "CONTENT_KINDS", "KINDS", "MEASURES", "TAGS", "Entry", "Lexicon"]

_SEASONS = "spring summer autumn winter"

#: The columns of each file, in order.
COLUMNS: dict[str, tuple[str, ...]] = {
    "thing": ("word", "measure", "tags"),
    "food": ("word", "measure", "tags"),
    "animal": ("word", "measure", "tags"),
    "plant": ("word", "measure", "tags"),
    "place": ("word", "locative", "tags"),
    "person": ("word", "pronoun", "measure", "tags"),
    "adj": ("word", "tags"),
    "mood": ("word", "tags"),
    "trait": ("word", "tags", "antonym"),
    "activity": ("word", "tags"),
    "action": ("word", "tags"),
    "manner": ("word", "tags"),
    "weather": ("word", "tags"),
    "idiom": ("word", "tags", "usage"),
    "sound": ("word", "tags"),
    "nature": ("word", "measure", "tags"),
    "time": ("word", "tags"),
    "moral": ("text", "tags"),
    "name": ("word", "pronoun", "tags"),
}

#: All classes of the lexicon.
KINDS: tuple[str, ...] = tuple(COLUMNS)

#: The classes whose entries are vocabulary (everything but names and whole-sentence morals).
CONTENT_KINDS: tuple[str, ...] = tuple(kind for kind in KINDS if kind not in ("name", "moral"))


def _split(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: The documented tags of each class.  ``adj`` also takes finer tags ``<noun class>-<tag of that class>``, which say
#: that the adjective suits only the nouns with that tag.
TAGS: dict[str, frozenset[str]] = {
    "thing": _split(
        "toy tool clothes book paper container shiny fragile instrument treasure kitchen furniture sport light school "
        "vehicle craft warm round soft wood metal keepsake gift fixable losable wearable makeable sale human"
    ),
    "food": _split("fruit vegetable cake candy drink soup cooked bread nut dairy snack cookable shareable grows meat"),
    "animal": _split(
        "pet farm wild bird insect sea pond small big flies swims climbs runs burrows hero gentle fierce furry"
    ),
    "plant": _split("flower tree grass crop fungus vine pot climbable bears fragrant part " + _SEASONS),
    "place": _split("home indoor outdoor water forest mountain town farm school park shop fun sky night far hide dark"),
    "person": _split("family elder neighbor job teacher helper child shop doctor artist athlete"),
    "adj": _split(
        "thing food animal plant place person weather color size texture taste look smell age temperature character"
    ),
    "mood": _split(
        "glad sad angry afraid surprised proud shy calm tired curious worried grateful lonely embarrassed impatient"
    ),
    "trait": _split("good flaw"),
    "activity": _split(
        "indoor outdoor water night group alone quiet loud sport art skill chore play human " + _SEASONS
    ),
    "action": _split("move face hand body sound rest"),
    "manner": _split("slow fast quiet loud careful happy sad eager"),
    "weather": _split("sunny rainy snowy windy foggy cloudy night " + _SEASONS),
    "idiom": _split(
        "human mood-glad mood-sad mood-angry mood-afraid mood-surprised mood-proud mood-shy mood-calm mood-tired "
        "mood-curious mood-worried mood-grateful mood-impatient praise scene effort teamwork result haste"
    ),
    "sound": _split("water bell wind fall knock animal laugh machine rain steps"),
    "nature": _split("sky water ground season light small pickup"),
    "time": _split("morning noon afternoon evening night festival weekend " + _SEASONS),
    "moral": _split(
        "honesty sharing courage patience kindness effort cooperation care safety gratitude humility politeness "
        "promise tidiness curiosity"
    ),
    "name": _split("child animal nick"),
}

#: The measure words each class may use.
MEASURES: dict[str, frozenset[str]] = {
    "thing": _split(
        "个 只 把 条 本 支 张 件 顶 双 面 盏 块 串 辆 艘 架 枚 颗 根 幅 副 台 床 瓶 盒 封 套 卷 座 口 部 团 份 节 列 桶"
    ),
    "food": _split("个 块 碗 杯 串 颗 根 盘 袋 片 瓶 锅 条 罐 粒 棵 头 张 只 朵"),
    "animal": _split("只 条 头 匹 峰"),
    "plant": _split("朵 棵 株 片 丛 根 个 束 颗 条"),
    "person": _split("位 个"),
    "nature": _split("道 条 颗 滴 块 片 朵 阵 个 座 股 缕 粒 轮 根 枚 团 层 场 弯 眼 堆 串"),
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One word of the lexicon.

    Attributes:
        word: the word itself (for morals, the whole sentence).
        kind: its class, one of :data:`KINDS`.
        measure: the measure word used after a number, where the class has one.
        tags: what is true of it; see :data:`TAGS`.
        pronoun: 他, 她 or 它, for people and names.
        locative: what turns a place into a location after 在; empty when the word already is one.
        usage: a clause with ``{s}`` for the subject, for idioms.
        antonym: the opposite trait, may be empty.
    """

    word: str
    kind: str
    measure: str = ""
    tags: frozenset[str] = frozenset()
    pronoun: str = ""
    locative: str = ""
    usage: str = ""
    antonym: str = ""

    @property
    def counted(self) -> str:
        """The word with 一 and its measure, such as 一把铲子; the bare word where there is no measure."""
        return f"一{self.measure}{self.word}" if self.measure else self.word

    @property
    def location(self) -> str:
        """The word as a location phrase that can follow 在, such as 花园里."""
        return self.word + self.locative

    def has(self, *tags: str) -> bool:
        """Whether all ``tags`` are true of the entry; a tag written ``-tag`` must not be."""
        return all(tag[1:] not in self.tags if tag.startswith("-") else tag in self.tags for tag in tags)


def _parse(kind: str, text: str) -> Iterator[Entry]:
    """The entries of one file.

    Raises:
        ValueError: the header or a row does not have the columns of the class.
    """
    columns = COLUMNS[kind]
    lines = text.splitlines()
    if not lines or tuple(lines[0].split("\t")) != columns:
        raise ValueError(f"{kind}.tsv: the header line must name the columns {columns}")
    for number, line in enumerate(lines[1:], start=2):
        cells = line.split("\t")
        if len(cells) != len(columns):
            raise ValueError(f"{kind}.tsv, line {number}: {len(cells)} cells, not {len(columns)}: {line!r}")
        row = dict(zip(columns, cells, strict=True))
        tags = frozenset(row.pop("tags").split())
        yield Entry(word=row.pop(columns[0]), kind=kind, tags=tags, **row)


class Lexicon:
    """All entries, by class and by word."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        """Index ``entries``, keeping their order.

        Raises:
            ValueError: a word occurs twice.
        """
        self._by_kind: dict[str, tuple[Entry, ...]] = {}
        self._by_word: dict[str, Entry] = {}
        self._of: dict[tuple[str, ...], tuple[Entry, ...]] = {}
        self._adjectives: dict[tuple[str, frozenset[str], tuple[str, ...]], tuple[Entry, ...]] = {}
        grouped: dict[str, list[Entry]] = {}
        for entry in entries:
            if entry.word in self._by_word:
                raise ValueError(f"{entry.word} occurs as {self._by_word[entry.word].kind} and as {entry.kind}")
            self._by_word[entry.word] = entry
            grouped.setdefault(entry.kind, []).append(entry)
        for kind, members in grouped.items():
            self._by_kind[kind] = tuple(members)

    @classmethod
    def load(cls) -> Lexicon:
        """The lexicon that ships with the package, read once per process."""
        return _load()

    def of(self, kind: str, *tags: str) -> tuple[Entry, ...]:
        """The entries of a class that have all ``tags``, in file order; ``-tag`` leaves out those that have it.

        Raises:
            KeyError: there is no such class.
            ValueError: a tag is not a tag of that class.
        """
        key = (kind, *tags)
        found = self._of.get(key)
        if found is None:
            known = TAGS[kind]
            members = self._by_kind.get(kind, ())
            for tag in tags:
                bare = tag.removeprefix("-")
                if bare not in known and not (kind == "adj" and _is_fine_tag(bare)):
                    raise ValueError(f"{bare!r} is not a tag of {kind}")
            found = self._of[key] = tuple(entry for entry in members if entry.has(*tags))
        return found

    def get(self, word: str) -> Entry | None:
        """The entry of ``word``, or None."""
        return self._by_word.get(word)

    def words(self) -> tuple[str, ...]:
        """The vocabulary: every word but names and morals, in order."""
        return tuple(entry.word for kind in CONTENT_KINDS for entry in self._by_kind.get(kind, ()))

    def kinds(self) -> tuple[str, ...]:
        """The classes present."""
        return tuple(self._by_kind)

    def fits(self, adjective: Entry, noun: Entry) -> bool:
        """Whether ``adjective`` + 的 + ``noun`` is sensible, by the adjective's tags."""
        if noun.kind in adjective.tags:
            return True
        return any(f"{noun.kind}-{tag}" in adjective.tags for tag in noun.tags)

    def adjectives_for(self, noun: Entry, *tags: str) -> tuple[Entry, ...]:
        """The adjectives that suit ``noun``, in file order; ``tags`` narrows them as in :meth:`of`."""
        key = (noun.kind, noun.tags, tags)
        found = self._adjectives.get(key)
        if found is None:
            found = self._adjectives[key] = tuple(
                adjective for adjective in self.of("adj", *tags) if self.fits(adjective, noun)
            )
        return found

    def __len__(self) -> int:
        return len(self._by_word)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._by_word.values())

    def __contains__(self, word: object) -> bool:
        return word in self._by_word


def _is_fine_tag(tag: str) -> bool:
    """Whether ``tag`` has the form ``<noun class>-<tag of that class>``."""
    kind, _, rest = tag.partition("-")
    return kind in MEASURES | {"place": frozenset()} and rest in TAGS[kind]


@lru_cache(maxsize=1)
def _load() -> Lexicon:
    folder = resources.files("litgpt_zh.corpus.world").joinpath("lexicon")
    entries: list[Entry] = []
    for kind in KINDS:
        text = folder.joinpath(f"{kind}.tsv").read_text(encoding="utf-8")
        entries.extend(_parse(kind, text))
    return Lexicon(entries)
