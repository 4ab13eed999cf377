"""The word list of the story world: sizes, uniqueness, tags, measure words and templates."""

from __future__ import annotations

import re

import pytest

from litgpt_zh.corpus.world.lexicon import COLUMNS, CONTENT_KINDS, KINDS, MEASURES, TAGS, Entry, Lexicon

MINIMUM = {
    "thing": 430,
    "food": 180,
    "animal": 170,
    "plant": 110,
    "place": 220,
    "person": 120,
    "adj": 190,
    "mood": 100,
    "trait": 60,
    "activity": 170,
    "action": 120,
    "manner": 90,
    "weather": 65,
    "idiom": 200,
    "sound": 60,
    "nature": 95,
    "time": 90,
    "moral": 90,
    "name": 260,
}
NOUNS = ("thing", "food", "animal", "plant", "place", "person")
ADJECTIVE_SORTS = TAGS["adj"] - {*NOUNS, "weather"}
LOCATIVES = {"", "里", "上", "边", "旁", "下", "前", "中"}
CJK = re.compile(r"[\u4e00-\u9fff]+")
# A few characters that exist only in the traditional script; one of them means a row was not simplified.
TRADITIONAL = set("個們來時國會學說這還過樹鳥魚馬車門開關頭見貝長東風飛龍龜麥黃點燈書畫筆紙紅綠藍")


@pytest.fixture(scope="module")
def lexicon() -> Lexicon:
    return Lexicon.load()


def test_every_class_is_present_and_large_enough(lexicon: Lexicon) -> None:
    assert lexicon.kinds() == KINDS
    assert {kind: len(lexicon.of(kind)) for kind in KINDS if len(lexicon.of(kind)) < MINIMUM[kind]} == {}
    assert len(lexicon.words()) >= 2500


def test_no_word_occurs_twice(lexicon: Lexicon) -> None:
    words = [entry.word for entry in lexicon]
    assert len(words) == len(set(words)) == len(lexicon)
    with pytest.raises(ValueError, match="occurs as"):
        Lexicon([Entry("铲子", "thing"), Entry("铲子", "food")])


def test_words_are_simplified_chinese_of_a_sensible_length(lexicon: Lexicon) -> None:
    limits = {"weather": 10, "time": 11, "idiom": 4}
    for kind in CONTENT_KINDS:
        for entry in lexicon.of(kind):
            assert CJK.fullmatch(entry.word), entry
            assert len(entry.word) <= limits.get(kind, 5), entry
    for entry in lexicon:
        assert not TRADITIONAL & set(entry.word + entry.usage + entry.antonym), entry


def test_tags_are_documented(lexicon: Lexicon) -> None:
    fine = {f"{kind}-{tag}" for kind in NOUNS for tag in TAGS[kind]}
    for entry in lexicon:
        known = TAGS[entry.kind] | fine if entry.kind == "adj" else TAGS[entry.kind]
        assert entry.tags <= known, (entry.word, entry.tags - known)


@pytest.mark.parametrize("kind", KINDS)
def test_every_documented_tag_is_used(lexicon: Lexicon, kind: str) -> None:
    used = set().union(*(entry.tags for entry in lexicon.of(kind)))
    if kind == "adj":
        used |= {tag.partition("-")[0] for tag in used}
    assert TAGS[kind] <= used, TAGS[kind] - used


def test_measure_words(lexicon: Lexicon) -> None:
    for kind in KINDS:
        for entry in lexicon.of(kind):
            if "measure" in COLUMNS[kind]:
                assert entry.measure in MEASURES[kind], entry
            else:
                assert entry.measure == "", entry
    assert lexicon.get("铲子").counted == "一把铲子"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("word", "measure"),
    [
        ("帽子", "顶"),
        ("镜子", "面"),
        ("马", "匹"),
        ("鲤鱼", "条"),
        ("牛", "头"),
        ("绵羊", "只"),
        ("向日葵", "株"),
        ("彩虹", "道"),
        ("骆驼", "峰"),
        ("台灯", "盏"),
        ("手套", "双"),
        ("糖葫芦", "串"),
        ("苹果树", "棵"),
        ("被子", "床"),
        ("信", "封"),
    ],
)
def test_well_known_measure_words(lexicon: Lexicon, word: str, measure: str) -> None:
    entry = lexicon.get(word)
    assert entry is not None and entry.measure == measure


