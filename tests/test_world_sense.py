"""The story world makes sense: what is drawn fits who does it, where and when, and the beats agree with each other."""

from __future__ import annotations

import re
from random import Random

import pytest

from litgpt_zh.corpus.world.cast import bears
from litgpt_zh.corpus.world.engine import World
from litgpt_zh.corpus.world.lexicon import Entry, Lexicon
from litgpt_zh.corpus.world.looks import looks_of
from litgpt_zh.corpus.world.noises import crashes, cries
from litgpt_zh.corpus.world.phrases import GROUPS, group
from litgpt_zh.corpus.world.plots import PLOTS
from litgpt_zh.corpus.world.scene import SEASONS
from litgpt_zh.corpus.world.story import Story, generate
from litgpt_zh.corpus.world.story import story as tell

LEXICON = Lexicon.load()


def _told(name: str, realm: str, turns: int, length: str = "short") -> list[World]:
    """One plot told many times in one realm."""
    plot = next(plot for plot in PLOTS if plot.name == name)
    worlds = []
    for turn in range(turns):
        world = World(Random(f"{name}{realm}{turn}"), length, LEXICON, realm)  # type: ignore[arg-type]
        plot.run(world)
        worlds.append(world)
    return worlds


@pytest.fixture(scope="module")
def among_animals() -> list[World]:
    """Every plot of the animals' realm, told some times in both lengths."""
    names = [plot.name for plot in PLOTS if "animal" in plot.realms]
    return [world for name in names for length in ("short", "full") for world in _told(name, "animal", 30, length)]


@pytest.fixture(scope="module")
def stories() -> list[Story]:
    return [*generate(23, 0, 1500), *generate(23, 0, 300, "full")]


def test_animals_neither_eat_animals_nor_own_or_herd_them(among_animals: list[World]) -> None:
    assert {"牛肉", "鸡腿", "鸡蛋"} <= {entry.word for entry in LEXICON.of("food", "meat")}
    assert {"骑马", "放羊", "钓鱼"} <= {entry.word for entry in LEXICON.of("activity", "human")}
    for world in among_animals:
        for entry in world.used.values():
            assert not entry.tags & {"meat", "human"}, (entry.word, world.text)


def test_no_time_of_school_and_no_human_feast_among_animals(among_animals: list[World]) -> None:
    for world in among_animals:
        assert not re.search("星期|放学|暑假|寒假|国庆|儿童节|母亲节", world.text), world.text


def test_names_suit_their_animals() -> None:
    def animal(word: str) -> Entry:
        entry = LEXICON.get(word)
        assert entry is not None
        return entry

    assert bears(animal("小狗"), "旺财") and not bears(animal("大灰狼"), "旺财")
    assert bears(animal("黑马"), "豆豆") and not bears(animal("黑马"), "小白")
    assert not bears(animal("青蛙"), "长耳") and not bears(animal("熊猫"), "喵喵")
    assert all(any(bears(entry, name.word) for name in LEXICON.of("name", "animal")) for entry in LEXICON.of("animal"))


def test_only_what_has_seeds_is_sown(stories: list[Story]) -> None:
    sown = [found for story in stories for found in re.findall(r"(\w\w)的种子", story.text)]
    assert sown
    assert not [word for word in sown if re.search("[苗藤树秧]$|玫瑰花|风信子", word)]


@pytest.mark.parametrize("realm", ["child", "animal"])
def test_a_busy_day_has_the_tasks_of_its_plan(realm: str) -> None:
    for world in _told("忙碌的一天", realm, 200):
        tasks = [world.tell_slot(key, "") for key in "bkc"]
        assert all(task in world.text for task in tasks), world.text
        assert all(task in world.summary for task in tasks), world.summary
        for first, second in re.findall("静下心来，先(.+?)，再(.+?)。", world.text):
            assert [first, second] == tasks[1:], world.text


def test_special_days_are_told_only_where_they_fit(stories: list[Story]) -> None:
    where = {"运动会那天": {"赛跑", "骄傲的赛跑"}, "植树节": {"种种子"}, "生日那天早上": set(), "开学": {"新同学"}}
    for story in stories:
        opening = story.text[:60]
        for day, plots in where.items():
            assert day not in opening or story.plot in plots, story.text


def test_a_sign_of_the_season_goes_with_no_time_of_the_day(stories: list[Story]) -> None:
    for story in stories:
        assert not re.search("(的时候|早上|傍晚|中午|下午)，(草木发芽|柳树绿了|枫叶红了|桂花飘香|春暖花开)", story.text)


