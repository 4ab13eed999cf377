"""Rewards on stories made by hand."""

from __future__ import annotations

import math

import pytest

from litgpt_zh.constraints import Constraints
from litgpt_zh.preference import rewards
from litgpt_zh.preference.rewards import PARTS, WEIGHTS, combine, failure, measure
from litgpt_zh.stage import UserError

NOTHING = Constraints()
GOOD = "小狗在草地上找到一把铲子。“这是谁的？”它问。乌龟说：“是我的，谢谢你！”两个朋友一起回家了。"


def test_words_count_by_share() -> None:
    asked = Constraints(words=("铲子", "草地", "雨伞"))
    assert rewards.words(asked, GOOD) == pytest.approx(2 / 3)
    assert rewards.words(asked, "没有。") == 0
    assert rewards.words(NOTHING, GOOD) == 1


def test_sentence_stands_word_for_word() -> None:
    assert rewards.sentence(Constraints(sentence="两个朋友一起回家了。"), GOOD) == 1
    assert rewards.sentence(Constraints(sentence="两个朋友回家了。"), GOOD) == 0
    assert rewards.sentence(NOTHING, GOOD) == 1


def test_dialogue_wants_paired_quotes_where_it_is_asked() -> None:
    asked = Constraints(features=("对话",))
    assert rewards.dialogue(asked, GOOD) == 1
    assert rewards.dialogue(asked, "小狗回家了。") == 0
    assert rewards.dialogue(asked, "小狗说：“好！”猫说：“不好！") == pytest.approx(2 / 3)
    assert rewards.dialogue(Constraints(features=("转折",)), "小狗说：“好！") == 1
    assert rewards.paired("”先关后开“") == 0
    assert rewards.paired('"好"，"不') == pytest.approx(2 / 3)
    assert rewards.paired("没有引号") == 1


def test_ending() -> None:
    assert rewards.ending(NOTHING, GOOD) == 1 and rewards.ending(NOTHING, "小狗回家了。”\n") == 1
    assert rewards.ending(NOTHING, "小狗回家") == 0 and rewards.ending(NOTHING, "") == 0


def test_length_band_falls_straight() -> None:
    def of(n: int) -> float:
        return rewards.length(NOTHING, "字" * n, band=(40, 100))

    assert [of(40), of(70), of(100)] == [1, 1, 1]
    assert of(20) == 0.5 and of(0) == 0
    assert of(150) == pytest.approx(0.5) and of(200) == 0 and of(500) == 0


def test_repetition_is_counted_on_characters() -> None:
    assert rewards.repetition(NOTHING, "小狗回家了。") == 1
    assert rewards.repetition(NOTHING, "草地草地草地") == pytest.approx(2 / 3)
    assert rewards.repetition(NOTHING, "小狗回家了。" * 10) < 0.15


def test_copying_of_the_request() -> None:
    asked = Constraints(words=("铲子",), summary="小狗把铲子还给了乌龟他们成了朋友。")
    assert rewards.copying(asked, GOOD) == 1
    copied = "小狗把铲子还给了乌龟"
    assert rewards.copying(asked, copied + "，然后天黑了啊啊") == pytest.approx(1 - len(copied) / (len(copied) + 8))
    assert rewards.copying(asked, "摘要：小狗把铲子还给了乌龟他们成了朋友。") == 0
    wanted = Constraints(sentence="两个朋友一起回家了。")
    assert rewards.copying(wanted, "两个朋友一起回家了。") == 1  # that one is asked for


@pytest.mark.parametrize(
    ("text", "finished", "reason"),
    [
        (GOOD, True, None),
        (GOOD, False, "unfinished"),
        (" \n", True, "empty"),
        ("小狗回家了。" * 30, True, "degenerate"),
        ("哈哈哈哈", True, "degenerate"),
        ("小狗\ufffd回家了，真好。", True, "broken"),
        ("小狗回家了<|user|>，真好。", True, "broken"),
    ],
)
def test_failures(text: str, finished: bool, reason: str | None) -> None:
    assert failure(text, finished) == reason


def test_every_part_is_in_the_unit_interval_on_anything() -> None:
    asked = Constraints(("铲子", "天"), ("对话",), "小狗和小猫一起去山上看星星。", "天黑了。")
    for text in ("", "。", GOOD, "“" * 50, GOOD * 30, "天" * 3000, "小狗和小猫一起去山上看星星。" * 3):
        for name, part in PARTS.items():
            assert 0 <= part(asked, text) <= 1, (name, text[:20])


def test_combination_is_the_weighted_mean() -> None:
    assert combine({"words": 0.5, "ending": 1.0, "length": 0.2}, {"words": 3, "ending": 1}) == pytest.approx(0.625)
    better = combine(measure(Constraints(words=("铲子",)), GOOD, WEIGHTS, (20, 100)), WEIGHTS)
    worse = combine(measure(Constraints(words=("铲子",)), GOOD.replace("铲子", "帽子"), WEIGHTS, (20, 100)), WEIGHTS)
    assert better == pytest.approx(1.0) and worse == pytest.approx(0.5)
    assert set(WEIGHTS) == set(PARTS)


def test_band_reaches_the_length_part() -> None:
    assert measure(NOTHING, "字" * 20, {"length": 1}, (40, 100)) == {"length": 0.5}


def test_a_judge_counts_from_nothing_to_one() -> None:
    assert [rewards.judged(score) for score in (1, 4, 10)] == pytest.approx([0, 1 / 3, 1])
    weights = {"judge": 3.0, "ending": 1.0}
    parts = measure(NOTHING, GOOD, weights, known={"judge": rewards.judged(7)})
    assert parts == pytest.approx({"judge": 2 / 3, "ending": 1.0}) and combine(parts, weights) == pytest.approx(0.75)
    with pytest.raises(UserError, match="judge: these samples were not judged"):
        measure(NOTHING, GOOD, weights, known={"surprise": 0.5})


@pytest.mark.parametrize(
    ("values", "weights", "message"),
    [
        ({"word": 1}, {"word": 1}, "no part 'word'"),
        ({"words": 1}, {"words": -1}, "words: -1"),
        ({"words": 1}, {"words": math.nan}, "words: nan"),
        ({"words": 1}, {"words": 0}, "none is above 0"),
        ({"words": 1}, {}, "none is above 0"),
        ({"words": math.nan}, {"words": 1}, "reward words: nan"),
        ({"words": 1.01}, {"words": 1}, "reward words: 1.01"),
        ({"judge": rewards.judged(11)}, {"judge": 1}, "reward judge: 1.1"),
        ({"judge": rewards.judged(0)}, {"judge": 1}, "reward judge: -0.1"),
        ({"words": 1}, {"words": 1, "ending": 1}, "reward ending: None"),
    ],
)
def test_combination_refuses(values: dict, weights: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        combine(values, weights)