def test_pronouns_locatives_usages_and_antonyms(lexicon: Lexicon) -> None:
    assert {entry.pronoun for entry in lexicon.of("person")} == {"他", "她"}
    for tag, pronouns in (("child", {"他", "她"}), ("animal", {"它"})):
        assert {entry.pronoun for entry in lexicon.of("name", tag)} == pronouns
    assert {entry.locative for entry in lexicon.of("place")} <= LOCATIVES
    assert lexicon.get("公园").location == "公园里"  # type: ignore[union-attr]
    for entry in lexicon.of("idiom"):
        assert entry.usage.count("{s}") == 1 and entry.usage.startswith("{s}"), entry
        assert entry.word in entry.usage, entry
        assert CJK.fullmatch(entry.usage.replace("{s}", "").replace("，", "")), entry
    for entry in lexicon.of("trait"):
        opposite = lexicon.get(entry.antonym) if entry.antonym else None
        if entry.antonym:
            assert opposite is not None and opposite.kind == "trait", entry
            assert opposite.tags != entry.tags, entry
    for entry in lexicon.of("moral"):
        assert CJK.fullmatch(entry.word.replace("，", "")) and 6 <= len(entry.word) <= 24, entry


def test_entries_carry_the_tags_that_stories_select_by(lexicon: Lexicon) -> None:
    for tags in (
        ("thing", "losable"),
        ("thing", "gift"),
        ("thing", "fixable"),
        ("thing", "makeable"),
        ("thing", "sale"),
        ("food", "cookable"),
        ("food", "shareable"),
        ("animal", "hero"),
        ("activity", "skill"),
    ):
        assert len(lexicon.of(*tags)) >= 60, tags
    for kind in ("thing", "food", "animal", "place", "activity", "mood", "trait", "idiom", "adj", "time", "moral"):
        assert all(entry.tags for entry in lexicon.of(kind)), [e.word for e in lexicon.of(kind) if not e.tags]


def test_selection_by_tags(lexicon: Lexicon) -> None:
    toys = lexicon.of("thing", "toy", "-fragile")
    assert toys and all("toy" in entry.tags and "fragile" not in entry.tags for entry in toys)
    assert toys is lexicon.of("thing", "toy", "-fragile")
    everything = lexicon.of("thing")
    assert [entry for entry in everything if entry in set(toys)] == list(toys)
    with pytest.raises(ValueError, match="not a tag"):
        lexicon.of("thing", "toys")
    assert lexicon.get("没有这个词") is None
    assert "铲子" in lexicon and Lexicon.load() is lexicon


def test_adjectives_suit_nouns(lexicon: Lexicon) -> None:
    apple, piano = lexicon.get("苹果"), lexicon.get("钢琴")
    assert apple is not None and piano is not None
    for_apple = {entry.word for entry in lexicon.adjectives_for(apple)}
    for_piano = {entry.word for entry in lexicon.adjectives_for(piano)}
    assert "香甜" in for_apple and "香甜" not in for_piano
    assert {entry.word for entry in lexicon.adjectives_for(piano, "color")} <= for_piano
    for kind in ("thing", "animal", "food", "person"):
        assert all(lexicon.adjectives_for(entry) for entry in lexicon.of(kind)), kind
    for entry in lexicon.of("adj"):
        heads = {tag.partition("-")[0] for tag in entry.tags}
        assert heads & {*NOUNS, "weather"}, entry
        assert entry.tags & ADJECTIVE_SORTS, entry