def test_flowers_bloom_in_their_season() -> None:
    for season in SEASONS:
        world = World(Random(season), "short", LEXICON, "child")
        world.scene(season=season)
        found = {entry.word for entry in world._candidates("plant", ("flower",))}
        assert ("桃花" in found) == (season == "spring") and ("菊花" in found) == (season == "autumn")


def test_adjectives_do_not_repeat_or_contradict_the_word() -> None:
    assert "温热" not in {look.word for look in looks_of(LEXICON, "热汤")}
    assert "巨大" not in {look.word for look in looks_of(LEXICON, "小象")}
    assert "破旧" not in {look.word for look in looks_of(LEXICON, "风筝")}
    assert "平常" not in {look.word for look in looks_of(LEXICON, "戒指")}


def test_moods_that_are_no_plain_predicate_are_not_told_as_such(stories: list[Story]) -> None:
    very = "(?:很|非常|十分|特别)"
    for story in stories:
        assert not re.search(f"(?<!觉得){very}(?:光荣|可惜|遗憾)", story.text), story.text
        assert not re.search(f"(?<!心情){very}迫切", story.text), story.text
        assert not re.search(f"{very}(?:无力|感谢|喜悦|挂念)", story.text), story.text


def test_a_pronoun_is_not_used_past_an_animal_that_is_mentioned() -> None:
    world = World(Random("past"), "short", LEXICON, "animal")
    hero = world.hero("h")
    world.tell_slot("h", "")
    assert world.tell_slot("h", "ta") == "它"
    world.pick("a", "animal", "insect")
    world.tell_slot("a", "one")
    assert world.tell_slot("h", "ta") == hero.name
    assert world.tell_slot("h", "ta") == hero.name


def test_the_verb_fits_what_is_made() -> None:
    told = " ".join(world.text for world in _told("亲手做的礼物", "child", 400))
    assert not re.search("做起了|做.{0,6}(毛衣|画像|刺绣|剪纸)", told)
    assert re.search("织.{0,6}(毛衣|围巾)", told) and re.search("画.{0,4}(画|年画)", told)


def test_a_story_tells_one_time_of_the_day(stories: list[Story]) -> None:
    days = "星期[一三五六天]|周末|周[六日]"
    for story in stories:
        told = re.findall(f"({days})(?:早上|中午|下午|傍晚|晚上|上午|的)", story.text)
        if story.plot not in ("长大想当什么", "忘记的约定", "新同学"):
            assert len(told) <= 1, story.text


def test_gestures_of_the_game_are_such_as_can_be_copied() -> None:
    pose = {entry.word for entry in group(LEXICON, "action", "pose")}
    assert pose and not pose & {"开门", "关门", "敲门", "指路"}
    assert not set(GROUPS["action"]["slip"].split()) & {"吵闹", "大叫"}


def test_no_two_heroes_of_a_story_have_like_names() -> None:
    for realm in ("child", "animal"):
        for turn in range(300):
            world = World(Random(f"{realm}{turn}"), "short", LEXICON, realm)  # type: ignore[arg-type]
            heroes = [world.hero(key) for key in "hfg"]
            marks = [set(who.first) - {"小"} for who in heroes]
            assert not marks[0] & marks[1] and not marks[0] & marks[2] and not marks[1] & marks[2], heroes


def test_nobody_of_the_family_is_met_under_two_names() -> None:
    for world in _told("全家福", "child", 400, "full"):
        for one, other in (("外婆", "姥姥"), ("外公", "姥爷"), ("姑姑", "姑妈")):
            body = world.text[world.text.index("。") :]
            assert not (world.used.keys() >= {one, other} and one in body and other in body), world.text


@pytest.fixture(scope="module")
def long() -> list[Story]:
    """Long stories of many seeds, the first of each."""
    return [tell(seed, 0, "full") for seed in range(500)]


def test_what_brings_a_story_back_to_mind_is_in_it(long: list[Story]) -> None:
    found = 0
    for item in long:
        for match in re.finditer("后来，每次(?:吃|喝|看见)(.+?)，.{1,6}都会想起这件事", item.text):
            found += 1
            assert match[1] in item.text[: match.start()], item.text
    assert found >= 10


def test_only_a_late_sleeper_is_called_many_times(long: list[Story]) -> None:
    late = [found for item in long for found in re.findall("最爱(.+?)，每天都要叫好几遍才起来", item.text)]
    assert set(late) == {"睡觉"}


