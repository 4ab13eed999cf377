"""Cleaning: each rule on a story it must change or drop and on a near miss, and records that still match their story."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from litgpt_zh.corpus import prepare
from litgpt_zh.corpus.clean import MENDING, RULES, Drop, Limits, clean, mend
from litgpt_zh.corpus.clean_rule import around, difference
from litgpt_zh.corpus.prepare import LOST, Kept, Log, same_letters
from litgpt_zh.corpus.readers import Bad, Record
from litgpt_zh.corpus.shards import read_shards
from litgpt_zh.corpus.stage import corpus
from litgpt_zh.corpus.world import generate
from litgpt_zh.stage import Manifest, UserError

LIMITS = Limits()
STORY = "从前，森林里住着一只小兔子。有一天，它对妈妈说：“我想去河边玩！”妈妈笑着点了点头……"
DATA = Path(__file__).parents[2] / "shared" / "data"


def sloppy(data: bytes) -> str:
    """Windows-1252 as browsers read it: the five free bytes are control characters."""
    return "".join(bytes([b]).decode("cp1252", "ignore") or chr(b) for b in data)


CHANGED = {
    "mojibake": [
        (STORY.encode().decode("latin-1"), STORY),
        (sloppy(STORY.encode()), STORY),
        (sloppy(sloppy(STORY.encode()).encode()), STORY),  # twice
        (f"他说：{sloppy('小兔子'.encode())}来了。", "他说：小兔子来了。"),
        (f"他说{sloppy('“'.encode())}你好{sloppy('”'.encode())}。", "他说“你好”。"),
        ("小兔子，你好吗？".encode().decode("gb18030"), "小兔子，你好吗？"),
        (f"第一行没事。\n{'小兔子，你好吗？'.encode().decode('gb18030')}", "第一行没事。\n小兔子，你好吗？"),
        ("小兔子去河边玩".encode("gb2312").decode("latin-1"), "小兔子去河边玩"),
    ],
    "invisible characters": [("小\u200b兔\ufeff子", "小兔子")],
    "newlines": [("一。\r\n二。\u2028三。", "一。\n二。\n三。")],
    "spaces": [("　一。 \n\n\n\n 二\t\t三。", "一。\n\n二 三。")],
    "end marks": [("<|endoftext|>一。<|endoftext|>", "一。")],
    "broken characters": [
        ("他很高兴。\ufffd\ufffd", "他很高兴。"),
        ("他笑了！\ue123\n她也笑了。", "他笑了！\n她也笑了。"),
    ],
    "markup": [
        ("<p>从前&nbsp;有一只<b>兔子</b>。</p><p>它很&ldquo;乖&rdquo;。</p>", "从前 有一只兔子。\n它很“乖”。"),
        ('一。<br/>二。<img src="x.png" alt="图">', "一。\n二。"),
        ("<think>先想一想怎么翻译\n好</think>\n从前。", "从前。"),
        ("一。<!-- 广告 --><script>alert(1 < 2)</script>二。", "一。二。"),
    ],
    "markdown": [
        ("# 小兔子\n\n**从前**，有一只兔子。\n\n---\n> 它很乖。", "小兔子\n\n从前，有一只兔子。\n\n它很乖。"),
        ("```\n从前，有一只兔子。\n```", "从前，有一只兔子。"),
        ("![图](a.png)从前，[兔子](https://a.b/c)来了。", "从前，兔子来了。"),
    ],
    "links": [
        ("故事来自 https://a.b/c?d=1，很好看。", "故事来自 ，很好看。"),
        ("见网站（www.example.com）。", "见网站。"),
        ("看<https://a.b>和`https://a.b`。", "看和。"),
    ],
    "remarks": [
        ("以下是翻译：\n\n从前，有一只兔子。", "从前，有一只兔子。"),
        ("好的，以下是这个故事的中文翻译：\n从前，有一只兔子。", "从前，有一只兔子。"),
        ("译文：从前，有一只兔子。", "从前，有一只兔子。"),
        ("Here is the Chinese translation:\n\n从前，有一只兔子。", "从前，有一只兔子。"),
        ("好的，我来翻译这个故事。\n从前，有一只兔子。", "从前，有一只兔子。"),
        ("从前，有一只兔子。\n\n希望这个翻译对您有帮助！如有问题请告诉我。", "从前，有一只兔子。"),
        ("从前，有一只兔子。\n（注：Tom 译为汤姆，英文原文是男孩名。）", "从前，有一只兔子。"),
    ],
    "punctuation": [
        ('小兔说:"你好,朋友!" 它笑了.', "小兔说：“你好，朋友！”它笑了。"),
        ("你好, 世界!!真的?!", "你好，世界！！真的？！"),
        ("她等啊等...终于来了。。。", "她等啊等……终于来了……"),
        ("小兔(白色的)来了--它跑得快", "小兔（白色的）来了——它跑得快"),
        ("「你好」，他读『三国』。", "“你好”，他读‘三国’。"),
        ("Ｔｏｍ有３个苹果｡", "Tom有3个苹果。"),
        ("Tom,你好;他说'不要'。", "Tom，你好；他说‘不要’。"),
    ],
    "endings": [
        (f"{STORY}它走到河边。河水很清，鱼儿在", f"{STORY}它走到河边。"),
        (f"{STORY}它说：“你好。我叫小白，", STORY),  # not inside an open quotation
        (f"小兔子\n\n{STORY}\n它走了。然后它，", f"小兔子\n\n{STORY}\n它走了。"),  # a title needs no mark
    ],
}

DROPPED = {
    "mojibake": ["它说锟斤拷好。", "小兔子，你好！他走了。".encode().decode("gbk", "replace")],
    "broken characters": ["小\ufffd子来了。", "他有\ue111只兔子。"],
    "endings": ["他说好。" + "后来他一直走一直走走到很远很远的地方" * 2],
    "empty": [""],
    "control pieces": ["小兔子<|user|>你好"],
    "refusals": [
        "作为一个AI语言模型，我不能写这个故事。",
        "作为人工智能助手，我很高兴讲故事。",
        "从前。\n作为一名乐于助人和尊重的AI助手，我",
        "很抱歉，我无法翻译这段内容，因为它太长了。",
        "抱歉，但我不能满足这个请求。",
        "I'm sorry, but I cannot translate this.",
        "As an AI language model, I have no rabbit.",
    ],
    "untranslated": ["从前有一只兔子。Once upon a time there was a little rabbit who lived here. 它很乖。"],
    "repetition": [
        "从前有一只小兔子。" + "它跑啊跑，跑得很快。" * 12,
        "啊" * 80 + "。",
        STORY + "很快乐。" * 40,
        "从前，" + "小兔子和小松鼠" * 9 + "。",
    ],
    "too short": ["小兔子。"],
    "too long": ["字" * 20_001],
    "not Chinese": ["rabbit 兔子, fox 狐狸, bear 熊, wolf 狼, deer 鹿"],
}

KEPT = {
    "mojibake": [
        "她念：bà bà，mèi mei；é”…è”…", "Café 和 naïve，·约翰·史密斯·", "鐨牙的故事，锛是一种化学元素。",
        "áàéèíìóòúùüê 是带调号的字母", "联通", STORY,
    ],
    "invisible characters": ["👩‍👧是妈妈和我"],
    "newlines": ["一。\n二。"],
    "spaces": ["小 兔\n\n子"],
    "end marks": ["一<|endoftext|>二"],
    "broken characters": ["他有□只兔子。", "🐰来了。"],
    "markup": ["《三只小熊》<三只小熊>，1 < 2 且 3 > 2", "用`<b>`加粗", "他说 A&B 公司", "```\n<div>代码</div>\n```代码"],
    "markdown": ["他打了 3*4*5 次", "- 苹果\n- 香蕉", "1. 第一\n2. 第二", "#小兔子# 来了", "看：\n```\n# 注释\n```\n完"],
    "links": ["他在 www 上找 http 协议", "邮箱是a@b.com"],
    "remarks": [
        "这是一个关于翻译的故事。从前，有一位翻译：他叫小明。", "好的，妈妈说：“我们走吧。”", "翻译官走进来，说：“好。”",
        "从前，有一只兔子。\n希望明天是个好天气，小兔想。", "以下犯上，罪加一等。",
    ],
    "punctuation": [
        "价格是3.14元，共1,000个，8:30开始。", "看 http://a.b/c.html?x=1,2 吧", "函数f(x)和print(\"你好\")", "它说:)",
        "It's a dog, isn't it? \"Yes.\"", "文件名是故事.txt", "他身高5'6\"", "一个\"没有配对", STORY,
        "1.苹果 2.香蕉", "（括号）和——破折号……",
    ],
    "endings": [
        STORY, "从前。他笑了。\n（完）", "从前。他笑了。\nThe End", "从前。他笑了。😊", "从前。他说：“好。”", "他微笑。*转身*", "算一算吧。\n3 + 4 = 7",
        "红苹果\n绿苹果\n我喜欢吃。\n妈妈也喜欢\n我们都喜欢", "没有句号的一行", "床前明月光，疑是地上霜，举头望明月，低头思故乡",
    ],
    "empty": ["好"],
    "control pieces": ["小于号<|和竖线|>", "<|小兔|>"],
    "refusals": [
        "“对不起，我不能陪你玩了。”小兔说。", "抱歉，我不能去河边，妈妈病了。", "小明长大后研究人工智能。", "作为一个哥哥，他让着弟弟。", "它可以作为您的AI助手的家。",
        "机器人说：“我是机器人，我会讲故事。”", "他说：“我无法忘记那个故事。”",
    ],
    "untranslated": ["他喜欢 Harry Potter and the Magic Stone 这本书。", "Tom 和 Mary, John, Ben 是朋友。"],
    "repetition": [
        "拔萝卜，拔萝卜，嘿哟嘿哟拔不动。老奶奶，快快来，快来帮我们拔萝卜。拔萝卜，拔萝卜，嘿哟嘿哟拔不动。小姑娘，快快来，快来帮我们拔萝卜。",
        "哈" * 30 + "！", "轰隆隆，轰隆隆，轰隆隆，火车开来了，小朋友们都笑了。" + STORY,
        "天上的云有时候带来雨水。我喜欢云。天上的云有时候带来雪花。我喜欢云。天上的云像棉花。我喜欢云。云走了。我喜欢云。",
    ],
    "too short": ["字" * 20],
    "too long": ["字" * 20_000],
    "not Chinese": ["小兔子们都很乖 rabbit"],
}  # fmt: skip


@pytest.mark.parametrize(("rule", "before", "after"), [(r, *pair) for r, pairs in CHANGED.items() for pair in pairs])
def test_changed(rule: str, before: str, after: str) -> None:
    assert RULES[rule](before, LIMITS) == after
    assert RULES[rule](after, LIMITS) == after  # what is put right once stays


@pytest.mark.parametrize(("rule", "text"), [(r, text) for r, texts in DROPPED.items() for text in texts])
def test_dropped(rule: str, text: str) -> None:
    assert isinstance(RULES[rule](text, LIMITS), Drop)


@pytest.mark.parametrize(("rule", "text"), [(r, text) for r, texts in KEPT.items() for text in texts])
def test_near_misses(rule: str, text: str) -> None:
    assert RULES[rule](text, LIMITS) == text


def test_every_rule_has_its_examples() -> None:
    assert {*CHANGED, *DROPPED} == set(RULES) - {"traditional characters"}
    assert set(KEPT) == set(RULES) - {"traditional characters"}
    assert set(MENDING) < set(RULES)


def test_traditional_characters() -> None:
    pytest.importorskip("opencc")
    on = Limits(simplified=True)
    rule = RULES["traditional characters"]
    assert rule("從前，森林裡有一隻兔子，他的頭髮很乾淨。", on) == "从前，森林里有一只兔子，他的头发很干净。"
    assert rule("乾坤，王后，瞭望：" + STORY, on) == "乾坤，王后，瞭望：" + STORY  # GB2312 alone: left as it is
    assert rule("從前", LIMITS) == "從前"


def test_traditional_characters_need_a_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from litgpt_zh.corpus import clean_marks

    monkeypatch.setitem(sys.modules, "opencc", None)
    clean_marks.converter.cache_clear()
    with pytest.raises(UserError, match=r'pip install "litgpt-zh\[opencc\]"'):
        corpus(out_dir=tmp_path / "out", stories=10, simplified=True)
    with pytest.raises(UserError, match="no rule spelling; there are mojibake"):
        corpus(out_dir=tmp_path / "out", stories=10, skip=["spelling"])


def test_endings_setting() -> None:
    text = f"{STORY}它走到河边。河水很清，鱼儿在"
    assert clean(text, Limits(endings="keep")).text == text
    dropped = clean(text, Limits(endings="drop"))
    assert (dropped.text, dropped.reason) == (None, "endings") and "鱼儿在" in dropped.where


def test_skip_and_changes() -> None:
    text = '小兔说:"你好!"　' + STORY
    cleaned = clean(text, LIMITS)
    assert [change.rule for change in cleaned.changed] == ["spaces", "punctuation"]
    assert cleaned.changed[0].before == text and cleaned.changed[1].after == cleaned.text
    assert clean(text, Limits(skip=("punctuation", "spaces"))).text == text
    assert clean("As an AI 作为一个AI，" + STORY, Limits(skip=("refusals",))).text
    english = "Once upon a time there was a rabbit who lived here."
    assert clean(english, LIMITS).reason == "untranslated" and clean(english, Limits(min_chinese=0)).text == english


def test_shortcut_changes_nothing() -> None:
    """Texts of Hanzi and common marks skip rules that cannot touch them: the answer is that of all the rules."""
    texts = [t for pairs in CHANGED.values() for pair in pairs for t in pair]
    texts += [t for many in (*DROPPED.values(), *KEPT.values()) for t in many]
    for text in texts:
        expected: str | Drop = text
        for rule in RULES.values():
            expected = rule(expected, LIMITS)
            if isinstance(expected, Drop):
                break
        assert clean(text, LIMITS).text == (None if isinstance(expected, Drop) else expected)
        mended: str | Drop = text
        for name in MENDING:
            mended = mended if isinstance(mended, Drop) else RULES[name](mended, LIMITS)
        assert mend(text, LIMITS) == (None if isinstance(mended, Drop) else mended or None)


@pytest.mark.parametrize("length", ["short", "full"])
def test_the_world_passes_unchanged(length: str) -> None:
    log = Log()
    records = [story.record() for story in generate(2024, 0, 2500, length)]
    for n, record in enumerate(records):
        kept = prepare.prepare(Record(record, "world", n), LIMITS, 0, log)
        assert isinstance(kept, Kept) and json.loads(kept.line) == {
            key: value for key, value in record.items() if value
        }
    assert not log.changed and not log.edits


def record(**fields: object) -> tuple[dict[str, object], Log]:
    log = Log()
    kept = prepare.prepare(Record(fields, "file", 7), LIMITS, 0, log)
    assert isinstance(kept, Kept)
    return json.loads(kept.line), log


def test_words_sentence_and_summary_follow_the_story() -> None:
    story = '从前,小兔住在森林里.它问妈妈:"我可以去河边玩吗? 我想看Ｔｏｍ."妈妈笑了。'
    found, log = record(
        text=story,
        words=["小兔", "Ｔｏｍ"],
        sentence='我想看Ｔｏｍ."',
        summary="小兔问妈妈, 想去玩.",
        group="a,b",
        features=["对话"],
    )
    assert found["text"] == "从前，小兔住在森林里。它问妈妈：“我可以去河边玩吗？我想看Tom.”妈妈笑了。"
    assert found["words"] == ["小兔", "Tom"] and found["sentence"] == "我想看Tom.”"
    assert found["sentence"] in found["text"] and all(word in found["text"] for word in found["words"])
    assert (found["summary"], found["group"], found["features"]) == ("小兔问妈妈，想去玩。", "a,b", ["对话"])
    assert set(log.changed) == {"punctuation"}


def test_what_the_story_lost_is_left_out_and_counted() -> None:
    story = f"{STORY}它走到河边，河里有鸭子。忽然，远处传来了锣鼓声，原来是"
    found, log = record(
        text=story, words=["鸭子", "锣鼓", "没写到"], sentence="忽然，远处传来了锣鼓声，原来是", summary="\ufffd坏"
    )
    assert found["text"].endswith("河里有鸭子。") and found["words"] == ["鸭子", "没写到"]
    assert "sentence" not in found and "summary" not in found
    assert log.changed == {"endings": 1, LOST: 3}
    assert [(edit.before, edit.after) for edit in log.edits[1:2]] == [("鸭子、锣鼓、没写到", "鸭子、没写到")]


def test_same_letters() -> None:
    assert same_letters('他说:"好', "一天，他说：“好。”他走了。") == "他说：“好。”"
    assert same_letters("不在", "这里没有") is None and same_letters("，", "，") is None


def test_examples_are_short_and_show_the_difference() -> None:
    before, after = difference("前" * 100 + ",后" + "面" * 100, "前" * 100 + "，后" + "面" * 100)
    assert before == "⋯" + "前" * 12 + "," + "后" + "面" * 11 + "⋯" and after == before.replace(",", "，")
    assert difference("一样", "一样再加") == ("一样", "一样再加")
    assert len(around("字" * 1000, 100, 900)) < 100
    assert difference("aXb", "ab") == ("aXb", "ab")


def test_manifest_shows_what_was_done_whatever_the_workers(tmp_path: Path) -> None:
    lines = [f'小兔{n}说:"你好,第{n}个朋友!"它们一起去森林里玩了一整天。' for n in range(1200)]
    lines += ["作为一个AI语言模型，我不能写这样的故事，请您谅解。", f"{STORY}它走到河边。后来，"]
    source = tmp_path / "source.jsonl"
    source.write_text(
        "".join(json.dumps({"text": line}, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8"
    )
    for workers in (1, 2):
        corpus(str(source), tmp_path / f"out{workers}", workers=workers)
    counts = Manifest.read(tmp_path / "out1").counts
    assert counts == Manifest.read(tmp_path / "out2").counts
    assert counts["changed"] == {"punctuation": 1200, "endings": 1} and counts["dropped"]["refusals"] == 1
    assert [(e["rule"], e["line"]) for e in counts["edits"]] == [("punctuation", n) for n in range(1, 6)] + [
        ("endings", 1202)
    ]
    assert counts["edits"][0]["after"].startswith("小兔0说：“你好，")
    assert next(e for e in counts["examples"] if e["reason"] == "refusals")["detail"].startswith("作为一个AI")
    assert all(
        "说：“" in story["text"] or story["text"] == f"{STORY}它走到河边。"
        for story in read_shards(tmp_path / "out1", "train")
    )


def test_real_stories_are_kept() -> None:
    """36 published picture books, some of them verse without full stops: only what is under 20 characters goes."""
    path = DATA / "storybooks.jsonl"
    if not path.is_file():
        pytest.skip("no real texts on this machine")
    texts = [json.loads(line)["story_zh"] for line in path.read_text(encoding="utf-8").splitlines()]
    cleaned = [clean(text, LIMITS) for text in texts]
    assert {c.reason for c in cleaned if c.text is None} == {"too short"}
    assert sum(bool(c.changed) for c in cleaned) <= 2


@pytest.mark.parametrize(
    "piece",
    [
        "(",
        "'",
        '"',
        "a",
        "a ",
        "字",
        "字(",
        "<!--",
        "<script>",
        "**",
        "[",
        "“",
        "#",
        "- ",
        "。",
        "\n#",
        "é",
        "锛",
        "抱歉",
        "好的，",
        "\n希望",
    ],
)
def test_no_text_takes_forever(piece: str) -> None:
    """Nested repeats in a pattern would make these take hours."""
    clean(piece + "字" * 150_000, LIMITS)
    clean(piece * (150_000 // len(piece)), LIMITS)
    clean(piece * 20_000_000, LIMITS)  # far above the limit: not looked at


def test_bad_names_the_passage() -> None:
    kept = prepare.prepare(Record({"text": STORY + "作为一个AI，" + STORY}, "f", 3), LIMITS, 0, Log())
    assert isinstance(kept, Bad) and (kept.reason, kept.line) == ("refusals", 3) and "作为一个AI" in kept.detail
