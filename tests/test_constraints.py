"""Constraints: every spelling people use, and nothing that only looks like one."""

import pytest

from litgpt_zh.constraints import FIELDS, Constraints, check, met, parse, render, subset

FULL = Constraints(("铲子", "草地"), ("对话", "转折"), "小狗找到了家。", "它摇着尾巴跑过来。")


def test_render_and_parse_are_inverse() -> None:
    assert render(FULL) == "词汇：铲子，草地\n特征：对话，转折\n摘要：小狗找到了家。\n随机句子：它摇着尾巴跑过来。"
    assert parse(render(FULL)) == FULL


@pytest.mark.parametrize("label", ["词汇", "关键词", "单词", "词语"])
@pytest.mark.parametrize("colon", ["：", ":", " ： "])
@pytest.mark.parametrize("comma", ["，", ",", "、", " ", "， ", "；"])
def test_words(label: str, colon: str, comma: str) -> None:
    assert parse(f"{label}{colon}铲子{comma}草地") == Constraints(words=("铲子", "草地"))


@pytest.mark.parametrize(
    ("label", "field"),
    [("特征", "features"), ("特点", "features"), ("摘要", "summary"), ("总结", "summary"), ("概要", "summary"),
     ("随机句子", "sentence"), ("句子", "sentence")],
)  # fmt: skip
@pytest.mark.parametrize("colon", ["：", ":"])
def test_other_labels(label: str, field: str, colon: str) -> None:
    value = ("对话",) if field == "features" else "天黑了。"
    text = "对话" if field == "features" else "天黑了。"
    assert parse(label + colon + text) == Constraints(**{field: value})


@pytest.mark.parametrize(
    "text",
    [
        "特征：对话\n词汇：铲子，草地",
        "词汇：铲子，草地；特征：对话",
        "词汇:铲子,草地;特征:对话",
        "  特点：Dialogue；\n  关键词：铲子、草地。\n",
        "词汇：铲子，草地\r\n特征：对话\r\n",
        "\n\n特征：对话\n\n词汇：铲子 草地\n",
        "词汇：铲子\n特征：对话\n词汇：草地",
    ],
)
def test_any_order_and_line_form(text: str) -> None:
    assert parse(text) == Constraints(("铲子", "草地"), ("对话",))


def test_summary_keeps_its_punctuation_and_windows_newlines_go() -> None:
    assert parse("摘要：小狗，小猫：一起玩。\r\n词汇：球\r\n") == Constraints(("球",), summary="小狗，小猫：一起玩。")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "讲一个小狗的故事",
        "从前有一个孩子，名字叫：小明。他说：我来总结：今天很好。",
        "名字叫：小明\n他喜欢词汇",
        "请写一个故事\n词汇：铲子",
        "词汇：",
        "词汇",
    ],
)
def test_free_text_is_not_a_constraint(text: str) -> None:
    assert parse(text) is None


def test_from_records() -> None:
    record = {"words": ["铲子", " 草地 ", ""], "features": ["Dialogue"], "summary": None, "sentence": " 天黑了。 "}
    assert Constraints.of(record) == Constraints(("铲子", "草地"), ("对话",), "", "天黑了。")
    assert Constraints.of({"words": "铲子，草地", "features": "对话"}) == Constraints(("铲子", "草地"), ("对话",))
    assert not Constraints.of({})


def test_check() -> None:
    story = "小狗拿着铲子说：“我们去草地吧！”它摇着尾巴跑过来。"
    assert check(FULL, story) == {
        "word:铲子": True,
        "word:草地": True,
        "feature:对话": True,
        "feature:转折": None,
        "sentence": True,
        "summary": None,
    }
    assert met(FULL, story)
    assert not met(FULL, story.replace("铲子", "桶"))
    assert check(Constraints(features=("对话",)), "他说：我们走。") == {"feature:对话": False}
    assert check(Constraints(features=("对话",)), "他说：「我们走。」") == {"feature:对话": True}


def test_subset_is_decided_by_its_key_and_never_empty() -> None:
    half = dict.fromkeys(FIELDS, 0.5)
    parts = {subset(FULL, half, str(n)) for n in range(300)}
    assert len(parts) == 15 and all(parts)
    assert subset(FULL, half, "a") == subset(FULL, half, "a")
    assert subset(FULL, {}, "a") == FULL
    assert {subset(FULL, {"summary": 0.0}, str(n)).summary for n in range(9)} == {""}