@pytest.mark.parametrize("length", ["short", "full"])
def test_who_arrives_at_the_family_photograph_was_not_there(length: str) -> None:
    arrival = (
        "(?:^|(?<=[。，！”\n]))([^。，！”]{1,5}?)(?:(?:满面春风|喜气洋洋)地走来|笑容满面|风尘仆仆地赶来|也来凑热闹)"
    )
    found = 0
    for world in _told("全家福", "child", 400, length):
        for match in re.finditer(arrival, world.text):
            found += 1
            assert not re.search(f"(?<!老){match[1]}", world.text[: match.start()]), world.text
    assert found


def test_a_slip_in_the_kitchen_teaches_care() -> None:
    told = {
        world.tell_slot("moral", "") for world in _told("厨房里的错误", "child", 200) if "道德价值" in world.features
    }
    assert told and told <= {entry.word for entry in group(LEXICON, "moral", "care")}


def test_a_fall_sounds_like_what_falls() -> None:
    clang = {"当啷", "哐啷", "哐当", "咣当"}
    for name, realm in (("赛跑", "animal"), ("赛跑", "child"), ("吹牛", "child")):
        for world in _told(name, realm, 200):
            assert not re.search("(?:" + "|".join(clang) + ")一声，[^。]{0,8}摔", world.text), world.text
    for word in ("布娃娃", "风筝", "沙包", "足球", "木剑"):
        entry = LEXICON.get(word)
        assert entry and not clang & {sound.word for sound in crashes(LEXICON, entry)}, word
    told = " ".join(world.text for world in _told("争玩具", "child", 400))
    assert not re.search("(?:" + "|".join(clang) + ")一声，(?:布娃娃|布偶|沙包|绣球|风筝|.球)", told)


def test_birds_call_in_their_own_voice() -> None:
    found = 0
    for world in _told("救小动物", "child", 400) + _told("收集宝贝", "child", 400, "full"):
        for bird, call in re.findall("(鸽子|乌鸦|喜鹊|野鸡|麻雀|燕子)[^。，]{0,8}，正?(\\w+)地叫着", world.text):
            found += 1
            assert call in {sound.word for sound in cries(LEXICON, LEXICON.get(bird))}, world.text  # type: ignore[arg-type]
    assert found
    pigeon = LEXICON.get("鸽子")
    assert pigeon and [sound.word for sound in cries(LEXICON, pigeon)] == ["咕咕"]


def test_no_tickets_are_sold_in_shops() -> None:
    assert not {"门票", "车票", "船票", "入场券"} & {entry.word for entry in LEXICON.of("thing", "sale")}


def test_only_what_can_break_is_broken_in_a_quarrel() -> None:
    for realm in ("child", "animal"):
        worlds = [world for world in _told("争玩具", realm, 300) if "坏结局" in world.features]
        assert worlds
        for world in worlds:
            assert world.slot("x").has("fixable", "-round"), world.text


def test_animals_do_not_go_hand_in_hand(among_animals: list[World]) -> None:
    for world in among_animals:
        assert not re.search("手拉着?手|拉了钩|握手|击掌|拉钩", world.text), world.text


def test_adjectives_go_with_the_thing() -> None:
    fine = {"精巧", "精致", "精美", "别致", "新颖"}
    for entry in LEXICON.of("thing"):
        looks = {look.word for look in looks_of(LEXICON, entry.word)}
        assert "完好" not in looks
        if entry.word.endswith("球") and entry.has("sport"):
            assert not looks & fine, entry
    assert "精美" in {look.word for look in looks_of(LEXICON, "花灯")}


def test_two_children_are_two_people(long: list[Story]) -> None:
    for item in long:
        if item.plot in ("全家福", "新同学", "长大想当什么", "化装晚会"):
            assert not re.search("两个(?:常常|都|谁也|一起|成了|又|约好|越)", item.text + item.summary), item.text
    for name in ("争玩具", "忘记的约定", "借来的东西"):
        for world in _told(name, "child", 100):
            told = world.text + world.summary
            assert not re.search("(?<!你们)两个(?:常常|都|谁也|一起|成了|又|约好|越|和好|还是)", told), told


def test_a_summary_tells_no_other_branch() -> None:
    for world in _told("梦里的旅行", "child", 300):
        assert "找回了" not in world.summary, world.summary
    for world in _told("全家福", "child", 200):
        assert "发现少了" not in world.summary and "忙着" not in world.summary
    for world in _told("集市上的小摊", "child", 200):
        assert "卖光" not in world.summary
